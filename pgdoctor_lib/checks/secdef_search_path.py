"""Functions that run with their owner's rights, and find what the caller's search_path says."""

import re

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.quoting import comment, requoted
from pgdoctor_lib.units import counted

# A name in quotes ends in one way only: where there are several, a text of quotes is matched for ever
_QUOTED = r'"(?:[^"]|"")*"(?!")'
_SIGNATURE = re.compile(rf"(?:[\w$., ()\[\]]|{_QUOTED})+")
_SCHEMA = re.compile(rf'((?:{_QUOTED}|[^".])+)\.')

_CLOSE = """-- first, as every role may create in it, and what is made there would be found; see what is there already
REVOKE CREATE ON SCHEMA {} FROM PUBLIC;
-- or, where that cannot be, and its functions name the schema of all they use, for these, in place of what is below:
-- SET search_path = pg_catalog, pg_temp
"""


@check(category="security", scope="database", reads=("functions",))
def secdef_search_path(now: Document, before: Document) -> Said:
    """A SECURITY DEFINER function has no search_path of its own: who calls it chooses what it runs (pg_proc)."""
    total = now.total("functions")
    names = total.get("security_definer_without_search_path") or []
    count = max(total.get("security_definer_without_search_path_count") or 0, len(names))
    if not names:
        return
    others = f"; so {'does' if count == 2 else 'do'} {counted(count - 1, 'more function')}" if count > 1 else ""
    yield warning(
        "",
        f"{names[0]} runs with its owner's rights{_whose(total)}, and finds tables and functions by the search_path of "
        f"who calls it{others}",
        subject=str(names[0]),
        threshold="pg_proc.prosecdef without search_path in proconfig, where others than the owner may call it",
        evidence={"count": count, "functions": names},
        remedy=_close(names, total) + "".join(map(_alter, names)) + _rest(count - len(names)),
        caution="a function that needs more schemas fails until they are named, too; name none in which others may "
        "create, and pg_temp last"
        + ("; roles that create tables there by this right alone cannot any more" if _open(names, total) else ""),
    )


def _whose(total: Row) -> str:
    return ", a superuser's" if total.get("security_definer_without_search_path_superuser_count") else ""


def _open(names: list[str], total: Row) -> list[str]:
    """Schemas of these functions in which every role may create, so that to search them is no cure."""
    known = total.get("security_definer_open_schemas") or ()
    found = {_schema(name): None for name in names}
    return [each for each in found if each and each in known]


def _close(names: list[str], total: Row) -> str:
    return "".join(requoted(_CLOSE.format(schema)) for schema in _open(names, total))


def _schema(signature: str) -> str:
    """As the server quoted it; empty where no server did."""
    found = _SCHEMA.match(signature) if _SIGNATURE.fullmatch(signature) else None
    return found[1] if found else ""


def _alter(signature: str) -> str:
    """The server quoted the signature. ALTER ROUTINE is for functions and procedures alike."""
    if not _SIGNATURE.fullmatch(signature):
        return f"-- no server writes a function so: {comment(signature)}\n"
    path = ", ".join(filter(None, [_schema(signature), "pg_temp"]))
    return requoted(f"ALTER ROUTINE {signature} SET search_path = {path};") + "\n"


def _rest(more: int) -> str:
    return f"-- and {counted(more, 'more function')}: they are told once these are mended\n" if more > 0 else ""
