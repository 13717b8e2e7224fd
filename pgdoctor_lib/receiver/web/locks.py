"""Who waits for whom, as a picture: in the latest snapshot, or in the one of a moment; and what was recorded before."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pgdoctor_lib.checks.document import Document, Row, epoch
from pgdoctor_lib.checks.waits import trees
from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store.model import FindingRow, Source
from pgdoctor_lib.receiver.web import chart, findings, frame, parts, waits
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.latest import attempt, rows_of, total_of
from pgdoctor_lib.report.chains import Chain, Node, chains
from pgdoctor_lib.units import counted, format_span

SECTIONS = ("locks", "activity", "recording", "prepared")
CHECKS = ("blocking-chain", "incident", "ddl-lock-queue", "deadlocks", "idle-in-transaction")
_MOST_NODES, _MOST_RECORDED = 30, 24  # sessions in pictures of now, and of recordings
_MOST_PAST = 25
_MOST_SEEN, _QUERY_CHARS = 100, 200
_SAMPLED = {"waiting": "Waiting for a lock", "active": "Active"}


@dataclass(frozen=True)
class Locks:
    """What it shows. `document`: the snapshot; `past`: findings that tell of locks, those that are gone too."""

    source: Source
    document: Document | None
    past: Sequence[FindingRow]


def view(locks: Locks, ask: Ask, foot: frame.Foot) -> str:
    """The page."""
    now = locks.document
    at = ask.moment("at")
    body = frame.heading("Locks", None, _which(now, at, ask)) + (
        _now(now, ask) + _recorded(now) if now else parts.empty("No snapshot is kept of that time.")
    )
    return frame.of_database(locks.source, "Locks", body + _past(locks.past, ask), ask, foot, charts=True)


def pictures(document: Document) -> dict[str, str]:
    """By the id of a finding blocking-chain, its tree."""
    nothing: list[Chain] = []
    found, _ = attempt(lambda: chains(document), nothing)
    return {f"blocking-chain:{chain.key}": waits.draw(chain) for chain in _fitted(found, _MOST_NODES)}


def _which(now: Document | None, at: float | None, ask: Ask) -> str:
    if now is None:
        return ""
    told = f"as of {parts.moment(now.collected_at)} UTC, {parts.ago(now.collected_at, ask.now)}"
    latest = f' · <a href="{ask.link(at=None)}">the latest</a>' if at is not None else ""
    return f'<p class="quiet">{told}{latest}</p>'


def _now(now: Document, ask: Ask) -> str:
    nothing: list[Chain] = []
    nobody: list[int] = []
    found, why = attempt(lambda: chains(now), nothing)
    counts, _ = attempt(lambda: [len(each.waiting) for each in trees(now)], nobody)
    if why:
        return parts.empty(f"Who waits for whom is not known: {why}")
    taken = parts.ago(now.taken_at("locks"), ask.now)
    if not found:
        return f'<p class="well">Nobody waits for a lock.</p><p class="quiet">Looked at {taken}.</p>{_held(now)}'
    drawn = "".join(map(waits.draw, _fitted(found, _MOST_NODES)))
    if len(counts) > len(found):
        drawn += f'<p class="quiet">and {counted(len(counts) - len(found), "root")} more</p>'
    return f"<h2>{counted(sum(counts), 'session')} waiting, {counted(len(counts), 'root')}</h2>{drawn}{_held(now)}"


def _held(now: Document) -> str:
    modes = total_of(now, "locks")[0].get("granted_by_mode")
    if not isinstance(modes, Mapping):
        return ""
    rows = [[parts.safe(mode), parts.number(shapes.number(count))] for mode, count in modes.items()]
    table = parts.table(("Mode", "Held"), rows, numeric=frozenset((1,)))
    return f'<details id="held"><summary>Locks held, by mode</summary>{table}</details>'


def _recorded(now: Document) -> str:
    rows, _ = rows_of(now, "recording")
    told = "".join(_recording(row, place, _MOST_RECORDED // len(rows)) for place, row in enumerate(rows))
    return f'<section><h2>Recorded second by second</h2><div class="charts">{told}</div></section>' if told else ""


def _recording(row: Row, place: int, most: int) -> str:
    told, _ = attempt(lambda: _samples(row, place), "")
    drawn, _ = attempt(lambda: "".join(map(waits.draw, _fitted(list(recorded(row)), max(most, 2)))), "")
    return f'{told}<div class="whole">{drawn}</div>'


def _fitted(found: Sequence[Chain], most: int) -> list[Chain]:
    """No more sessions than are read, the most of the first chain, and no long texts."""
    shown: list[Chain] = []
    left = most
    for place, chain in enumerate(found[:most]):
        few = left - (min(len(found), most) - place - 1)  # each other one has a root at least
        nodes = [replace(node, query=node.query[:_QUERY_CHARS]) for node in chain.nodes[:few]]
        left -= len(nodes)
        shown.append(replace(chain, nodes=nodes, more=chain.more + len(chain.nodes) - len(nodes)))
    return shown


def _samples(row: Row, place: int) -> str:
    start = epoch(row.get("started_at")) or 0.0
    samples = [each for each in row.get("samples") or () if len(each) == 3]
    if not samples:
        return ""
    times = [start + float(each[0]) for each in samples]
    values = {"active": [float(each[1]) for each in samples], "waiting": [float(each[2]) for each in samples]}
    panel = chart.Panel(f"crowd-{place}", f"Sessions from {parts.clock(start, 60)} UTC on", "", _SAMPLED)
    return chart.figure(panel, chart.Data((times[0], times[-1] + 1e-3), times, values), carried=True, wide=True)


@dataclass(frozen=True)
class _Recording:
    """`sessions` by pid; `below`: by pid, who waited for it, the longest first."""

    sessions: Mapping[Any, Row]
    below: Mapping[Any, Sequence[Row]]


def recorded(row: Row) -> Iterator[Chain]:
    """A recording's trees: who was in whose way, at whatever moment of it."""
    below: dict[Any, list[Row]] = {}
    for edge in sorted(row.get("blocked") or (), key=_lasted, reverse=True):
        below.setdefault(edge.get("blocking_pid"), []).append(edge)
    recording = _Recording({each.get("pid"): each for each in row.get("sessions") or ()}, below)
    longest = max((_lasted(edge) for edges in below.values() for edge in edges), default=0.0)
    for root in (row.get("roots") or ())[:3]:
        found = _nearest(recording, root["pid"])
        nodes = [_node(recording.sessions.get(root["pid"], {}), root["pid"], -1, "in the others' way", "")]
        _add(0, nodes, recording, found, root["pid"])
        yield Chain(str(root["pid"]), nodes, len(nodes) - 1, format_span(longest), 0)


def _nearest(recording: _Recording, root: object) -> Mapping[Any, Sequence[Row]]:
    """Each session once, below the nearest to the root that was in its way: in a queue all ahead of it are."""
    found: dict[Any, list[Row]] = {}
    seen, todo = {root}, [root]
    while todo and len(seen) < _MOST_SEEN:
        pid = todo.pop(0)
        for edge in recording.below.get(pid, ()):
            if edge["pid"] not in seen:
                seen.add(edge["pid"])
                todo.append(edge["pid"])
                found.setdefault(pid, []).append(edge)
    return found


def _add(place: int, nodes: list[Node], recording: _Recording, found: Mapping[Any, Sequence[Row]], pid: object) -> None:
    """Below the one at `place`, which is `pid`, those that waited for it."""
    for edge in found.get(pid, ()):
        said = f"waited {format_span(_lasted(edge))}"
        wants = f"from second {edge.get('first_s')} to {edge.get('last_s')} of the recording"
        nodes.append(_node(recording.sessions.get(edge["pid"], {}), edge["pid"], place, said, wants))
        _add(len(nodes) - 1, nodes, recording, found, edge["pid"])


def _node(session: Row, pid: object, above: int, how_long: str, wants: str) -> Node:
    name = f"pid {pid}" if pid else "a prepared transaction"
    where = " in ".join(str(session[key]) for key in ("usename", "datname") if session.get(key))
    place = " · ".join(filter(None, (where, str(session.get("application_name") or ""))))
    return Node(name, above, place, how_long, wants or str(session.get("state") or ""), str(session.get("query") or ""))


def _lasted(edge: Row) -> float:
    return max(0.0, (shapes.number(edge.get("last_s")) or 0.0) - (shapes.number(edge.get("first_s")) or 0.0))


def _past(rows: Sequence[FindingRow], ask: Ask) -> str:
    shown = sorted(findings.told([row for row in rows if row.check in CHECKS]), key=lambda each: -each.since)
    if not shown:
        return '<section><h2>Before</h2><p class="quiet">No crowd, chain or deadlock in the last 7 days.</p></section>'
    seen = {(row.id, row.since): row.last_seen for row in rows}
    cells = [
        [
            f"{parts.ago(each.since, ask.now)}"
            f' <a href="{ask.link(at=_after(seen.get((each.finding.id, each.since), each.since)))}">as it was</a>',
            f'<span class="badge {each.finding.severity.word}">{each.finding.severity.word}</span>',
            f'<span class="long">{parts.one_line(each.finding.summary, 240)}</span>',
            "still\u00a0there" if each.gone_at is None else parts.span(max(0.0, each.gone_at - each.since)),
        ]
        for each in shown[:_MOST_PAST]
    ]
    more = f'<p class="quiet">and {len(shown) - _MOST_PAST} more within 7 days</p>' if len(shown) > _MOST_PAST else ""
    more += findings.capped(len(rows))
    return f"<section><h2>Before</h2>{parts.table(('Since', 'Severity', 'What', 'Lasted'), cells)}{more}</section>"


def _after(seen: float) -> int:
    """A whole second that is not before it."""
    return int(seen) + 1
