"""Who replicates from whom, as a picture, how far behind each is over time, and what the slots keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store.model import Source
from pgdoctor_lib.receiver.web import chart, frame, panels, parts
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.latest import attempt, one_of, rows_of
from pgdoctor_lib.receiver.web.listing import bytes_of
from pgdoctor_lib.report.html.parts import fit

SECTIONS = ("replication", "slots", "wal_receiver", "subscriptions", "publications", "server")
_BOX, _TALL, _GAP, _STEP = 270, 80, 14, 90
_COLUMNS = 27
_MOST, _MOST_NAMES = 40, 3
_MOST_ABOVE = 2  # boxes: of a long column what it hangs from is near its beginning


@dataclass(frozen=True)
class Neighbour:
    """A server. `sources`: which of its databases are watched; `row`: its section `replication`."""

    sources: Sequence[Source]
    row: Row


@dataclass(frozen=True)
class Replication:
    """What it shows. `here`: what else is watched on this server; `neighbours`: the other servers of its cluster."""

    source: Source
    document: Document | None
    here: Sequence[Source]
    neighbours: Sequence[Neighbour]
    data: chart.Data


@dataclass(frozen=True)
class Box:
    """A server in the picture: lines of text, the first of them its name. `bad`: it needs a look; `link`: HTML."""

    lines: Sequence[str]
    bad: bool = False
    link: str = ""


def view(replication: Replication, ask: Ask, foot: frame.Foot) -> str:
    """The page."""
    now, source = replication.document, replication.source
    row, why = one_of(now, "replication")
    slots, _ = rows_of(now, "slots")
    nobody: list[Neighbour | None] = []
    sent_to, _ = attempt(lambda: _sent_to(_rows(row, "senders"), replication.neighbours), nobody)
    above, _ = attempt(lambda: _above(row, replication.neighbours), None)
    drawn, _ = attempt(lambda: _Topology(replication, row, above, sent_to, ask).html(), "")
    figure = chart.figure(panels.LAG, replication.data, wide=True)
    told = parts.empty(f"Replication is not known: {why}") if why else drawn
    body = (
        f"{frame.heading('Replication', ask)}{told}"
        f"{chart.group(figure, source.id)}"
        f"{_standbys(row)}{_slots(slots)}{_subscriptions(now)}{_others(replication, [above, *sent_to], ask)}"
    )
    return frame.of_database(source, "Replication", body, ask, foot, charts=True)


def _sent_to(senders: Sequence[Row], neighbours: Sequence[Neighbour]) -> list[Neighbour | None]:
    """Which of the neighbours each standby is, if any: by its slot, or where one is left of both."""
    by_slot = {_slot(_receiver(each.row)): each for each in neighbours}
    by_slot.pop("", None)
    found = [by_slot.get(_slot(each)) for each in senders]
    rest = [each for each in neighbours if each.row.get("in_recovery") and each not in found]
    if found.count(None) == len(rest) == 1:
        found[found.index(None)] = rest[0]
    return found


def _above(row: Row, neighbours: Sequence[Neighbour]) -> Neighbour | None:
    """Which of the neighbours a standby receives from: who sends to its slot, or who alone sends at all."""
    if not row.get("in_recovery"):
        return None
    slot = _slot(_receiver(row))
    sending = [each for each in neighbours if _rows(each.row, "senders")]
    to_it = [each for each in sending if slot and slot in map(_slot, _rows(each.row, "senders"))]
    found = to_it or sending
    return found[0] if len(found) == 1 else None


def _receiver(row: Row) -> Row:
    found = row.get("receiver")
    return found if isinstance(found, Mapping) else {}


def _slot(row: Row) -> str:
    return str(row.get("slot_name") or "")


@dataclass(frozen=True)
class _Topology:
    """From left to right: whom it receives from, itself, and who receives from it. `above`, `sent_to`: if watched."""

    of: Replication
    row: Row
    above: Neighbour | None
    sent_to: Sequence[Neighbour | None]
    ask: Ask

    def html(self) -> str:
        """The picture."""
        above = self._upstream()
        below = [self._standby(*each) for each in zip(_rows(self.row, "senders"), self.sent_to, strict=True)]
        below += _lost(self.row)
        if not above and not below:
            return '<p class="quiet">It stands alone: no standby streams from it, and it streams from nobody.</p>'
        more = f'<p class="quiet">and {len(below) - _MOST} more</p>' if len(below) > _MOST else ""
        columns = [[above] if above else [], [self._own()], below[:_MOST]]
        return f'<figure class="tree topology">{_drawn(columns)}{more}</figure>'

    def _own(self) -> Box:
        role = "standby" if self.row.get("in_recovery") else "primary"
        with_it = f"with {_names(self.of.here)}" if self.of.here else ""
        return Box((self.of.source.name, role, f"at {self.row.get('lsn') or '–'}", with_it))

    def _upstream(self) -> Box | None:
        if not self.row.get("in_recovery"):
            return None
        behind, receiver = _behind(self.row.get("replay_lag_bytes")), _receiver(self.row)
        if not receiver:
            return Box(("nobody", "nothing streams to this standby", behind), bad=True)
        where = f"{receiver.get('sender_host') or 'socket'}:{receiver.get('sender_port') or ''}"
        told = f"{receiver.get('status') or ''} · slot {receiver.get('slot_name') or 'none'}"
        return self._box(self.above, where, (told, behind))

    def _standby(self, row: Row, watched: Neighbour | None) -> Box:
        name = str(row.get("application_name") or row.get("client_addr") or f"pid {row.get('pid')}")
        lag = shapes.real(row.get("replay_lag_s"))
        late = f", {parts.milliseconds(lag * 1000)}" if lag else ""
        told = f"{row.get('state')} · {row.get('sync_state')} · slot {row.get('slot_name') or 'none'}"
        behind = f"{_behind(row.get('replay_lag_bytes'))}{late}"
        where = f"{name} ({row.get('client_addr') or 'local'})"
        return self._box(watched, where, (told, behind), bad=row.get("state") != "streaming")

    def _box(self, watched: Neighbour | None, where: str, told: Sequence[str], *, bad: bool = False) -> Box:
        """Under the name by which it is watched, and how the server itself calls it."""
        if watched is None:
            return Box((where, *told, "not watched here"), bad)
        link = self.ask.link(f"/databases/{watched.sources[0].id}/replication")
        return Box((_names(watched.sources), where, *told), bad, link)


def _names(sources: Sequence[Source]) -> str:
    shown = ", ".join(each.name for each in sources[:_MOST_NAMES])
    return f"{shown} and {len(sources) - _MOST_NAMES} more" if len(sources) > _MOST_NAMES else shown


def _drawn(columns: Sequence[Sequence[Box]]) -> str:
    columns = [column for column in columns if column]
    height = max(len(column) for column in columns) * (_TALL + _GAP)
    width = len(columns) * _BOX + (len(columns) - 1) * _STEP + 2
    drawn = "".join(_column(column, place, height) for place, column in enumerate(columns))
    edges = "".join(_edges(columns[place], columns[place + 1], place, height) for place in range(len(columns) - 1))
    svg = (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="group"'
        f' aria-label="Who replicates from whom, from left to right">{edges}{drawn}</svg>'
    )
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Topology">{svg}</div>'


def _rows(row: Row, name: str) -> list[Row]:
    found = row.get(name)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _lost(row: Row) -> list[Box]:
    """Physical slots that nobody streams from: a standby is missing."""
    return [
        Box(
            (
                f"{slot.get('slot_name')}",
                "a slot that nobody streams from",
                f"keeps {bytes_of(slot.get('retained_bytes'))}",
            ),
            bad=True,
        )
        for slot in _rows(row, "slots")
        if not slot.get("active") and slot.get("slot_type") == "physical"
    ]


def _behind(value: object) -> str:
    known = shapes.real(value)
    return "lag unknown" if known is None else "caught up" if known <= 0 else f"{parts.size(known)} behind"


def _lag(value: object) -> str:
    """A standby may have what was written after the primary was asked where it is: that is no lag."""
    known = shapes.real(value)
    return parts.size(None if known is None else max(0.0, known))


def _top(place: int, count: int, height: float) -> float:
    above = min((height - count * (_TALL + _GAP)) / 2, _MOST_ABOVE * (_TALL + _GAP))
    return above + place * (_TALL + _GAP) + _GAP / 2


def _column(boxes: Sequence[Box], column: int, height: float) -> str:
    x = column * (_BOX + _STEP) + 1
    drawn = ""
    for place, box in enumerate(boxes):
        y = _top(place, len(boxes), height)
        name, *rest = (fit(line, _COLUMNS if number == 0 else _COLUMNS + 6) for number, line in enumerate(box.lines))
        lines = "".join(
            f'<text class="quiet" x="{x + 12}" y="{y + 38 + 16 * number:g}">{line}</text>'
            for number, line in enumerate(rest)
        )
        inner = (
            f'<rect x="{x}" y="{y:g}" width="{_BOX}" height="{_TALL}" rx="6"/>'
            f'<text x="{x + 12}" y="{y + 20:g}"><tspan class="name">{name}</tspan></text>{lines}'
        )
        linked = f'<a href="{box.link}">{inner}</a>' if box.link else inner
        drawn += f'<g class="{"root" if box.bad else "waits"}">{linked}</g>'
    return drawn


def _edges(left: Sequence[Box], right: Sequence[Box], column: int, height: float) -> str:
    x = column * (_BOX + _STEP) + _BOX + 1
    start = _top(0, 1, height) + _TALL / 2
    middle, right_x = x + _STEP / 2, x + _STEP
    drawn = ""
    for place, box in enumerate(right):
        end = _top(place, len(right), height) + _TALL / 2
        kind = "edge bad" if box.bad or left[0].bad else "edge"
        drawn += f'<path class="{kind}" d="M{x} {start:g}C{middle:g} {start:g} {middle:g} {end:g} {right_x} {end:g}"/>'
    return drawn


def _standbys(row: Row) -> str:
    senders = _rows(row, "senders")
    if not senders:
        return ""
    heads = ("Standby", "Address", "State", "Sync", "Slot", "Sent", "Written", "Flushed", "Replayed", "Replay lag")
    cells = [
        [
            *(
                parts.one_line(each.get(key), 60)
                for key in ("application_name", "client_addr", "state", "sync_state", "slot_name")
            ),
            *(_lag(each.get(f"{key}_lag_bytes")) for key in ("sent", "write", "flush", "replay")),
            parts.milliseconds(lag * 1000)
            if (lag := shapes.real(each.get("replay_lag_s"))) is not None
            else parts.NOTHING,
        ]
        for each in senders
    ]
    table = parts.table(heads, cells, numeric=frozenset(range(5, 10)))
    return f"<section><h2>Standbys, and how far behind</h2>{table}</section>"


def _slots(slots: Sequence[Row]) -> str:
    if not slots:
        return ""
    heads = ("Slot", "Kind", "Database", "In use", "WAL status", "Keeps", "May still keep", "Idle for")
    cells = [
        [
            *(parts.one_line(each.get(key), 60) for key in ("slot_name", "slot_type", "database")),
            "yes" if each.get("active") else '<b class="bad">no</b>',
            parts.one_line(each.get("invalidation_reason") or each.get("wal_status"), 40),
            bytes_of(each.get("retained_bytes")),
            bytes_of(each.get("safe_wal_size_bytes")),
            parts.span(idle) if (idle := shapes.real(each.get("inactive_s"))) is not None else parts.NOTHING,
        ]
        for each in slots
    ]
    return f"<section><h2>Slots</h2>{parts.table(heads, cells, numeric=frozenset((5, 6, 7)))}</section>"


def _subscriptions(now: Document | None) -> str:
    rows, _ = rows_of(now, "subscriptions")
    if not rows:
        return ""
    heads = ("Subscription", "Enabled", "Runs", "Publications", "Last message", "Errors")
    cells = [
        [
            parts.one_line(each.get("subname"), 60),
            "yes" if each.get("subenabled") else "no",
            "yes" if each.get("pid") else '<b class="bad">no</b>',
            parts.one_line(_joined(each.get("subpublications")), 80),
            f"{parts.span(age)} ago" if (age := shapes.real(each.get("last_msg_age_s"))) is not None else parts.NOTHING,
            parts.number(
                (shapes.real(each.get("apply_error_count")) or 0) + (shapes.real(each.get("sync_error_count")) or 0)
            ),
        ]
        for each in rows
    ]
    return f"<section><h2>Subscriptions</h2>{parts.table(heads, cells, numeric=frozenset((4, 5)))}</section>"


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _others(replication: Replication, drawn: Sequence[Neighbour | None], ask: Ask) -> str:
    """Servers of the cluster that are watched, and not in the picture."""
    items = "".join(
        f'<li><a href="{ask.link(f"/databases/{each.sources[0].id}/replication")}">{parts.safe(_names(each.sources))}'
        "</a></li>"
        for each in replication.neighbours
        if each not in drawn
    )
    return f'<section><h2>Other servers of this cluster</h2><ul class="plain">{items}</ul></section>' if items else ""
