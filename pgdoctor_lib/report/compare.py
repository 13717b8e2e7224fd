"""Two snapshots of a database: what is different. Pure; diff.py writes it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.collectors.registry import query
from pgdoctor_lib.errors import UsageError
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.report.statements import Statements, statements
from pgdoctor_lib.snapshot import iso_time

_LEAST_BYTES = 64 * 1024  # a size that changed by less is noise
_OBJECT = ("kind", "schemaname", "relname", "name")


@dataclass(frozen=True)
class Changed:
    """One thing of two snapshots, as texts; None: it was not there, or is not any more. `note`: what else is to say."""

    name: str
    before: str | None
    after: str | None
    note: str = ""


@dataclass(frozen=True)
class Grown:
    """A database's or a table's size, in bytes."""

    kind: str
    name: str
    before: int
    after: int


@dataclass(frozen=True)
class Difference:
    """`first` and `second`: the snapshots. Of each kind of thing what changed; `not_compared`: of which, and why not.

    `notes`: what must be known to read it. `schema`: `before` and `after` are fingerprints. `older`: of which the first
    snapshot's was taken before it, in epoch seconds.
    """

    first: Document
    second: Document
    notes: Sequence[str] = ()
    settings: Sequence[Changed] = ()
    extensions: Sequence[Changed] = ()
    schema: Sequence[Changed] = ()
    sizes: Sequence[Grown] = ()
    statements: Statements = field(default_factory=Statements)
    opened: Sequence[Finding] = ()
    resolved: Sequence[Finding] = ()
    worse: Sequence[Finding] = ()
    milder: Sequence[Finding] = ()
    not_compared: Mapping[str, str] = field(default_factory=dict)
    older: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For programs: everything, unbounded."""
        ran = self.statements
        findings = {key: [each.as_json() for each in getattr(self, key)] for key in _FINDINGS}
        queries = {key: [each.as_json() for each in getattr(ran, key)] for key in ("slower", "faster", "new", "gone")}
        figures = {key: getattr(ran, key) for key in ("comparable", "before_s", "after_s", "was_reset")}
        return {
            "first": _head(self.first),
            "second": _head(self.second),
            "notes": list(self.notes),
            **{key: [asdict(each) for each in getattr(self, key)] for key in ("settings", "extensions", "schema")},
            "sizes": [asdict(each) for each in self.sizes],
            "queries": {**queries, **figures},
            "findings": findings,
            "not_compared": dict(self.not_compared),
            "older": {what: iso_time(taken_at) for what, taken_at in self.older.items()},
        }


SECTIONS = {
    "settings": "settings",
    "extensions": "extensions",
    "schema": "schema",
    "size of the database": "database_sizes",
    "sizes of tables": "table_sizes",
    "queries": "queries",
}
_PACES = {"minutes": "every five minutes", "hourly": "once an hour", "daily": "once a day"}
_FINDINGS = ("opened", "resolved", "worse", "milder")


def is_later(first: Document, second: Document) -> bool:
    """Whether `first` is the later one of the same database: then they are to be exchanged."""
    return _is_same(first, second) and first.collected_at > second.collected_at


def compare(first: Document, second: Document) -> Difference:
    """What is different in `second`. `UsageError` where `first` is the later one, or one of them makes no sense."""
    if is_later(first, second):
        raise UsageError("the first snapshot is the later one", hint="exchange them")
    same, not_compared = _is_same(first, second), dict[str, str]()

    def attempt(what: str, read: Callable[[], Any], nothing: Any) -> Any:
        try:
            return read()
        except NotExamined as reason:
            not_compared[what] = _missing(SECTIONS[what], first, second) or str(reason)
            return nothing

    return Difference(
        first,
        second,
        tuple(_notes(first, second)),
        attempt("settings", lambda: [*_settings(first, second)], ()),
        attempt("extensions", lambda: [*_extensions(first, second)], ()),
        attempt("schema", lambda: [*_schema(first, second)], ()),
        [
            *attempt("size of the database", lambda: [*_database(first, second, same)], ()),
            *attempt("sizes of tables", lambda: [*_tables(first, second)], ()),
        ],
        attempt("queries", lambda: statements(first, second, counters_go_on=same), Statements()),
        **_findings(first, second),
        not_compared=not_compared,
        older={
            what: first.taken_at(section)
            for what, section in SECTIONS.items()
            if what not in not_compared and first.taken_at(section) < first.collected_at
        },
    )


def name_of(thing: Row) -> str:
    """An object as people call it: "index public.orders.orders_pkey"."""
    kind, schema, table, name = (thing.get(key) for key in _OBJECT)
    if kind == "contents":
        return f"what is in schema {schema}"
    parts = [name] if kind in ("schema", "extension") else [schema, table, name]
    return f"{kind} {'.'.join(str(part) for part in parts if part)}"


def _missing(section: str, first: Document, second: Document) -> str:
    """Which snapshot did not bring it, as many do not; "" where both did, or one tells why it could not."""
    for which, document in (("first", first), ("second", second)):
        if not document.has(section) and section not in document.errors:
            meta = query(section).meta
            pace = _PACES.get(meta.get("cadence", ""), "")
            whose = "of one database a server" if meta["scope"] == "server" else ""
            asked = ", ".join(filter(None, (pace, whose)))
            return f"not in the {which} snapshot{f': asked {asked}' if asked else ''}"
    return ""


def _identifier(document: Document) -> str:
    """The cluster's, from what each database tells: `server` is told by one of a server's."""
    found = document.one("database").get("system_identifier") if document.has("database") else None
    return str(found or "")


def _is_same(first: Document, second: Document) -> bool:
    """Whether they are of one database."""
    return _identifier(first) == _identifier(second) and first.db_name == second.db_name


def _notes(first: Document, second: Document) -> Iterator[str]:
    if first.db_name != second.db_name:
        yield f"these are two databases: {first.db_name} and {second.db_name}"
    one, other = _identifier(first), _identifier(second)
    if one and other and one != other:
        yield "these are two servers, or a cluster that was made anew: counters are compared as they stand"
    if first.db_version != second.db_version:
        yield f"{first.db_version} before, {second.db_version} now"
    if first.snapshot_id and first.snapshot_id == second.snapshot_id:
        yield "this is the same snapshot twice"


def _both(first: Document, second: Document, section: str, key: Callable[[Row], Any]) -> Iterator[tuple[Row, Row]]:
    """The rows of both by key, each with its other; {} where there is none."""
    old = {key(row): row for row in first.rows(section)}
    new = {key(row): row for row in second.rows(section)}
    for each in [*old, *(each for each in new if each not in old)]:
        yield old.get(each, {}), new.get(each, {})


def _settings(first: Document, second: Document) -> Iterator[Changed]:
    """What is not told is as PostgreSQL comes: of settings that are told once, the other's value is the default."""
    for was, now in _both(first, second, "settings", lambda row: row.get("name")):
        before, after = _setting(was, now), _setting(now, was)
        waits = "waits for a restart" if now.get("pending_restart") and not was.get("pending_restart") else ""
        if before != after or waits:
            yield Changed(str((now or was).get("name")), before, after, waits)


def _setting(row: Row, other: Row) -> str | None:
    if not row:
        default = other.get("boot_val")
        return None if default is None else _with_unit(default, other)
    return _with_unit(row.get("setting"), row)


def _with_unit(value: object, row: Row) -> str:
    unit = str(row.get("unit") or "")
    gap = " x " if unit[:1].isdigit() else " "
    return f"{value}{gap}{unit}" if unit else str(value)


def _extensions(first: Document, second: Document) -> Iterator[Changed]:
    for was, now in _both(first, second, "extensions", lambda row: row.get("extname")):
        before, after = was.get("extversion"), now.get("extversion")
        if before != after:
            yield Changed(str((now or was).get("extname")), before, after)


def _schema(first: Document, second: Document) -> Iterator[Changed]:
    if first.total("schema").get("rows_are") != second.total("schema").get("rows_are"):
        raise NotExamined("one of them tells objects, the other schemas")
    for was, now in _both(first, second, "schema", lambda row: tuple(row.get(key) for key in _OBJECT)):
        thing = now or was
        whole = thing.get("kind") == "contents" and thing.get("schemaname") is None
        if was.get("fingerprint") != now.get("fingerprint") and not whole:
            yield Changed(name_of(thing), was.get("fingerprint"), now.get("fingerprint"))


def _database(first: Document, second: Document, same: bool) -> Iterator[Grown]:
    before, after = (_database_bytes(each) for each in (first, second))
    if abs(after - before) >= _LEAST_BYTES:
        yield Grown("database", second.db_name if same else f"{first.db_name}, {second.db_name}", before, after)


def _database_bytes(document: Document) -> int:
    """As the file system has it: an estimate would move with VACUUM alone."""
    rows = document.rows("database_sizes") if document.has("database_sizes") else []
    found = next((row.get("size_bytes") for row in rows if row.get("datname") == document.db_name), None)
    if found is None:
        raise NotExamined(document.errors.get("database_sizes") or "the snapshot has no section database_sizes")
    return int(found)


def _tables(first: Document, second: Document) -> Iterator[Grown]:
    """The biggest movers first. A table that one of them does not tell has not moved, it came or went: see schema."""
    found = []
    for was, now in _both(first, second, "table_sizes", lambda row: (row.get("schemaname"), row.get("relname"))):
        before, after = was.get("size_bytes"), now.get("size_bytes")
        if before is not None and after is not None and abs(after - before) >= _LEAST_BYTES:
            found.append(Grown("table", f"{now.get('schemaname')}.{now.get('relname')}", before, after))
    yield from sorted(found, key=lambda each: -abs(each.after - each.before))


def _findings(first: Document, second: Document) -> dict[str, Sequence[Finding]]:
    """What a check could not tell any more is not resolved. `UsageError` where what one tells makes no sense."""
    try:
        old, new = ({each.id: each for each in map(Finding.of_json, one.findings)} for one in (first, second))
        unknown, watched = (set(second.diagnosis.get(key) or ()) for key in ("not_examined", "watched"))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError("not a snapshot: its findings make no sense", hint='"pgdoctor snapshot" prints one') from None
    both = [(old[key], new[key]) for key in new if key in old]
    return {
        "opened": [each for key, each in new.items() if key not in old],
        "resolved": [
            each for key, each in old.items() if key not in new and key not in watched and each.check not in unknown
        ],
        "worse": [now for was, now in both if now.severity > was.severity],
        "milder": [now for was, now in both if now.severity < was.severity],
    }


def _head(document: Document) -> dict[str, Any]:
    return {
        "snapshot_id": document.snapshot_id,
        "collected_at": document.collected_at,
        "database": document.name,
        "db_name": document.db_name,
        "db_version": document.db_version,
    }
