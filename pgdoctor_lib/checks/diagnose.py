"""All checks over one snapshot: what is wrong, what could not be looked at, what is remembered for the next time."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from pgdoctor_lib.checks.document import LACKS, Document, NotExamined
from pgdoctor_lib.checks.registry import Check, Sample, Unexamined, checks
from pgdoctor_lib.checks.state import State, Watch, with_samples
from pgdoctor_lib.finding import Finding, causes_first
from pgdoctor_lib.units import format_span

MOST = 5  # findings of one check: the rest is counted

Limits = Mapping[str, Mapping[str, float]]
"""By check, thresholds that are not the defaults."""


@dataclass(frozen=True)
class Diagnosis:
    """`findings`: the worst first, each cause before what follows from it; `not_examined`: by check, why it cannot tell
    (all); `state`: for the next diagnosis.

    `muted`: ids of findings that are there, and not told because somebody said so. `asked`: the checks that looked
    anew.
    """

    findings: tuple[Finding, ...]
    not_examined: Mapping[str, str]
    state: State
    muted: tuple[str, ...] = ()
    asked: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Word:
    """What one check has to say: findings that count, what it watches, values to remember; why it can't tell (all)."""

    found: Sequence[Finding] = ()
    watched: Mapping[str, Watch] = field(default_factory=dict)
    samples: Mapping[str, float] = field(default_factory=dict)
    not_examined: str = ""


def diagnose(
    now: Document,
    before: Document,
    state: State | None = None,
    limits: Limits | None = None,
    names: Collection[str] | None = None,
    muted: Callable[[Finding], bool] = lambda _: False,
    resting: Collection[str] = (),
) -> Diagnosis:
    """What the checks (`names`: these alone) find in `now`.

    One that is `resting`, or whose section was not due, says what it last said.
    """
    state = state or State()
    before.trends = now.trends = state.trends
    now.since = {name: watch.since for name, watch in state.watched.items()}
    of = [one for one in checks().values() if names is None or one.id in names]
    asked = frozenset(one.id for one in of if one.id not in resting and _is_due(one, now, state))
    words = {
        one.id: _word(one, now, before, state, (limits or {}).get(one.id, {}))
        if one.id in asked
        else _last_word(one, state)
        for one in of
    }
    told = [each for word in words.values() for each in _most([one for one in word.found if not muted(one)])]
    hidden = tuple(each for word in words.values() for each in word.found if muted(each))
    findings = tuple(causes_first(_with_causes(sorted(told, key=lambda each: -each.severity))))
    watched = {key: watch for word in words.values() for key, watch in word.watched.items()}
    samples = {name: value for word in words.values() for name, value in word.samples.items()}
    not_examined = {name: word.not_examined for name, word in words.items() if word.not_examined}
    return Diagnosis(
        findings,
        not_examined,
        State(watched, with_samples(state.trends, samples, now.server_time), findings, not_examined, hidden),
        tuple(each.id for each in hidden),
        asked,
    )


def not_yet(found: Diagnosis, *, is_alone: bool = False) -> dict[str, str]:
    """By check, what is there and not told, since it has to last. `is_alone`: no earlier snapshot is known."""
    told = {*found.muted, *(each.check for each in found.findings)}
    waiting = [key.partition(":") for key in found.state.watched if key not in told]
    lasting = ((checks()[name], key) for name, _, key in waiting if name not in told)
    return {one.id: _waits(one, key, is_alone=is_alone) for one, key in lasting if one.for_s or one.times > 1}


def _waits(one: Check, key: str, *, is_alone: bool) -> str:
    how_long = f"for {format_span(one.for_s)}" if one.for_s else f"in {one.times} snapshots in a row"
    how = "name the one before with --previous" if is_alone and one.times <= 2 else "the daemon sees that"
    return f"{key or 'it'} is there now, and told once it was there {how_long}: {how}"


def _is_due(one: Check, now: Document, state: State) -> bool:
    """Whether there is something new to look at, or a reason why not; or by now what it lacked the last time."""
    lacked = state.not_examined.get(one.id, "").startswith(LACKS) and all(now.has(name) for name in one.reads)
    return lacked or now.is_fresh(one.reads[0]) or one.reads[0] in now.errors


def _last_word(one: Check, state: State) -> _Word:
    found = [each for each in (*state.shown, *state.muted) if each.check == one.id]
    return _Word(found, _watched_by(one, state), not_examined=state.not_examined.get(one.id, ""))


def _watched_by(one: Check, state: State) -> Mapping[str, Watch]:
    return {key: watch for key, watch in state.watched.items() if key.partition(":")[0] == one.id}


def _word(one: Check, now: Document, before: Document, state: State, limits: Mapping[str, float]) -> _Word:
    said, stopped = _said(one, now, before, limits)
    watched = _watched_by(one, state)
    seen = [each for each in said if isinstance(each, Finding)]
    watches = {each.id: _watch(each, state, now) for each in seen}
    found = [_since(each, watches[each.id]) for each in seen if _counts(one, watches[each.id], now)]
    samples = {each.trend: each.value for each in said if isinstance(each, Sample)}
    parts = [each for each in said if isinstance(each, Unexamined)]
    unknown = watched if stopped else {f"{one.id}:{key}" for part in parts for key in part.keys}
    # Of what cannot be told now: since when it was there is still known when it can be told again
    kept = {key: watch for key, watch in watched.items() if key in unknown}
    return _Word(found, kept | watches, samples, "; ".join(filter(None, [*(part.why for part in parts), stopped])))


def _said(
    one: Check, now: Document, before: Document, limits: Mapping[str, float]
) -> tuple[list[Finding | Sample | Unexamined], str]:
    """What one check says, and why it stopped there, if it did. What it did not expect costs its own word alone."""
    said: list[Finding | Sample | Unexamined] = []
    stopped = ""
    try:
        if one.primary and now.in_recovery:
            raise NotExamined("this is a standby: its primary tells")
        for each in one.run(now, before, {**one.limits, **limits}):
            named = _named(each, one, limits) if isinstance(each, Finding) else each
            said.append(named)
    except NotExamined as why:
        stopped = str(why)
    except Exception as error:  # noqa: BLE001 (a border: a server may send anything)
        stopped = f"internal error: {type(error).__name__}: {error}"
    return said, stopped


def _named(finding: Finding, one: Check, limits: Mapping[str, float]) -> Finding:
    """Whose it is, and which of the numbers that it was compared with are not the check's own."""
    differing = sorted(name for name, number in limits.items() if number != one.limits.get(name))
    set_by = f"; {', '.join(differing)} set by thresholds" if differing and finding.threshold else ""
    return replace(finding, check=one.id, category=one.category, threshold=finding.threshold + set_by)


def _watch(finding: Finding, state: State, now: Document) -> Watch:
    was = state.watched.get(finding.id)
    since = finding.since if finding.since is not None else was.since if was else now.server_time
    return Watch(since, was.times + 1 if was else 1)


def _since(finding: Finding, watch: Watch) -> Finding:
    return finding if finding.since is not None else replace(finding, since=watch.since)


def _counts(one: Check, watch: Watch, now: Document) -> bool:
    return watch.times >= one.times and now.server_time - watch.since >= one.for_s


def _most(found: Sequence[Finding]) -> list[Finding]:
    """The worst of one check's; the first tells how many more there are."""
    ordered = sorted(found, key=lambda each: -each.severity)
    shown = ordered[:MOST]
    if len(ordered) > MOST:
        shown[0] = replace(shown[0], more=len(ordered) - MOST)
    return shown


def _with_causes(found: Sequence[Finding]) -> Iterator[Finding]:
    """Each with the finding that it follows from, where that is there."""
    by_check: dict[str, str] = {}
    for each in found:
        by_check.setdefault(each.check, each.id)
    ids = {each.id for each in found}
    for each in found:
        one = checks()[each.check]
        causes = [each.because_of, *(f"{name}:{each.key}" for name in one.follows_same)]
        causes += [by_check.get(name, "") for name in one.follows]
        yield replace(each, because_of=next((cause for cause in causes if cause in ids), ""))


@cache
def sections_compared() -> frozenset[str]:
    """The sections of which an earlier one is wanted."""
    return frozenset(name for one in checks().values() for name in one.compares)
