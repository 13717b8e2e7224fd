"""How a database is, in a word: whether its data still come, what is wrong, what could not be seen."""

from collections.abc import Mapping

from pgdoctor_lib.receiver.store.model import Source
from pgdoctor_lib.receiver.web import parts
from pgdoctor_lib.units import counted

RANK: Mapping[str, int] = {"stale": 0, "critical": 1, "warning": 2, "errors": 3, "ok": 4}


def state(source: Source, now: float) -> tuple[str, str]:
    """A word for machines (stale, critical, warning, errors, ok) and the words for people."""
    age = max(0.0, now - source.collected_at - source.slow_s)
    if age > source.silent_after_s:
        return "stale", f"no data for {parts.span(age)}"
    if source.critical:
        return "critical", f"{source.critical} critical"
    if source.warnings:
        return "warning", counted(source.warnings, "warning")
    if source.errors:
        return "errors", counted(source.errors, "error")
    if source.slow_s:
        return "errors", f"its clock is {parts.span(source.slow_s)} slow"
    return "ok", "ok"


def order(source: Source, now: float) -> tuple[int, int, int, int, str]:
    """What databases are sorted by, the worst first: the state, then how much of it there is."""
    return RANK[state(source, now)[0]], -source.critical, -source.warnings, -source.errors, source.name


def badge(source: Source, now: float) -> str:
    """The state as a label, and what is wrong beside it."""
    kind, words = state(source, now)
    others = (
        ("critical", source.critical, f"{source.critical} critical"),
        ("warning", source.warnings, counted(source.warnings, "warning")),
    )
    labels = [(kind, words), *((word, told) for word, count, told in others if count and word != kind)]
    return " ".join(f'<span class="state {word}">{told}</span>' for word, told in labels)
