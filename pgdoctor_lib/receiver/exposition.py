"""Prometheus' text format (0.0.4), of what alerts need: the receiver's own health, and few figures of each database.

The number of series is bounded: a fixed set for each database, a thousand databases, no label by query or table.
What a server tells as a whole comes with one of its databases. Of a database whose data do not come any more there is
that, and no figure that is out of date.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pgdoctor_lib import __version__
from pgdoctor_lib.receiver.store import Source, Store
from pgdoctor_lib.receiver.tally import OUTCOMES, Tally, cpu_seconds, resident_bytes
from pgdoctor_lib.receiver.web.state import state

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_DATABASES = 1000
_STATUSES = (200, 201, 401, 409, 500, 503)  # told from the start: what begins with 1 has not grown
Kind = Literal["counter", "gauge"]
Sample = tuple[str, float | None]  # the labels, written, and the value


@dataclass(frozen=True)
class Figure:
    """A metric of the snapshots under Prometheus' conventions: base units, `_total` for counters.

    `is_rate`: of a counter that may fall without a reset, for which Prometheus would take that: pg_stat_statements'
    sums do when it throws statements out.
    """

    name: str
    kind: Kind
    about: str
    metric: str
    factor: float = 1.0
    is_rate: bool = False


FIGURES: tuple[Figure, ...] = (
    Figure("database_commits_total", "counter", "Transactions committed.", "database.xact_commit"),
    Figure("database_rollbacks_total", "counter", "Transactions rolled back.", "database.xact_rollback"),
    Figure("database_blocks_hit_total", "counter", "Blocks found in shared buffers.", "database.blks_hit"),
    Figure("database_blocks_read_total", "counter", "Blocks read from below.", "database.blks_read"),
    Figure("database_deadlocks_total", "counter", "Deadlocks.", "database.deadlocks"),
    Figure("database_conflicts_total", "counter", "Statements cancelled by recovery.", "database.conflicts"),
    Figure("database_temp_bytes_total", "counter", "Temporary files written.", "database.temp_bytes"),
    Figure("database_statements_per_second", "gauge", "Statements run, per second.", "queries.calls", is_rate=True),
    Figure("database_statement_seconds_per_second", "gauge", "Time in statements, per second.",
           "queries.total_exec_time_ms", 0.001, is_rate=True),
    Figure("database_size_bytes", "gauge", "Size on disk.", "database.size_bytes"),
    Figure("database_backends", "gauge", "Sessions in this database.", "database.numbackends"),
    Figure("database_xid_age", "gauge", "Transactions since its oldest unfrozen one.", "database.datfrozenxid_age"),
    Figure("database_dead_rows", "gauge", "Dead rows in its tables.", "tables.n_dead_tup"),
    Figure("server_connections", "gauge", "Client sessions.", "activity.client_backends"),
    Figure("server_max_connections", "gauge", "Sessions allowed.", "activity.max_connections"),
    Figure("server_active_sessions", "gauge", "Sessions at work.", "activity.active"),
    Figure("server_idle_in_transaction_sessions", "gauge", "Sessions idle in their transaction.",
           "activity.idle_in_transaction"),
    Figure("server_lock_waiting_sessions", "gauge", "Sessions that wait for a lock.", "activity.lock_waits"),
    Figure("server_longest_transaction_seconds", "gauge", "Age of the longest transaction.", "activity.longest_xact_s"),
    Figure("server_replay_lag_bytes", "gauge", "Of a standby: how far behind its primary.",
           "replication.replay_lag_bytes"),
    Figure("server_standbys", "gauge", "Standbys that stream from it.", "replication.sender_count"),
    Figure("server_standby_lag_bytes", "gauge", "How far its furthest standby is behind.", "replication.lag_bytes"),
    Figure("server_slot_retained_bytes", "gauge", "WAL that slots keep.", "slots.retained_bytes"),
    Figure("server_wal_bytes_total", "counter", "WAL written.", "wal.wal_bytes"),
    Figure("server_checkpoints_timed_total", "counter", "Checkpoints by time.", "checkpointer.num_timed"),
    Figure("server_checkpoints_requested_total", "counter", "Checkpoints requested.", "checkpointer.num_requested"),
    Figure("host_load1", "gauge", "Load of the server's machine, where its agent runs there.", "host.load_1m"),
    Figure("host_memory_available_bytes", "gauge", "Memory available there.", "host.memory_available_bytes"),
    Figure("host_disk_used_ratio", "gauge", "Its fullest disk, 0 to 1.", "host.disk_used_percent", 0.01),
    Figure("agent_resident_memory_bytes", "gauge", "Memory of the agent that sends this.", "agent.rss_bytes"),
    Figure("agent_cpu_seconds_total", "counter", "CPU time of that agent.", "agent.cpu_s"),
)  # fmt: skip


def own(tally: Tally, waiting: Mapping[str, int], store_up: bool) -> str:
    """What the receiver knows of itself, whether its store is there or not.

    `waiting`: requests that wait for the store, by what for; `store_up`: whether it can be read and written.
    """
    counted = sorted({**dict.fromkeys(_STATUSES, 0), **tally.requests}.items())
    families = (
        _one("pgdoctor_build_info", "gauge", "The receiver's version.", 1, version=__version__),
        _one("process_resident_memory_bytes", "gauge", "Memory of the receiver.", resident_bytes()),
        _one("process_cpu_seconds_total", "counter", "CPU time of the receiver.", cpu_seconds()),
        _one("process_start_time_seconds", "gauge", "When the receiver started.", tally.started_at),
        _family("pgdoctor_receiver_requests_total", "counter", "Requests answered, by status.",
                [(_labels(status=str(status)), count) for status, count in counted]),
        _family("pgdoctor_receiver_snapshots_total", "counter", "Snapshots sent to it.",
                [(_labels(outcome=outcome), tally.snapshots[outcome]) for outcome in OUTCOMES]),
        _family("pgdoctor_receiver_waiting", "gauge", "Requests that the store is at work on, or that wait for it.",
                [(_labels(store=what), count) for what, count in waiting.items()]),
        _family("pgdoctor_receiver_upkeep_timestamp_seconds", "gauge", "When its work on the store last succeeded.",
                [(_labels(work=work), at) for work, at in tally.upkeep.items()]),
        _one("pgdoctor_receiver_store_up", "gauge", "1 where its store can be read and written.", store_up),
    )  # fmt: skip
    return "".join(families)


def stored(store: Store, project: str | None, now: float) -> str:
    """What the store tells. `project`: of its databases only."""
    sources = store.sources(project)
    shown = sources[:MOST_DATABASES]
    live = [source for source in shown if state(source, now)[0] != "stale"]
    told = store.latest(_metrics(is_rate=False), live, _metrics(is_rate=True))
    whole = _whole(store) if project is None else ()
    return "".join((*whole, *_known(sources), *_databases(shown, live), *_figures(live, told)))


def _whole(store: Store) -> Iterator[str]:
    yield _one("pgdoctor_receiver_store_bytes", "gauge", "What the store takes on disk.", store.size_bytes())
    yield _one("pgdoctor_receiver_store_used_bytes", "gauge", "That part of its file which is in use.",
               store.used_bytes())  # fmt: skip
    yield _one("pgdoctor_receiver_oldest_snapshot_timestamp_seconds", "gauge",
               "When the oldest snapshot that is kept was received.", store.oldest())  # fmt: skip


def _known(sources: Sequence[Source]) -> Iterator[str]:
    newest = max((source.received_at for source in sources), default=None)
    yield _one("pgdoctor_receiver_databases", "gauge", "Databases that are known.", len(sources))
    yield _one("pgdoctor_receiver_newest_snapshot_timestamp_seconds", "gauge",
               "When the newest snapshot was received.", newest)  # fmt: skip


def _databases(sources: Sequence[Source], live: Sequence[Source]) -> Iterator[str]:
    up = {source.id for source in live}
    yield _family("pgdoctor_database_up", "gauge", "1 where its snapshots come, 0 after three missing intervals.",
                  [(_of(source), source.id in up) for source in sources])  # fmt: skip
    yield _family("pgdoctor_database_last_snapshot_timestamp_seconds", "gauge", "When its newest was collected.",
                  [(_of(source), source.collected_at) for source in sources])  # fmt: skip
    yield _family(
        "pgdoctor_database_open_findings", "gauge", "Open findings.",
        [
            (f"{_of(source)},{_labels(severity=severity)}", count)
            for source in live
            for severity, count in (("critical", source.critical), ("warning", source.warnings))
        ],
    )  # fmt: skip
    yield _family("pgdoctor_database_collector_errors", "gauge", "Collectors that failed in its newest snapshot.",
                  [(_of(source), source.errors) for source in live])  # fmt: skip


def _metrics(*, is_rate: bool) -> list[str]:
    return [figure.metric for figure in FIGURES if figure.is_rate == is_rate]


def _figures(live: Sequence[Source], told: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    of = {source.id: _of(source) for source in live}
    for figure in FIGURES:
        values = ((identity, told.get(identity, {}).get(figure.metric)) for identity in of)
        samples = [(of[identity], value and value * figure.factor) for identity, value in values]
        yield _family(f"pgdoctor_{figure.name}", figure.kind, figure.about, samples)


def _of(source: Source) -> str:
    return _labels(database=source.name, project=source.project)


def _one(name: str, kind: Kind, about: str, value: float | None, **labels: str) -> str:
    return _family(name, kind, about, [(_labels(**labels), value)])


def _family(name: str, kind: Kind, about: str, samples: Iterable[Sample]) -> str:
    """With its samples; nothing where it has none."""
    lines = [
        f"{name}{{{labels}}} {_number(value)}\n" if labels else f"{name} {_number(value)}\n"
        for labels, value in samples
        if value is not None
    ]
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n{''.join(lines)}" if lines else ""


def _labels(**labels: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**63 else f"{value:.15g}"
