"""The difference of two snapshots, and the verdict since a mark, for a terminal."""

import json
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence

from pgdoctor_lib.finding import Finding
from pgdoctor_lib.report.compare import Changed, Difference
from pgdoctor_lib.report.statements import FACTOR, LEAST_CALLS, LEAST_MS, Statement, Statements
from pgdoctor_lib.secret import printable
from pgdoctor_lib.units import counted, format_bytes, format_count, format_span

_MOST = 15  # of each kind
_MOST_CHARS = 300
_WIDTH = 110


def text(found: Difference, mark: str = "") -> str:
    """All that changed; with `mark`, the label that the first snapshot has, the verdict comes first."""
    lines = [*_head(found, mark), *_statements(found.statements), *_things(found), *_findings(found)]
    if len(lines) == len([*_head(found, mark)]):
        lines.append("nothing changed in what could be compared" if found.not_compared else "nothing changed")
    lines += _not_compared(found)
    return "\n".join(line for each in lines for line in _wrapped(each)) + "\n"


def as_json(found: Difference, mark: str = "") -> str:
    """The same for programs."""
    told = {"mark": mark, "verdict": verdict(found, mark)} if mark else {}
    return json.dumps({**told, **found.as_json()}, indent=2, ensure_ascii=False) + "\n"


def verdict(found: Difference, mark: str) -> str:
    """In one sentence what became of the statements since then."""
    ran = found.statements
    since = f"since {mark} ({format_span(found.second.collected_at - found.first.collected_at)} ago)"
    if "queries" in found.not_compared:
        return f"statements cannot be compared {since}: {found.not_compared['queries']}"
    if not ran.comparable:
        return f"no statement ran often enough to be compared {since}: {LEAST_CALLS} calls before and after it"
    if not ran.slower:
        return f"none of {counted(ran.comparable, 'statement')} got slower {since}"
    worst = ran.slower[0]
    return (
        f"{len(ran.slower)} of {counted(ran.comparable, 'statement')} got slower {since}: "
        f"{'most of all ' if len(ran.slower) > 1 else ''}{_query(worst, 80)}, {_means(worst)}"
    )


def _head(found: Difference, mark: str) -> Iterator[str]:
    first, second, ran = found.first, found.second, found.statements
    if mark:
        yield f"{second.name}: {verdict(found, mark)}"
    whose = first.name if first.name == second.name else f"{first.name} and {second.name}"
    apart = format_span(abs(second.collected_at - first.collected_at))
    yield f"{whose}: {_moment(first.collected_at)} and {_moment(second.collected_at)}, {apart} apart"
    if "queries" not in found.not_compared:
        before = f"{format_span(ran.before_s)} of counters" if ran.before_s is not None else "counters of unknown age"
        yield f"statements: {before} before, {format_span(ran.after_s)} after"
    if ran.was_reset:
        yield "note: counters of statements were reset since the first snapshot: both are compared as they stand"
    yield from (f"note: {note}" for note in found.notes)
    for taken_at in sorted(set(found.older.values())):
        names = ", ".join(what for what, at in found.older.items() if at == taken_at)
        yield f"note: {names}: compared with what was there at {_moment(taken_at)}, as last asked before"


def _not_compared(found: Difference) -> Iterator[str]:
    """By reason, what; and where a first snapshot lacks some, what has them all."""
    by_reason: dict[str, list[str]] = {}
    for what, why in found.not_compared.items():
        by_reason.setdefault(why, []).append(what)
    if by_reason:
        yield from ("", "not compared:")
        yield from (f"  {', '.join(names)}: {why}" for why, names in by_reason.items())
    if any(why.startswith("not in the first snapshot") for why in by_reason):
        yield '  "pgdoctor mark LABEL" and "pgdoctor snapshot" take everything: compare with these'


def _statements(ran: Statements) -> Iterator[str]:
    least = f"{LEAST_CALLS} calls in both periods, {LEAST_MS:g} ms, {FACTOR:g} times"
    yield from _listed(f"statements that got slower (from {least} on)", [_lines(each) for each in ran.slower])
    yield from _listed("statements that got faster", [_lines(each) for each in ran.faster])
    new = [f"{_query(each)}: {_counts(each.after.calls, each.after.total_ms)}" for each in ran.new]
    yield from _listed("new statements", new)
    gone = [f"{_query(each)}: before {_counts(each.before.calls, each.before.total_ms)}" for each in ran.gone]
    yield from _listed("statements that ran no more", gone)


def _lines(one: Statement) -> str:
    before, after = (_counts(each.calls, each.total_ms) for each in (one.before, one.after))
    return f"{_query(one)}: {_means(one)}; before {before}; after {after}"


def _means(one: Statement) -> str:
    slower = one.factor >= 1
    factor = one.factor if slower else 1 / one.factor if one.factor else float("inf")
    means = f"{_ms(one.before.mean_ms)} -> {_ms(one.after.mean_ms)} on average"
    return f"{means} ({factor:.1f} times {'slower' if slower else 'faster'})"


def _counts(calls: float, total_ms: float) -> str:
    return f"{format_count(calls)} {'call' if calls == 1 else 'calls'}, {_ms(total_ms)} in all"


def _query(one: Statement, most: int = _MOST_CHARS) -> str:
    told = " ".join(one.text.split())
    short = told if len(told) <= most else told[: most - 1] + "…"
    return f"{short} (queryid {one.queryid})" if told else f"queryid {one.queryid}"


def _ms(value: float) -> str:
    """A time in the unit that suits it."""
    for factor, unit in ((3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.3g} ms"


def _things(found: Difference) -> Iterator[str]:
    yield from _listed("settings", [_setting(each) for each in found.settings])
    yield from _listed("extensions", [f"{each.name}: {_then(each)}" for each in found.extensions])
    yield from _listed("schema", [f"{_word(each)} {each.name}" for each in found.schema])
    yield from _listed("sizes", [f"{each.kind} {each.name}: {_grown(each.before, each.after)}" for each in found.sizes])


def _setting(one: Changed) -> str:
    same = one.before == one.after
    value = one.after if same else _then(one)
    return f"{one.name}: {value}{f' ({one.note})' if one.note else ''}"


def _then(one: Changed) -> str:
    if one.before is None:
        return f"{one.after} (not there before)"
    return f"{one.before} -> {'not there any more' if one.after is None else one.after}"


def _word(one: Changed) -> str:
    return "created" if one.before is None else "dropped" if one.after is None else "altered"


def _grown(before: int, after: int) -> str:
    sign = "+" if after >= before else "-"
    return f"{format_bytes(before)} -> {format_bytes(after)} ({sign}{format_bytes(abs(after - before))})"


def _findings(found: Difference) -> Iterator[str]:
    for title, findings in (
        ("findings that opened", found.opened),
        ("findings that got worse", found.worse),
        ("findings that got milder", found.milder),
        ("findings that are gone", found.resolved),
    ):
        yield from _listed(title, [_finding(each) for each in findings])


def _finding(finding: Finding) -> str:
    return f"{finding.severity.word}: {finding.check}: {finding.summary}"


def _listed(title: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        yield ""
        yield f"{title}: {len(items)}"
        yield from (f"  {item}" for item in items[:_MOST])
        if len(items) > _MOST:
            yield f"  and {len(items) - _MOST} more"


def _wrapped(line: str) -> Iterable[str]:
    indent = line[: len(line) - len(line.lstrip())]
    wrapped = textwrap.wrap(
        printable(line.strip()), _WIDTH, initial_indent=indent, subsequent_indent=indent + "    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return wrapped or [""]


def _moment(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
