"""Memory and connections as PostgreSQL comes, on a server that has outgrown that; or more than there is."""

from collections.abc import Iterator

from pgdoctor_lib.checks.altering import alter_system, provider
from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import Said, check, graded, info, warning
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.units import format_bytes

_MIB, _GIB = 1024**2, 1024**3
_AS_IT_COMES = 128 * _MIB
_UNITS = {"B": 1, "kB": 1024, "8kB": 8192, "16kB": 16384, "32kB": 32768, "MB": _MIB, "GB": _GIB}
_TIMES = 4


@check(category="I/O and memory", scope="server", reads=("settings", "server", "database_sizes", "host"))
def memory_settings(
    now: Document,
    before: Document,
    *,
    least_bytes: float = 1e9,
    warning_percent: float = 100,
    warning_count: float = 500,
) -> Said:
    """shared_buffers, work_mem, max_connections or random_page_cost do not fit data and machine (pg_settings)."""
    size, memory = _data_bytes(now), _memory_bytes(now)
    found = [
        *_shared_buffers(now, size, memory, least_bytes),
        *_work_mem(now, memory, warning_percent),
        *_max_connections(now, warning_count),
        *_random_page_cost(now, size, least_bytes),
    ]
    if size is None and not found:
        raise NotExamined("the databases were not measured yet: once an hour")
    yield from found


def _shared_buffers(now: Document, size: float | None, memory: float | None, least: float) -> Iterator[Finding]:
    buffers = _bytes(now, "shared_buffers")
    if size is None or buffers is None or buffers > _AS_IT_COMES or size < least:
        return
    if memory is not None and buffers * 5 > memory:
        return  # there is no more on this machine
    proposed = max(2 * buffers, min(memory / 4, 8 * _GIB) if memory else 512 * _MIB)
    known = f"a quarter of the machine's {format_bytes(memory)}" if memory else "a quarter of its memory is usual"
    yield warning(
        "shared_buffers",
        f"shared_buffers is {format_bytes(buffers)} for {format_bytes(size)} of data",
        subject="shared_buffers",
        threshold=f"at most {format_bytes(_AS_IT_COMES)}, as PostgreSQL comes, for {format_bytes(least)} or more",
        evidence={"shared_buffers_bytes": buffers, "database_bytes": size, "memory_bytes": memory},
        remedy=f"-- {known}{'' if memory else '; this fits any of 2 GB or more'}\n"
        + alter_system(now, {"shared_buffers": f"{proposed / _MIB:.0f}MB"}, restart=True),
        caution="needs a restart; the server does not start with more than the machine, or its container, has",
    )


def _work_mem(now: Document, memory: float | None, percent: float) -> Iterator[Finding]:
    """What all connections together may take, where the machine's memory is known."""
    work_mem, buffers, most = (
        _bytes(now, "work_mem"),
        _bytes(now, "shared_buffers"),
        now.number_setting("max_connections"),
    )
    if not (memory and work_mem and buffers and most):
        return
    needed = buffers + work_mem * most
    if needed * 100 <= memory * percent:
        return
    yield warning(
        "work_mem",
        f"{most:.0f} connections of {format_bytes(work_mem)} work_mem each and shared_buffers come to "
        f"{format_bytes(needed)}: the machine has {format_bytes(memory)}",
        subject="work_mem",
        threshold=f"shared_buffers + max_connections × work_mem over {percent:g} % of the machine's memory",
        evidence={"work_mem_bytes": work_mem, "max_connections": most, "memory_bytes": memory},
        remedy="-- less for everybody, and more for those roles that sort much (ALTER ROLE … SET work_mem), or\n"
        "-- fewer connections, behind a pooler\n"
        + alter_system(now, {"work_mem": f"{max(1, (memory * 0.75 - buffers) / most / _MIB):.0f}MB"}),
        caution="sorts and hashes that need more go to temporary files",
    )


def _max_connections(now: Document, count: float) -> Iterator[Finding]:
    most = now.number_setting("max_connections")
    if most is not None and most > count:
        yield graded(
            Severity.INFO if provider(now) else Severity.WARNING,  # a service has its own formula
            "max_connections",
            f"max_connections is {most:.0f}: so many sessions at work would slow each other down",
            subject="max_connections",
            threshold=f"more than {count:g}",
            evidence={"max_connections": most},
            remedy="-- put a pooler (PgBouncer, in transaction mode) before the server, then\n"
            + alter_system(now, {"max_connections": f"{count:.0f}"}, restart=True),
            caution="needs a restart, standbys last; applications that open more are refused from then on",
        )


def _random_page_cost(now: Document, size: float | None, least: float) -> Iterator[Finding]:
    cost, sequential = now.number_setting("random_page_cost"), now.number_setting("seq_page_cost")
    if size is not None and size >= least and cost is not None and cost >= _TIMES * (sequential or 1):
        yield info(
            "random_page_cost",
            f"random_page_cost is {cost:g}, as for spinning disks: plans avoid indexes more than they should",
            subject="random_page_cost",
            threshold=f"{_TIMES} × seq_page_cost, as PostgreSQL comes, with {format_bytes(least)} of data or more",
            evidence={"random_page_cost": cost, "seq_page_cost": sequential, "database_bytes": size},
            remedy="-- on an SSD, or where most of the data is in memory\n"
            + alter_system(now, {"random_page_cost": "1.1"}),
            caution="plans change: try it in one session first (SET random_page_cost = 1.1)",
        )


def _bytes(now: Document, name: str) -> float | None:
    value, unit = now.number_setting(name), (now.settings.get(name) or {}).get("unit")
    return None if value is None else value * _UNITS.get(str(unit), 1)


def _data_bytes(now: Document) -> float | None:
    if not now.has("database_sizes"):
        return None
    return float(sum(row.get("size_bytes") or 0 for row in now.rows("database_sizes")))


def _memory_bytes(now: Document) -> float | None:
    """The machine's, where the server is on the agent's own."""
    host = now.one("host") if now.has("host") else {}
    return host.get("memory_bytes") if host.get("server_seen") else None
