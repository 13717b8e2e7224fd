"""What the log does not say, and what nothing ends: settings that cost next to nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, info


@dataclass(frozen=True)
class Wish:
    """When a setting is no help, what it had better be, and what for."""

    lacks: Callable[[str], bool]
    value: str
    gives: str


_WISHES: Mapping[str, Wish] = {
    "log_lock_waits": Wish(lambda value: value == "off", "on", "who waits for a lock longer than deadlock_timeout"),
    "log_temp_files": Wish(lambda value: value == "-1", "10MB", "which queries sort on disk"),
    "log_checkpoints": Wish(lambda value: value == "off", "on", "what each checkpoint cost"),
    "log_autovacuum_min_duration": Wish(lambda value: value == "-1", "10min", "which runs of autovacuum take long"),
    "idle_in_transaction_session_timeout": Wish(
        lambda value: value == "0", "10min", "ends sessions that forgot their transaction, with its locks"
    ),
}


@check(category="settings", scope="server", reads=("settings", "server"))
def logging_timeouts(now: Document, before: Document) -> Said:
    """Cheap settings that help when something goes wrong are off (log_lock_waits, log_temp_files, … in pg_settings)."""
    lacking = {
        name: wish
        for name, wish in _WISHES.items()
        if (value := now.setting(name)) is not None and wish.lacks(str(value))
    }
    if not lacking:
        return
    names = list(lacking)
    yield info(
        "",
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} off: there is less to go by when things go wrong",
        subject=", ".join(names),
        threshold="off, as PostgreSQL comes: the first two and the last in any version, the others up to 14",
        evidence={name: now.setting(name) for name in names},
        remedy="".join(f"-- {name}: {wish.gives}\n" for name, wish in lacking.items())
        + alter_system(now, {name: wish.value for name, wish in lacking.items()}),
        caution=_caution(lacking),
    )


def _caution(lacking: Mapping[str, Wish]) -> str:
    if "idle_in_transaction_session_timeout" in lacking:
        return "sessions that rest in a transaction for longer are ended, and get an error: choose a time that fits"
    return "the log gets a little longer"
