"""Autovacuum comes later, or works slower, than as PostgreSQL comes."""

from collections.abc import Iterator

from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, info

_LATER = {  # by column: the setting, and what PostgreSQL comes with; more is later or slower
    "vacuum_scale_factor": ("autovacuum_vacuum_scale_factor", 0.2),
    "vacuum_insert_scale_factor": ("autovacuum_vacuum_insert_scale_factor", 0.2),
    "analyze_scale_factor": ("autovacuum_analyze_scale_factor", 0.1),
    "cost_delay_ms": ("autovacuum_vacuum_cost_delay", 2),
    "naptime_s": ("autovacuum_naptime", 60),
}
_FEWER = {"cost_limit": ("autovacuum_vacuum_cost_limit", 200), "autovacuum_max_workers": ("autovacuum_max_workers", 3)}


@check(
    category="wraparound and vacuum",
    scope="server",
    reads=("autovacuum", "settings", "server"),
    primary=True,
    every_s=300,
)
def autovacuum_throttled(now: Document, before: Document) -> Said:
    """Autovacuum is set to come later, or to work slower, than as PostgreSQL comes (autovacuum_… in pg_settings)."""
    total = now.total("autovacuum")
    slower = dict(_slower(total))
    if not slower:
        return
    told = ", ".join(f"{name} is {value:g} ({usual:g} as it comes)" for name, (value, usual) in slower.items())
    at_once = {name: f"{usual:g}" for name, (_, usual) in slower.items() if name != "autovacuum_max_workers"}
    remedy = alter_system(now, at_once) if at_once else ""
    if "autovacuum_max_workers" in slower:
        row = now.settings.get("autovacuum_max_workers") or {}
        remedy += alter_system(now, {"autovacuum_max_workers": "3"}, restart=row.get("context") != "sighup")  # 18+
    yield info(
        "",
        f"autovacuum comes later, or works slower, than as PostgreSQL comes: {told}",
        subject=", ".join(slower),
        threshold="what PostgreSQL comes with",
        evidence={name: value for name, (value, _) in slower.items()},
        remedy=remedy,
        caution="more I/O while it works, and less to do each time",
    )


def _slower(total: Row) -> Iterator[tuple[str, tuple[float, float]]]:
    """By the setting's name its value, and the one that PostgreSQL comes with. What is not known is left out."""
    for column, (name, usual) in _LATER.items():
        if (value := total.get(column)) is not None and value > usual:
            yield name, (value, usual)
    for column, (name, usual) in _FEWER.items():
        if (value := total.get(column)) is not None and value < usual:
            yield name, (value, usual)
