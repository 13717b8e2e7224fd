"""Names that mean harm: whatever a snapshot's texts are, a remedy runs none of them."""

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pgdoctor_lib.checks.document import Document, Part
from pgdoctor_lib.finding import Finding

PAYLOAD = "drop table canary; --"
NAMES = tuple(
    f"t{mark}{PAYLOAD}"
    for mark in ("\n", "\r", "\u2028", "\x0b", '";\n', "';\n", '";', "';", "\\';", "$$;", "*/\n", "\n*/", "é\u202e\n")
)
_QUIET = r"""--[^\r\n]*  # PostgreSQL ends a comment at either
      | /\*.*?\*/
      | "(?:[^"]|"")*"
      | \b[eE]'(?:[^'\\]|''|\\.)*'
      | '(?:[^']|'')*'
      | \$(\w*)\$.*?\$\1\$"""
_WRITES = re.compile(r"ALTER (?!SYSTEM)|CREATE|DROP|REINDEX|VACUUM|ANALYZE|CLUSTER|GRANT|REVOKE|UPDATE|DELETE")
_LOCKS = re.compile(
    r"""ALTER\ TABLE\ (?!.*\ (?:VALIDATE\ CONSTRAINT|SET\ \(|RESET\ \())
      | ALTER\ POLICY | (?:DROP|REINDEX|CREATE(?:\ UNIQUE)?)\ INDEX\ (?!CONCURRENTLY) | VACUUM\ \(FULL | CLUSTER\ """,
    re.VERBOSE,
)
_NO_WORDS = re.compile(_QUIET, re.VERBOSE | re.DOTALL)
_STATEMENT = re.compile(f"(?:{_QUIET} | [^;])+", re.VERBOSE | re.DOTALL)


def runs(sql: str) -> str:
    """What a server that reads `sql` takes for words of its own: no comments, names in quotes, or literals."""
    return _NO_WORDS.sub(" _ ", sql)


def statements(sql: str) -> list[str]:
    """As psql sends them, one by one."""
    return [each[0] for each in _STATEMENT.finditer(sql) if runs(each[0]).strip(" _\n")]


def check_remedies(found: Sequence[Finding]) -> None:
    """Nothing of what a name says would be run, and each comment and name ends in its line."""
    for finding in found:
        remedy = finding.remedy
        assert "drop table" not in runs(remedy), remedy
        for line in remedy.splitlines():
            assert "drop table" not in runs(line), remedy
        assert not re.search(r"[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", remedy), remedy


def check_locks(found: Sequence[Finding]) -> None:
    """What locks out readers or writers is said to."""
    for each in found:
        assert not _LOCKS.search(each.remedy) or re.search("(?i)lock|wait|exclusive", each.caution + each.remedy), each


def check_on_standby(found: Sequence[Finding]) -> None:
    """What a standby refuses is told to be for its primary, once."""
    for remedy in [finding.remedy for finding in found]:
        writes = [each for each in statements(remedy) if _WRITES.match(runs(each).strip(" _\n"))]
        assert remedy.count("-- this is a standby") <= 1, remedy
        assert not writes or "-- this is a standby" in remedy.partition(writes[0].strip())[0] + writes[0], remedy


def on_standby(now: Document) -> Document:
    """That snapshot, as of a standby."""
    return _like(now, "database", {**now.parts["database"].parsed(), "in_recovery": True})


def with_names(now: Document) -> Iterator[Document]:
    """That snapshot with each of its texts in turn followed by what would do harm, if it were taken for SQL."""
    places = [(name, way) for name, part in now.parts.items() for way in _ways(part.parsed())]
    for index, (name, way) in enumerate(places):
        section = copy.deepcopy(now.parts[name].parsed())
        _change(section, way, lambda text, index=index: text + NAMES[index % len(NAMES)])
        yield _like(now, name, section)


def _ways(found: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(found, str):
        yield way
    elif isinstance(found, dict | list):
        for key, each in found.items() if isinstance(found, dict) else enumerate(found):
            yield from _ways(each, (*way, key))


def _change(found: Any, way: Sequence[Any], change: Callable[[str], str]) -> None:
    for key in way[:-1]:
        found = found[key]
    found[way[-1]] = change(found[way[-1]])


def _like(now: Document, name: str, section: dict[str, Any]) -> Document:
    other = copy.copy(now)
    other.__dict__.pop("settings", None)
    other.parts = {**now.parts, name: Part(section, now.parts[name].taken_at)}
    other._made = {}
    return other
