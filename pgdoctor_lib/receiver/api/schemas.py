"""What the answers look like, as JSON Schema: the components of the OpenAPI document."""

from typing import Any

from pgdoctor_lib.receiver.web.state import RANK
from pgdoctor_lib.snapshot import SCHEMA_VERSION

Schema = dict[str, Any]
ID, UUID = "[0-9a-f]{12}", "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
SEVERITIES = ("critical", "warning", "info")
EVENTS = ("restart", "failover", "version", "settings", "schema", "mark", "opened", "resolved")
STATES = tuple(RANK)


def ref(name: str) -> Schema:
    """A component by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _told(about: str, schema: Schema) -> Schema:
    return {**schema, "description": about}


def _maybe(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else {"anyOf": [schema, {"type": "null"}]}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _page(name: str, rows: str | Schema, **others: Schema) -> Schema:
    listed = _list(ref(rows) if isinstance(rows, str) else rows)
    return _object(**others, **{name: listed}, more=_told("how many come after these", _COUNT))


_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "string", "format": "date-time"}
_ROW = _told("as the snapshot has it", {"type": "object"})
_TAGS: Schema = {"anyOf": [_list(_TEXT), _map(_TEXT)]}
_LEFT_OUT = _told("how many there are that the snapshot does not tell; which it tells is in docs/snapshot.md", _COUNT)
_TOTAL = _told("over all that there are, as the snapshot has it", _maybe({"type": "object"}))
_OBJECTS = {
    "left_out": _LEFT_OUT,
    "total": _TOTAL,
    "collected_at": _told("null where nothing was told yet", _maybe(_TIME)),
}
_SPAN = {"from": _TIME, "to": _TIME}
_SOURCE = {
    "id": _told("the first 12 digits of a SHA-256, by project and name", {"type": "string", "pattern": f"^{ID}$"}),
    "name": _TEXT,
    "project": _told("whose token it came with; empty: the receiver's own", _TEXT),
    "state": {"type": "string", "enum": list(STATES)},
    "snapshot_id": {"type": "string", "format": "uuid"},
    "collected_at": _TIME,
    "received_at": _TIME,
    "interval_s": _NUMBER,
    "tags": _TAGS,
    "db_name": _TEXT,
    "db_version": _TEXT,
    "hostname": _told("of the agent", _TEXT),
    "server": _told("the same for all databases of a server", _maybe(_TEXT)),
    "size_bytes": _maybe({"type": "integer"}),
    "active_sessions": _maybe({"type": "integer"}),
    "errors": _told("how many collectors failed", _COUNT),
    "critical": _told("open findings", _COUNT),
    "warnings": _told("open findings", _COUNT),
}
_COLLECTOR_ERROR = _object(collector=_TEXT, error=_TEXT, hint=_TEXT)
_LINE = _object(
    id={"type": "string", "format": "uuid"},
    collected_at=_TIME,
    received_at=_TIME,
    size_bytes=_maybe({"type": "integer"}),
    active_sessions=_maybe({"type": "integer"}),
    errors=_COUNT,
    body_bytes=_told("its JSON", _COUNT),
    has_body=_told("whether it can still be had as it came", {"type": "boolean"}),
)
_FINDING = _object(
    source_id={"type": "string", "pattern": f"^{ID}$"},
    id=_told("the check, and of what", _TEXT),
    check=_TEXT,
    severity={"type": "string", "enum": list(SEVERITIES)},
    since=_TIME,
    last_seen=_TIME,
    gone_at=_told("null while it is open", _maybe(_TIME)),
    finding=_told("as the snapshot has it: summary, evidence, remedy, …", {"type": "object"}),
)
_EVENT = _object(at=_TIME, kind={"type": "string", "enum": list(EVENTS)}, key=_TEXT, text=_TEXT)
_QUERY = _object(
    queryid=_TEXT,
    query=_TEXT,
    roles=_list(_TEXT),
    share=_told("of the time of all statements", {"type": "number", "minimum": 0, "maximum": 1}),
    calls=_NUMBER,
    total_exec_time_ms=_NUMBER,
    mean_exec_time_ms=_NUMBER,
    counters=_told("what each counter of section queries grew by", _map(_NUMBER)),
    time_ms_per_s=_told("in equal steps of the span", _list(_maybe(_NUMBER))),
)
_VALUES = _list(_maybe(_NUMBER))
_SNAPSHOT: Schema = {
    "type": "object",
    "description": "A snapshot, as docs/snapshot.schema.json has it; what is required here is what must be there.",
    "required": ["schema_version", "snapshot_id", "collected_at", "database"],
    "properties": {
        "schema_version": {"const": SCHEMA_VERSION},
        "snapshot_id": {"type": "string", "format": "uuid", "pattern": f"^{UUID}$"},
        "collected_at": {"type": "string", "format": "date-time", "maxLength": 40},
        "database": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 500, "pattern": r"\S"}},
        },
    },
}
SCHEMAS: dict[str, Schema] = {
    "Error": _object(error=_told("what is wrong, in one sentence", _TEXT)),
    "Receipt": _object(
        id=_told("the snapshot's", {"type": "string", "format": "uuid"}),
        source_id={"type": "string", "pattern": f"^{ID}$"},
        received_at=_TIME,
    ),
    "Snapshot": _SNAPSHOT,
    "Database": _object(**_SOURCE),
    "DatabaseInFull": _object(
        **_SOURCE,
        collector_errors=_list(_COLLECTOR_ERROR),
        figures=_told("by section, the plain values of the latest snapshot", _map({"type": "object"})),
    ),
    "SnapshotLine": _LINE,
    "Finding": _FINDING,
    "Event": _EVENT,
    "Query": _QUERY,
    "Databases": _page("databases", "Database"),
    "Snapshots": _object(
        database=_TEXT,
        snapshots=_list(ref("SnapshotLine")),
        before=_told("of the next page; null: there is none", _maybe(_TIME)),
    ),
    "Series": _object(
        database=_TEXT,
        **_SPAN,
        times=_told("the middle of each step", _list(_TIME)),
        units=_told("by metric; of a counter per second", _map(_TEXT)),
        values=_told("by metric, one for each of times; null in a gap", _map(_VALUES)),
        peaks=_told("the same of the highest in each step, with=peaks, of steps of 5 minutes and more", _map(_VALUES)),
    ),
    "Findings": _page("findings", "Finding"),
    "Events": _page("events", "Event", **_SPAN),
    "Queries": _page("queries", "Query", **_SPAN),
    "QueryOverTime": _object(
        queryid=_TEXT,
        query=_TEXT,
        roles=_list(_TEXT),
        **_SPAN,
        times=_told("when the counters were read", _list(_TIME)),
        steps=_told("from each of times to the next: what the counters grew by", _list(_maybe(_map(_NUMBER)))),
        plan=_told("the newest one that was told, and when", _maybe({"type": "object"})),
    ),
    "Tables": _page("tables", _ROW, **_OBJECTS),
    "Indexes": _page("indexes", _ROW, **_OBJECTS),
    "TableOverTime": _object(**_SPAN, relid=_COUNT, times=_list(_TIME), columns=_map(_VALUES)),
    "IndexOverTime": _object(**_SPAN, indexrelid=_COUNT, times=_list(_TIME), columns=_map(_VALUES)),
    "Section": {
        "description": "A section of many rows has rows, more and total; one of a single row has figures.",
        "anyOf": [
            _page("rows", _ROW, section=_TEXT, collected_at=_TIME, left_out=_LEFT_OUT, total=_TOTAL),
            _object(section=_TEXT, collected_at=_TIME, figures=_ROW),
        ],
    },
    "OpenAPI": {"type": "object", "required": ["openapi", "info", "paths"]},
}
