"""The charts of a database's overview, in the order in which they stand."""

from pgdoctor_lib.receiver.web.chart import Panel

_WAITS = ("CPU", "IO", "Lock", "LWLock", "Client", "IPC", "Timeout", "BufferPin", "Extension")
SESSIONS = Panel(
    "sessions",
    "Active sessions, by what they wait for",
    "",
    {f"activity.active_{wait.lower()}": "CPU (no wait)" if wait == "CPU" else wait for wait in _WAITS},
    stacked=True,
    colors=(0, 1, 8, 3, 4, 5, 6, 7, 2),
)
LAG = Panel(
    "lag",
    "Replication lag",
    "bytes",
    {
        "replication.replay_lag_bytes": "Behind its primary",
        "replication.lag_bytes": "Furthest standby behind",
        "slots.retained_bytes": "WAL kept by slots",
    },
)
OVERVIEW: tuple[Panel, ...] = (
    Panel(
        "transactions",
        "Transactions",
        "/s",
        {"database.xact_commit": "Commits", "database.xact_rollback": "Rollbacks"},
    ),
    Panel("statements", "Statements", "/s", {"queries.calls": "Statements"}),
    Panel("statement-time", "Time in statements, per second", "s", {"made.statement_time": "Time"}),
    Panel(
        "rows-read",
        "Rows read",
        "/s",
        {"database.tup_returned": "Scanned", "database.tup_fetched": "Fetched by indexes"},
    ),
    Panel(
        "rows-written",
        "Rows written",
        "/s",
        {
            "database.tup_inserted": "Inserted",
            "database.tup_updated": "Updated",
            "database.tup_deleted": "Deleted",
        },
    ),
    Panel(
        "blocks",
        "Blocks",
        "/s",
        {"database.blks_hit": "Found in the cache", "database.blks_read": "Read from the system"},
    ),
    Panel("cache", "Cache hits", "%", {"made.cache_hit": "Hits"}),
    Panel("temporary", "Temporary files written", "bytes/s", {"database.temp_bytes": "Written"}),
    Panel("wal", "WAL written", "bytes/s", {"wal.wal_bytes": "WAL"}),
    Panel(
        "checkpoints",
        "Checkpoints per hour",
        "",
        {"made.checkpoints_timed": "By time", "made.checkpoints_requested": "Requested"},
    ),
    Panel(
        "connections",
        "Connections",
        "",
        {
            "activity.active": "Active",
            "activity.idle_in_transaction": "Idle in transaction",
            "activity.idle": "Idle",
        },
        stacked=True,
        colors=(0, 1, 4),
    ),
    Panel(
        "longest",
        "Longest at work",
        "s",
        {"activity.longest_xact_s": "Transaction", "activity.longest_query_s": "Statement"},
    ),
    Panel("size", "Size", "bytes", {"database.size_bytes": "Size"}, zero=False),
    LAG,
    Panel("dead", "Dead rows", "", {"tables.n_dead_tup": "Dead rows"}),
    Panel("load", "Load of the machine", "", {"host.load_1m": "Load", "host.cpu_count": "CPUs"}),
)


def names(*panels: Panel) -> list[str]:
    """The series of these charts."""
    return [name for panel in panels for name in panel.lines]
