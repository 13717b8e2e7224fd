"""Transaction ids that are not frozen in time: in the end the server takes no more writes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, Sample, check, graded, severity_of
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import counted, format_count

STOPS_AT = 2**31 - 3_000_000
"""Age of a database from which on the server hands out no more (varsup.c, multixact.c; before 14 2 million later)."""
_SHOWN = 10
_TREND = "xid-wraparound:next_xid"


@dataclass(frozen=True)
class Ids:
    """What wraps around: columns with ages, settings that govern them and the first one's default, and the words."""

    database_age: str
    table_age: str
    setting: str
    usual: float
    failsafe: str
    name: str
    end: str


XIDS = Ids(
    "datfrozenxid_age",
    "relfrozenxid_age",
    "autovacuum_freeze_max_age",
    200_000_000,
    "vacuum_failsafe_age",
    "transactions",
    "takes no more writes",
)


@check(
    category="wraparound and vacuum",
    scope="server",
    reads=("databases", "settings", "server", "autovacuum_queue"),
    primary=True,
    follows=("xmin-horizon", "autovacuum-off"),
)
def xid_wraparound(
    now: Document,
    before: Document,
    *,
    warning_times: float = 2,
    critical_times: float = 4,
    critical_count: float = 1_600_000_000,
) -> Said:
    """Transaction ids are not frozen in time (pg_database.datfrozenxid): in the end nothing can be written."""
    next_xid = now.one("server").get("next_xid") if now.has("server") else None
    if next_xid is not None:
        yield Sample(_TREND, next_xid)

    def days_left(age: float) -> float | None:
        points = [*now.trends.get(_TREND, ()), (now.server_time, next_xid or 0)]
        return delta.days_left(points, points[-1][1] + STOPS_AT - age) if next_xid is not None else None

    yield from aged(now, XIDS, (warning_times, critical_times, critical_count), days_left)


def aged(
    now: Document, ids: Ids, limits: tuple[float, float, float], days_left: Callable[[float], float | None]
) -> Iterator[Finding]:
    """The server's oldest database, if it is too old. `limits`: times the setting, times the setting, and an age."""
    trigger = now.number_setting(ids.setting) or ids.usual
    warning, critical = _ages(now, ids, trigger, limits)
    databases = _oldest(now.rows("databases"), ids.database_age)
    age = float(databases[0][ids.database_age]) if databases else 0.0
    severity = severity_of(age, warning, critical)
    if severity is None:
        return
    name = str(databases[0].get("datname"))
    remedy = _remedy(now, ids, [row for row in databases if row[ids.database_age] >= warning], warning)
    yield graded(
        severity,
        "",
        f"database {name} has {ids.name} that were not frozen for {format_count(age)} {ids.name}: in another "
        f"{format_count(max(0, STOPS_AT - age))} the server {ids.end}",
        subject=name,
        threshold=f"warning from {format_count(warning)}, critical from {format_count(critical)}: {limits[0]:g} and "
        f"{limits[1]:g} × {ids.setting} ({format_count(trigger)}), where that is in reach",
        evidence={
            "databases": {str(row.get("datname")): row[ids.database_age] for row in databases[:_SHOWN]},
            "oldest_tables": dict(list(_tables(now, ids).items())[:_SHOWN]),
        },
        remedy=remedy,
        caution="reads all that was not frozen yet, at full speed unless vacuum_cost_delay is set; locks out no one"
        if "\nVACUUM" in remedy
        else "",
        days_left=days_left(age),
    )


def _ages(now: Document, ids: Ids, trigger: float, limits: tuple[float, float, float]) -> tuple[float, float]:
    """For a warning, and for worse; the trigger may be set so high that its multiples are out of reach."""
    warning_times, critical_times, most = limits
    hurry = now.number_setting(ids.failsafe)  # 14+: then VACUUM drops all else. One below a warning is no deadline
    if hurry is not None and hurry > warning_times * trigger:
        most = min(most, hurry)
    critical = max(min(critical_times * trigger, most), 1.05 * trigger)
    return min(warning_times * trigger, (trigger + critical) / 2), critical


def _oldest(rows: list[Row], age: str) -> list[Row]:
    return sorted((row for row in rows if row.get(age) is not None), key=lambda row: -row[age])


def _tables(now: Document, ids: Ids) -> dict[str, float]:
    """Of the connected database those that ought to have been frozen, as SQL writes them, with the age, oldest first.

    A TOAST table goes by its table, which is vacuumed with it.
    """
    rows = now.rows("autovacuum_queue") if now.has("autovacuum_queue") else []
    found: dict[str, float] = {}
    for row in _oldest([row for row in rows if row.get("freeze_due")], ids.table_age):
        found.setdefault(identifier(str(row.get("schemaname")), str(row.get("relname"))), row[ids.table_age])
    return found


def _remedy(now: Document, ids: Ids, databases: list[Row], least: float) -> str:
    """VACUUM of what is too old, in each database that can be connected to; then what becomes of the others."""
    opened = [row for row in databases if row.get("datallowconn") is not False]
    words = "; first see what keeps old rows: the check xmin-horizon"
    lines = []
    for row in opened[:_SHOWN]:
        lines += [
            f"-- connected to the database {identifier(str(row.get('datname')))}{words}",
            *_vacuum(now, ids, row, least),
        ]
        words = ":"
    if len(opened) > _SHOWN:
        more = counted(len(opened) - _SHOWN, "more database")
        lines.append(f"-- and {more}; in a shell, all that take connections: vacuumdb --all")
    closed = [row for row in databases if row.get("datallowconn") is False]
    lines += [line for row in closed[:_SHOWN] for line in _closed(now, ids, row)]
    return "".join(f"{line}\n" for line in lines)


def _vacuum(now: Document, ids: Ids, database: Row, least: float) -> list[str]:
    """Of the tables that are too old, where those are known and few; else of the whole database."""
    is_own = database.get("datname") == now.db_name
    tables = [each for each, age in _tables(now, ids).items() if age >= least] if is_own else []
    return [f"VACUUM {each};" for each in tables] if tables and len(tables) <= _SHOWN else ["VACUUM;"]


def _closed(now: Document, ids: Ids, database: Row) -> list[str]:
    """Of a database that takes no connections, as template0."""
    name = identifier(str(database.get("datname")))
    age = now.number_setting(ids.setting) or ids.usual
    return [
        f"-- {name} takes no connections: autovacuum freezes it by itself, from {age:,.0f} {ids.name} on",
        f"-- ({ids.setting}), where it is off, too, once nothing keeps old rows. By hand, as a superuser in psql:",
        f"-- ALTER DATABASE {name} ALLOW_CONNECTIONS true;",
        f"-- \\connect {name}",
        "-- VACUUM FREEZE;",
        f"-- \\connect {identifier(now.db_name or 'postgres')}",
        f"-- ALTER DATABASE {name} ALLOW_CONNECTIONS false;",
    ]
