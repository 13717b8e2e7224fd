"""Tables: how large, how they grow, what is dead in them and when they were vacuumed; and one of them over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgdoctor_lib.checks.document import epoch
from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store.model import Objects, ObjectSeries, Source, Values
from pgdoctor_lib.receiver.web import chart, findings, frame, parts
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.listing import Column, Listing, bytes_of, count_of, numbers, sizes

Row = Mapping[str, Any]
SIZE = chart.Panel(
    "size",
    "Size",
    "bytes",
    {"table_size_bytes": "Rows", "indexes_size_bytes": "Indexes", "toast_size_bytes": "TOAST"},
    stacked=True,
)
ROWS = chart.Panel("rows", "Rows", "", {"n_live_tup": "Live", "n_dead_tup": "Dead"})
SCANS = chart.Panel("scans", "Scans", "/s", {"seq_scan": "Sequential", "idx_scan": "Index"})
WRITES = chart.Panel(
    "writes", "Rows written", "/s", {"n_tup_ins": "Inserted", "n_tup_upd": "Updated", "n_tup_del": "Deleted"}
)
READS = chart.Panel(
    "reads", "Blocks", "/s", {"heap_blks_hit": "Found in the cache", "heap_blks_read": "Read from the system"}
)
AGE = chart.Panel("age", "Age of the oldest transaction id", "", {"relfrozenxid_age": "Transactions"})
_COUNTERS = {*SCANS.lines, *WRITES.lines, *READS.lines}
_MOST_ENDING = 12
_VACUUMS = ("vacuum", "autovacuum", "analyze", "autoanalyze")


@dataclass(frozen=True)
class Tables:
    """What the list shows. `before`: the same at the start of the span; `told`: all findings."""

    source: Source
    read: Objects | None
    before: Objects | None
    told: Sequence[findings.Told]


@dataclass(frozen=True)
class Table:
    """One of them. `at`: when `row` was read."""

    source: Source
    row: Row
    at: float
    indexes: Sequence[Row]
    series: ObjectSeries | None


def view(tables: Tables, ask: Ask, foot: frame.Foot) -> str:
    """The list."""
    read = tables.read
    body = frame.heading("Tables", ask, parts.read_at(read.at if read else None, ask.now))
    if read is None or not read.rows:
        body += parts.empty("No snapshot told of tables yet.")
    else:
        grown = growth(read.rows, tables.before.rows if tables.before else (), "relid")
        body += f"{ending(tables.told)}{_listing(tables.source, grown, ask).html(read.rows, ask, read.more)}"
    return frame.of_database(tables.source, "Tables", body, ask, foot)


def page(table: Table, ask: Ask, foot: frame.Foot) -> str:
    """One table."""
    source, row = table.source, table.row
    data = _data(table.series, ask.span)
    panels = (SIZE, ROWS, SCANS, WRITES, READS, AGE)
    figures = "".join(chart.figure(panel, data, carried=True) for panel in panels)
    few = parts.empty("Lines begin with the second reading, an hour after the first.")
    body = (
        f"{frame.heading(parts.safe(name(row)), ask, parts.read_at(table.at, ask.now))}{_facts(row)}"
        f"{_vacuums(row, ask.now)}{chart.group(figures or few)}{_indexes(source, table.indexes, ask)}"
    )
    return frame.of_database(source, "Tables", body, ask, foot, charts=True, title=name(row))


def name(row: Row) -> str:
    """As people call it."""
    return f"{row.get('schemaname')}.{row.get('relname')}"


def growth(rows: Sequence[Row], before: Sequence[Row], key: str) -> dict[Any, float]:
    """By what `key` names, how many bytes each has grown by; those that were not told before are left out."""
    old = {row.get(key): shapes.real(row.get("size_bytes")) for row in before}
    return {
        row.get(key): size - was
        for row in rows
        if (size := shapes.real(row.get("size_bytes"))) is not None and (was := old.get(row.get(key))) is not None
    }


def signed_bytes(value: float | None) -> str:
    """ "+1.2 MiB"; what did not move is left blank."""
    if value is None:
        return parts.NOTHING
    return "" if value == 0 else f"{'+' if value > 0 else '−'}{parts.size(abs(value))}"


def ending(shown: Sequence[findings.Told]) -> str:
    """What comes to an end by itself, and in how many days."""
    known = [(days, each.finding) for each in shown if (days := shapes.real(each.finding.days_left)) is not None]
    if not known:
        return ""
    known.sort(key=lambda each: each[0])
    cells = [
        [
            f"<b>{parts.span(days * 86_400)}</b>",
            parts.one_line(finding.subject, 100),
            f'<span class="long">{parts.one_line(finding.summary, 240)}</span>',
        ]
        for days, finding in known[:_MOST_ENDING]
    ]
    more = f'<p class="quiet">and {len(known) - _MOST_ENDING} later ones</p>' if len(known) > _MOST_ENDING else ""
    return f"<section><h2>What comes to an end</h2>{parts.table(('Left', 'What', 'Why'), cells)}{more}</section>"


def _last(row: Row, *kinds: str) -> float | None:
    known = [at for kind in kinds if (at := epoch(row.get(f"last_{kind}"))) is not None]
    return max(known, default=None)


def _dead_share(row: Row) -> float | None:
    live, dead = shapes.real(row.get("n_live_tup")), shapes.real(row.get("n_dead_tup"))
    return None if live is None or dead is None or not live + dead else dead / (live + dead)


def _listing(source: Source, grown: Mapping[Any, float], ask: Ask) -> Listing[Row]:
    return Listing(
        columns=_columns(source, grown, ask),
        words=name,
        usual="size_bytes",
        noun="tables",
        section="tables",
        shows=(
            ("dead", "Over a fifth dead", lambda row: (_dead_share(row) or 0.0) > 0.2),
            ("growing", "Growing", lambda row: grown.get(row.get("relid"), 0.0) > 0),
            ("never", "Never vacuumed", lambda row: _last(row, "vacuum", "autovacuum") is None),
        ),
    )


def _columns(source: Source, grown: Mapping[Any, float], ask: Ask) -> Sequence[Column[Row]]:
    def linked(row: Row) -> str:
        return f"{link(source, row, ask)}{_kind(row)}"

    return (
        Column("name", "Table", linked, name, numeric=False, down=False),
        sizes("size_bytes", "Size"),
        growth_column(grown, "relid"),
        sizes("indexes_size_bytes", "Indexes"),
        numbers("n_live_tup", "Rows"),
        numbers("n_dead_tup", "Dead rows"),
        Column("dead", "Dead", lambda row: parts.percent(_dead_share(row)), _dead_share, about="of all rows"),
        numbers("seq_scan", "Seq. scans", "since the counters were reset"),
        numbers("idx_scan", "Index scans", "since the counters were reset"),
        _when("vacuum", "Vacuumed", ask.now),
        _when("analyze", "Analyzed", ask.now),
        numbers("relfrozenxid_age", "Age", "transactions since the oldest that is not frozen"),
    )


def _when(what: str, title: str, now: float) -> Column[Row]:
    kinds = (what, f"auto{what}")
    return Column(
        what,
        title,
        lambda row: parts.ago(_last(row, *kinds), now),
        lambda row: _last(row, *kinds),
        about="by hand or by itself",
    )


def link(source: Source, row: Row, ask: Ask) -> str:
    """A table's name, which leads to its page."""
    address = ask.link(f"/databases/{source.id}/tables/{parts.segment(row.get('relid'))}")
    return f'<a href="{address}">{parts.one_line(name(row), 100)}</a>'


def growth_column(grown: Mapping[Any, float], key: str) -> Column[Row]:
    """What each has grown by."""
    return Column(
        "growth",
        "Growth",
        lambda row: signed_bytes(grown.get(row.get(key))),
        lambda row: grown.get(row.get(key)),
        about="within the span, or since it was first told of",
    )


def _kind(row: Row) -> str:
    words = []
    if count := shapes.real(row.get("partition_count")):
        words.append(f"{count:.0f} partitions")
    if row.get("relispartition"):
        words.append("partition")
    if row.get("relkind") == "m":
        words.append("materialized")
    if row.get("autovacuum_enabled") is False:
        words.append("autovacuum off")
    return "".join(f' <span class="tag">{word}</span>' for word in words)


def _facts(row: Row) -> str:
    return parts.facts(
        [
            ("Size", bytes_of(row.get("size_bytes"))),
            ("Rows", count_of(row.get("n_live_tup"))),
            ("Dead rows", f"{count_of(row.get('n_dead_tup'))} ({parts.percent(_dead_share(row))})"),
            (
                "Indexes",
                f"{parts.number(shapes.real(row.get('index_count')))}, {bytes_of(row.get('indexes_size_bytes'))}",
            ),
            ("TOAST", bytes_of(row.get("toast_size_bytes"))),
            ("HOT updates", parts.percent(_share(row, "n_tup_hot_upd", "n_tup_upd"))),
            ("Primary key", "yes" if row.get("has_primary_key") else '<b class="bad">no</b>'),
            ("Storage parameters", parts.safe(row.get("reloptions") or "none")),
            ("Age", f"{count_of(row.get('relfrozenxid_age'))} transactions"),
        ]
    )


def _share(row: Row, part: str, whole: str) -> float | None:
    of = shapes.real(row.get(whole))
    return (shapes.real(row.get(part)) or 0.0) / of if of else None


def _vacuums(row: Row, now: float) -> str:
    cells = [
        [
            kind.upper() if not kind.startswith("auto") else kind,
            parts.ago(_last(row, kind), now),
            parts.number(shapes.real(row.get(f"{kind}_count"))),
            parts.milliseconds(shapes.real(row.get(f"total_{kind}_time_ms"))),
        ]
        for kind in _VACUUMS
    ]
    table = parts.table(("What", "Last", "How often", "Time in all"), cells, numeric=frozenset((2, 3)))
    return f"<section><h2>Vacuum and analyze</h2>{table}</section>"


def _indexes(source: Source, indexes: Sequence[Row], ask: Ask) -> str:
    if not indexes:
        return ""
    cells = [
        [
            parts.one_line(row.get("indexrelname"), 80),
            bytes_of(row.get("size_bytes")),
            count_of(row.get("idx_scan")),
            f"<code>{parts.one_line(row.get('definition'), 300)}</code>",
        ]
        for row in indexes
    ]
    link = ask.link(f"/databases/{source.id}/indexes", q=None)
    table = parts.table(("Index", "Size", "Scans", "Definition"), cells, numeric=frozenset((1, 2)))
    return f'<section><h2>Its indexes</h2>{table}<p><a href="{link}">All indexes</a></p></section>'


def with_newest(series: ObjectSeries, row: Row, at: float) -> ObjectSeries:
    """Readings are an hour apart; what came since then is the last of them, too."""
    if at <= series.times[-1]:
        return series
    columns = {key: [*column, shapes.real(row.get(key))] for key, column in series.columns.items()}
    return ObjectSeries([*series.times, at], columns)


def _data(series: ObjectSeries | None, span: tuple[float, float]) -> chart.Data:
    if series is None:
        return chart.Data(span, [], {})
    values = {
        key: rates(series.times, column) if key in _COUNTERS else column for key, column in series.columns.items()
    }
    return chart.Data(span, series.times, values)


def rates(times: Sequence[float], column: Values) -> list[float | None]:
    """Of a counter, what it grew by per second since it was last known; None after a reset, and at the first."""
    found: list[float | None] = []
    at = 0.0
    was: float | None = None
    for time, value in zip(times, column, strict=True):
        grew = None if value is None or was is None or value < was else (value - was) / max(time - at, 1e-9)
        found.append(grew)
        if value is not None:
            at, was = time, value
    return found
