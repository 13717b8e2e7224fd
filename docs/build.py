"""Writes what the docs say of sections and of checks, from their own files: `make docs`.

docs/snapshot.md and docs/snapshot.schema.json tell the sections; docs/checks.md is the checks' pages.

A section's text is its file's header, its columns and their types are those that tests/collectors/columns records.
What is told of the machine and of PgBouncer is no SQL of ours: its text is a module's docstring.
"""

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from pgdoctor_lib.checks.registry import CATEGORIES, Check, checks  # noqa: E402

COLLECTORS = ROOT / "pgdoctor_lib" / "collectors"
MODULES = {
    "host": ROOT / "pgdoctor_lib" / "agent" / "host.py",
    "pgbouncer": COLLECTORS / "pgbouncer.py",
    "plans": COLLECTORS / "plans.py",
    "schema_changes": COLLECTORS / "schema_changes.py",
    "recording": COLLECTORS / "recorder.py",
}
COLUMNS = ROOT / "tests" / "collectors" / "columns"
PAGE = ROOT / "docs" / "snapshot.md"
SCHEMA = ROOT / "docs" / "snapshot.schema.json"
CHECKS = ROOT / "docs" / "checks.md"
CHECKS_HEAD = """# Checks

What `pgdoctor check` and the daemon look for: {count} checks. `pgdoctor explain CHECK` prints each of these pages.
Thresholds are set, and findings muted, in the configuration (`thresholds`, `mute`:
[diagnosis.md](diagnosis.md#muting)).
"""
BEGIN, END = "<!-- made by docs/build.py -->\n", "<!-- end -->\n"
EVERY = {"minutes": "every 5 minutes", "hourly": "once an hour", "daily": "once a day"}
TYPES: dict[str, Any] = {
    "smallint": "integer", "integer": "integer", "bigint": "integer", "oid": "integer", "xid": "integer",
    "numeric": "number", "real": "number", "double precision": "number", "boolean": "boolean",
}  # fmt: skip


def main() -> None:
    """Write the files anew."""
    CHECKS.write_text(checks_page())
    PAGE.write_text(page(PAGE.read_text()))
    SCHEMA.write_text(schema(SCHEMA.read_text()))


def names() -> list[str]:
    """The sections."""
    found = (path.stem for path in COLLECTORS.glob("*.sql"))
    return sorted(name for name in found if "." not in name and name != "top_queries")


def page(text: str) -> str:
    """docs/snapshot.md with the sections as they are now."""
    before, _, rest = text.partition(BEGIN)
    made = "\n".join([*map(_section, names()), *map(_told, MODULES)])
    return before + BEGIN + "\n" + made + END + rest.partition(END)[2]


def checks_page() -> str:
    """docs/checks.md: what there is, by category, then every check's page."""
    known = checks()
    lines = [CHECKS_HEAD.format(count=len(known))]
    for category in CATEGORIES:
        found = [each for each in known.values() if each.category == category]
        if found:
            lines += [f"## {category[0].upper()}{category[1:]}\n"]
            lines += [f"- [{each.id}](#{each.id}): {each.about.splitlines()[0]}" for each in found]
            lines.append("")
    pages = [_demoted(each) for each in known.values()]
    return "\n".join([*lines, *pages])


def _demoted(check: Check) -> str:
    """A page, its headings two levels further down, and its thresholds by name."""
    page = re.sub(r"^(#+) ", r"#\1 ", check.page, flags=re.MULTILINE)
    limits = ", ".join(f"`{name}` {value:g}" for name, value in (check.limits or {}).items())
    return page + (f"\nThresholds by name: {limits}.\n" if limits else "")


def schema(text: str) -> str:
    """The JSON Schema with the sections as they are now."""
    document = json.loads(text)
    document["properties"]["sections"]["properties"] = {
        **{name: _shape(name) for name in names()},
        **{name: {"type": "object", "properties": {key: {} for key in _keys(_told(name))}} for name in MODULES},
    }
    return json.dumps(document, indent=1) + "\n"


def _section(name: str) -> str:
    meta, rows = _header(name)
    facts = [re.sub(r"^(.*) \((postgresql\.org/\S+)\)$", r"[\1](https://www.\2)", meta["source"])]
    facts += ["of the server: once, however many of its databases are watched"] if meta["scope"] == "server" else []
    facts += [f"on a {meta['role']}"] if "role" in meta else []
    facts += [_since(meta["when"])] if "when" in meta else []
    facts += [EVERY[meta["cadence"]]] if meta.get("cadence", "cycle") != "cycle" else []
    lines = [f"## {name}", "", meta["about"], "", f"*{'; '.join(facts)}.*", "", "| field | what |", "|---|---|", *rows]
    if (COLLECTORS / f"{name}.total.sql").exists():
        lines += ["", "| `total` | what |", "|---|---|", *_header(f"{name}.total")[1]]
    return "\n".join(lines) + "\n"


def _told(name: str) -> str:
    lines = (ast.get_docstring(ast.parse(MODULES[name].read_text())) or "").splitlines()
    return "\n".join([f"## {name}", "", *lines, ""])


def _keys(text: str) -> list[str]:
    """The names in the first column of the first table."""
    return [
        key
        for line in text.partition("\n| of `")[0].splitlines()
        if line.startswith("| `")
        for key in re.findall(r"`(\w+)`", line.split("|")[1])
    ]


def _since(condition: str) -> str:
    return ", ".join(
        re.sub(r"^pg >= (\d+)$", r"PostgreSQL \1 and later", each.strip()) for each in condition.split(",")
    )


def _header(name: str) -> tuple[dict[str, str], list[str]]:
    text = (COLLECTORS / f"{name}.sql").read_text().splitlines()
    meta = {found[1]: found[2] for line in text if (found := re.fullmatch(r"-- ([a-z]+): (.+)", line))}
    return meta, [line.removeprefix("-- ").strip() for line in text if line.startswith("-- |")]


def _shape(name: str) -> dict[str, Any]:
    if _header(name)[0]["rows"].startswith("one"):
        return {**_object(name), "type": ["object", "null"]}
    total = _object(f"{name}.total") if (COLUMNS / f"{name}.total.txt").exists() else _counted()
    properties = {
        "rows": {"type": "array", "items": _object(name)},
        "total": total,
        "more": {"type": "integer", "minimum": 0},
    }
    return {"type": "object", "required": [*properties], "properties": properties}


def _object(name: str) -> dict[str, Any]:
    columns = [line.split(" ", 1) for line in (COLUMNS / f"{name}.txt").read_text().splitlines()]
    if name.startswith("queries"):  # read for several databases at once, and told to each without its number
        columns = columns[1:]
    return {
        "type": "object",
        "required": [column for column, _ in columns],
        "properties": {column: _type(kind) for column, kind in columns},
    }


def _counted() -> dict[str, Any]:
    return {"type": "object", "required": ["count"], "properties": {"count": {"type": "integer"}}}


def _type(kind: str) -> dict[str, Any]:
    if kind in ("json", "jsonb"):
        return {}
    if kind.endswith("[]"):
        return {"type": ["array", "null"]}
    if kind.startswith("timestamp"):
        return {"type": ["string", "null"], "format": "date-time"}
    return {"type": [TYPES.get(kind, "string"), "null"]}


if __name__ == "__main__":
    sys.exit(main())
