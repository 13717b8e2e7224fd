"""Vacuum: what runs, what waits for it and why, what keeps it from cleaning, and how old the oldest rows are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgdoctor_lib.checks.document import Document, Row, epoch
from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store.model import Source
from pgdoctor_lib.receiver.web import chart, frame, parts
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.latest import one_of, rows_of, total_of
from pgdoctor_lib.receiver.web.listing import Column, Listing, count_of, numbers, sizes

SECTIONS = ("progress", "autovacuum", "vacuum", "horizon", "database", "databases")
AGE = chart.Panel(
    "age", "Age of the oldest transaction id", "", {"database.datfrozenxid_age": "Transactions"}, zero=False
)
DEAD = chart.Panel("dead", "Dead rows", "", {"tables.n_dead_tup": "Dead rows"}, about="of all tables")
_END = 2**31
_HOLDERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "session": ("a session", ("session_pid", "session_usename", "session_application_name", "session_state")),
    "prepared": ("a prepared transaction", ("prepared_gid", "prepared_owner")),
    "feedback": ("a standby's feedback", ("feedback_application_name", "feedback_client_addr")),
    "slot": ("a replication slot", ("slot_name", "slot_type")),
    "catalog_slot": ("a replication slot (catalogs)", ("catalog_slot_name", "catalog_slot_type")),
}


@dataclass(frozen=True)
class Vacuum:
    """What it shows."""

    source: Source
    document: Document | None
    data: chart.Data


def view(vacuum: Vacuum, ask: Ask, foot: frame.Foot) -> str:
    """The page."""
    now, source = vacuum.document, vacuum.source
    figures = "".join(chart.figure(panel, vacuum.data) for panel in (AGE, DEAD))
    body = (
        f"{frame.heading('Vacuum', ask)}{_facts(now, source)}{_runs(now)}{_horizon(now)}"
        f"{chart.group(figures, source.id)}{_waits(now, ask)}"
    )
    return frame.of_database(source, "Vacuum", body, ask, foot, charts=True)


def _facts(now: Document | None, source: Source) -> str:
    (database, _), (total, _), (queue, _) = (
        one_of(now, "database"),
        total_of(now, "autovacuum"),
        total_of(now, "vacuum"),
    )
    age, limit = shapes.real(database.get("datfrozenxid_age")), shapes.real(total.get("freeze_max_age"))
    pairs = [
        ("Oldest transaction id", f"{count_of(age)} transactions old" if age is not None else ""),
        ("Of the way to wraparound", parts.percent(age / _END) if age is not None else ""),
        (
            "Autovacuum must at",
            f"{count_of(limit)} ({parts.percent(age / limit)} there)" if age is not None and limit else "",
        ),
        (
            "Workers",
            " of ".join(parts.number(shapes.real(total.get(key))) for key in ("count", "autovacuum_max_workers"))
            if total
            else "",
        ),
        ("Autovacuum", _on(total.get("autovacuum", queue.get("autovacuum")))),
        ("Tables that keep it off", parts.number(shapes.real(queue.get("autovacuum_disabled_count"))) if queue else ""),
    ]
    told = parts.facts([(name, value) for name, value in pairs if value])
    return told or parts.empty(f"No snapshot of {source.name} tells of vacuum yet: it comes every five minutes.")


def _on(value: object) -> str:
    return "" if value is None else "on" if value in (True, "on") else '<b class="bad">off</b>'


def _runs(now: Document | None) -> str:
    rows, why = rows_of(now, "progress")
    workers, _ = rows_of(now, "autovacuum")
    known = {shapes.number(row.get("pid")) for row in rows}
    others = [row for row in workers if shapes.number(row.get("pid")) not in known]
    if not rows and not others:
        told = f"Not known: {parts.safe(why)}" if why else "Nothing is being vacuumed, analyzed, indexed or copied."
        return f'<section><h2>At work</h2><p class="quiet">{told}</p></section>'
    cells = [_run(row) for row in rows] + [_worker(row) for row in others]
    heads = ("Command", "Of", "By", "Phase", "Done", "For", "Waits for")
    return f"<section><h2>At work</h2>{parts.table(heads, cells, numeric=frozenset((4, 5)))}</section>"


def _run(row: Row) -> list[str]:
    table = ".".join(str(row[key]) for key in ("schemaname", "relname") if row.get(key)) or row.get("datname") or ""
    who = "autovacuum" if row.get("is_autovacuum") else f"{row.get('usename') or ''} (pid {row.get('pid')})"
    done = shapes.real(row.get("percent_done"))
    return [
        parts.one_line(f"{row.get('command')}{' to prevent wraparound' if row.get('is_wraparound') else ''}", 60),
        parts.one_line(table, 120),
        parts.one_line(who, 80),
        parts.one_line(row.get("phase"), 60),
        parts.NOTHING if done is None else f"{bar(done / 100)} {parts.percent(done / 100)}",
        parts.span(age) if (age := shapes.real(row.get("query_age_s"))) is not None else parts.NOTHING,
        parts.one_line(" ".join(str(row[key]) for key in ("wait_event_type", "wait_event") if row.get(key)), 60),
    ]


def _worker(row: Row) -> list[str]:
    done, of = shapes.real(row.get("heap_blks_scanned")), shapes.real(row.get("heap_blks_total"))
    share = done / of if done is not None and of else None
    return [
        parts.one_line(row.get("command") or "looks for work", 60),
        parts.one_line(row.get("relation") or row.get("datname"), 120),
        "autovacuum",
        parts.one_line(row.get("phase"), 60),
        parts.NOTHING if share is None else f"{bar(share)} {parts.percent(share)}",
        parts.span(age) if (age := shapes.real(row.get("age_s"))) is not None else parts.NOTHING,
        parts.one_line(row.get("wait_event"), 60),
    ]


def bar(share: float, kind: str = "c0") -> str:
    """A share of 0 to 1 as a bar."""
    width = max(0.0, min(1.0, share)) * 60
    return (
        '<svg class="share" width="60" height="8" aria-hidden="true"><rect class="track" width="60" height="8"/>'
        f'<rect class="{kind}" width="{width:.1f}" height="8"/></svg>'
    )


def _horizon(now: Document | None) -> str:
    row, _ = one_of(now, "horizon")
    known = [
        [
            what,
            parts.one_line(", ".join(str(row[key]) for key in keys if row.get(key) not in (None, "")), 200),
            count_of(row.get(f"{kind}_xmin_age")),
        ]
        for kind, (what, keys) in _HOLDERS.items()
        if row.get(f"{kind}_xmin_age") is not None
    ]
    if not known:
        return ""
    table = parts.table(("What", "Which", "Transactions since"), known, numeric=frozenset((2,)))
    return f"<section><h2>What keeps it from cleaning</h2>{table}</section>"


def _waits(now: Document | None, ask: Ask) -> str:
    rows, why = rows_of(now, "vacuum")
    if now is None or not rows:
        return parts.empty(f"When tables are vacuumed next is not known: {why}") if why else ""
    read, left_out = parts.read_at(now.taken_at("vacuum"), ask.now), shapes.left_out(now.one("vacuum"))
    listed = _listing(ask.now).html(rows, ask, left_out)
    return f"<section><h2>Tables, and how near vacuum is</h2><p>{read}</p>{listed}</section>"


def _name(row: Row) -> str:
    toast = " (TOAST)" if row.get("relkind") == "t" else ""
    return f"{row.get('schemaname')}.{row.get('relname')}{toast}"


def _last(row: Row) -> float | None:
    known = [at for key in ("last_vacuum", "last_autovacuum") if (at := epoch(row.get(key))) is not None]
    return max(known, default=None)


def _percent(key: str, title: str, about: str) -> Column[Row]:
    def cell(row: Row) -> str:
        share = shapes.real(row.get(key))
        if share is None:
            return parts.NOTHING
        return f"{parts.percent(share / 100)} {bar(share / 100, 'bad' if share >= 100 else 'c0')}"

    return Column(key, title, cell, lambda row: shapes.real(row.get(key)), about=about)


def _worst(row: Row) -> float:
    keys: Sequence[str] = ("vacuum_percent", "vacuum_insert_percent", "freeze_percent", "multixact_freeze_percent")
    return max(shapes.real(row.get(key)) or 0.0 for key in keys)


def _listing(now: float) -> Listing[Row]:
    return Listing(
        columns=(
            Column("table", "Table", lambda row: parts.one_line(_name(row), 100), _name, numeric=False, down=False),
            Column("worst", "Nearest", lambda row: f"{_worst(row):.0f}\u202f%", _worst, about="the greatest of these"),
            _percent("vacuum_percent", "Dead rows", "of the threshold from which on it is vacuumed"),
            _percent("vacuum_insert_percent", "Inserted", "rows inserted, of the threshold (13 and later)"),
            _percent("analyze_percent", "Changed", "rows changed, of the threshold of ANALYZE"),
            _percent("freeze_percent", "Age", "transactions, of those at which it must be vacuumed"),
            numbers("n_dead_tup", "Dead, in all"),
            sizes("size_bytes", "Size"),
            Column("last", "Last vacuum", lambda row: parts.ago(_last(row), now), _last, about="by hand or by itself"),
            Column("auto", "Autovacuum", lambda row: _on(row.get("autovacuum_enabled")), numeric=False),
        ),
        words=_name,
        usual="worst",
        noun="tables",
        shows=(
            ("due", "Due", lambda row: _worst(row) >= 100),
            ("off", "Autovacuum off", lambda row: row.get("autovacuum_enabled") is False),
        ),
        section="vacuum",
        page_rows=40,
    )  # fmt: skip
