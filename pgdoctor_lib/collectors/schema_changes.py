"""What was created, altered and dropped since the section `schema` was last collected, which the agent keeps.

Told with each `schema` from the second on that the agent sees of a database, where something changed. An object is
known by its kind and names; one that is renamed is dropped and created. Where `schema` has a row a schema (more than
2,000 objects), so does this: a schema whose contents changed is `altered`.

| key | what |
|---|---|
| `rows` | the first 200: `change` (`created`, `altered` or `dropped`), and `kind`, `schemaname`, `name` and `relname` \
as in `schema` |
| `total` | `count`, `created_count`, `altered_count` and `dropped_count`; `since`: when `schema` was last collected, \
epoch seconds |
| `more` | how many are not shown |
"""

import json
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pgdoctor_lib.snapshot import Section

NAME = "schema_changes"
OF = "schema"
MOST = 200
_CONTENTS = "contents"

_Key = tuple[Any, ...]
_Objects = dict[_Key, Any]


class SchemaChanges:
    """One database's, from one time to the next. What is kept is compressed: some kB."""

    def __init__(self) -> None:
        self._kept: bytes | None = None
        self._kept_at = 0.0

    def of(self, sections: Sequence[Section]) -> Section | None:
        """The section to go with these; None where `schema` is not among them, is the first, or is as it was."""
        text = next((section.json for section in sections if section.name == OF), None)
        if text is None:
            return None
        try:
            now = _objects(text)
        except (ValueError, RecursionError):
            return None  # it is JSON, but none that Python reads: nothing compares
        before, since = self._kept, self._kept_at
        self._kept, self._kept_at = zlib.compress(text.encode("utf-8", "replace"), 1), time.time()
        if before is None:
            return None
        changes = list(_changes(_objects(zlib.decompress(before)), now))
        return Section(NAME, _told(changes, since)) if changes else None


def _objects(text: str | bytes) -> _Objects:
    """By kind and names, the fingerprint. A row for all there is says nothing that the others do not."""
    found = json.loads(text)
    rows = found.get("rows") if isinstance(found, dict) else None
    objects: _Objects = {}
    for row in filter(_is_object, rows if isinstance(rows, list) else ()):
        key = tuple(str(row.get(name) or "") for name in ("kind", "schemaname", "name", "relname"))
        if key != (_CONTENTS, "", "", ""):
            objects[key] = row.get("fingerprint")
    return objects


def _is_object(row: object) -> bool:
    return isinstance(row, dict)


def _changes(before: _Objects, now: _Objects) -> Iterator[tuple[str, _Key]]:
    if _by_schema(before) != _by_schema(now):
        return  # there are more, or fewer, objects than can be told one by one: nothing compares
    yield from (("dropped", key) for key in before if key not in now)
    yield from (("created", key) for key in now if key not in before)
    yield from (("altered", key) for key in now if key in before and before[key] != now[key])


def _by_schema(objects: _Objects) -> bool:
    return any(kind == _CONTENTS for kind, *_ in objects)


def _told(changes: Sequence[tuple[str, _Key]], since: float) -> str:
    rows = [
        {"change": change, "kind": kind, "schemaname": schema or None, "name": name or None, "relname": relname or None}
        for change, (kind, schema, name, relname) in changes[:MOST]
    ]
    counts = {
        f"{each}_count": sum(change == each for change, _ in changes) for each in ("created", "altered", "dropped")
    }
    total: Mapping[str, object] = {"count": len(changes), **counts, "since": round(since, 3)}
    told = {"rows": rows, "total": total, "more": len(changes) - len(rows)}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
