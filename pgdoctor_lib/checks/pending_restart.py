"""Settings that were changed and are not in force, for the server was not restarted."""

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.quoting import comment
from pgdoctor_lib.units import counted

_SHOWN = 10


@check(category="settings", scope="server", reads=("settings",), for_s=86400)
def pending_restart(now: Document, before: Document) -> Said:
    """Changed settings wait for a restart of the server (pg_settings.pending_restart)."""
    waiting = {str(row["name"]): row.get("setting") for row in now.rows("settings") if row.get("pending_restart")}
    if not waiting:
        return
    names = sorted(waiting)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    yield warning(
        "",
        f"{counted(len(names), 'changed setting')} {'waits' if len(names) == 1 else 'wait'} for a restart of the "
        f"server: {', '.join(names[:_SHOWN])}{more}",
        subject=", ".join(names[:_SHOWN]),
        threshold="pending_restart in pg_settings for a day",
        evidence={name: waiting[name] for name in names[:_SHOWN]},
        remedy="-- what they will be, and where that is written (for a superuser):\n"
        "SELECT name, setting, sourcefile, sourceline FROM pg_file_settings WHERE error IS NOT NULL OR NOT applied;\n"
        "-- restart the server in a quiet hour, standbys first or last as the setting asks; or take a change back:\n"
        + "".join(f"-- ALTER SYSTEM RESET {comment(name)};\n" for name in names[:_SHOWN]),
        caution="a restart ends all sessions; a value that is wrong then keeps the server from starting",
    )
