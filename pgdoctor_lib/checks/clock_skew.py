"""The server's clock and the agent's tell different times."""

from pgdoctor_lib.checks.document import Document, NotExamined, epoch
from pgdoctor_lib.checks.registry import Said, check, info
from pgdoctor_lib.units import format_span


@check(category="maintenance", scope="server", reads=("server",), times=2)
def clock_skew(now: Document, before: Document, *, info_s: float = 120) -> Said:
    """The server's clock goes wrong, or the agent's (clock_timestamp(), against the time of the snapshot)."""
    theirs = epoch(now.one("server").get("server_time"))
    if theirs is None or not now.collected_at:
        raise NotExamined("the server does not tell its time")
    ahead = theirs - now.collected_at  # it was asked a moment after the snapshot began
    if abs(ahead) >= info_s:
        yield info(
            "",
            f"the server's clock is {format_span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the agent's",
            threshold=f"{format_span(info_s)} either way",
            evidence={"server_time": now.one("server").get("server_time"), "ahead_s": round(ahead, 1)},
            remedy="-- see on both machines: timedatectl status, or chronyc tracking\n",
        )
