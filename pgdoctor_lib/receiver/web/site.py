"""What each page reads of the store: from an address to a view. The views themselves know no store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pgdoctor_lib.receiver.store import Source, Store
from pgdoctor_lib.receiver.web import (
    chart,
    compare,
    database,
    events,
    findings,
    home,
    indexes,
    latest,
    locks,
    measures,
    panels,
    queries,
    replication,
    settings,
    snapshots,
    tables,
    vacuum,
)
from pgdoctor_lib.receiver.web.ask import RANGES, Ask
from pgdoctor_lib.receiver.web.down import told
from pgdoctor_lib.receiver.web.frame import Foot
from pgdoctor_lib.receiver.web.listing import paged
from pgdoctor_lib.receiver.web.state import state

_POINTS = 180
_SHOWN_SNAPSHOTS = 100
_MOST_NEIGHBOURS = 8  # a snapshot is read of each
_PAST_S = 7 * 86_400.0
_TIMELESS = frozenset(
    {"findings", "tables", "indexes", "locks", "settings", "compare", "snapshots"}
)  # of no usual span


@dataclass(frozen=True)
class Visit:
    """Somebody who looks at a database. `project`: whose databases may be seen, None for all."""

    store: Store
    source: Source
    ask: Ask
    project: str | None

    @property
    def foot(self) -> Foot:
        """What the page's foot tells."""
        return _foot(self.store, self.project, self.source.collected_at)

    @property
    def others(self) -> list[Source]:
        """All databases that may be seen."""
        return self.store.sources(self.project)


def _foot(store: Store, project: str | None, newest: float | None) -> Foot:
    return Foot(store.size_bytes() if project is None else None, newest, store.retention.max_bytes)


def show_home(store: Store, ask: Ask, project: str | None, endpoint: str, token_path: str | None) -> str:
    """The first page."""
    sources = store.sources(project)
    shown = [source.id for source in paged(home.chosen(sources, ask), ask, home.PAGE_ROWS)[0]]
    oldest = store.oldest() or ask.now
    length = home.YOUNG_S if ask.now - oldest < home.YOUNG_S else home.SPARK_S  # in an hour, minutes would be a dot
    points = home.SPARK_POINTS if len(shown) < home.MANY else home.FEW_POINTS
    sparks = store.sparklines(shown, home.SPARK_NAMES, ask.now - length, ask.now, points) if shown else {}
    worst = store.worst_findings(shown)
    newest = max((source.collected_at for source in sources), default=None)
    foot = _foot(store, project, newest)
    down = told(sources, ask.now)
    return home.view(home.Home(sources, down, sparks, worst, endpoint, token_path), ask, foot)


def show(store: Store, ask: Ask, project: str | None, identity: str, view: str, thing: str) -> str | None:
    """A page of a database; None where there is no such thing. `thing`: which statement or table, "" for none."""
    source = store.source(identity)
    if source is None or (project is not None and source.project != project) or (view, bool(thing)) not in _VIEWS:
        return None
    fitted = ask if view in _TIMELESS else _fitted(store, source, ask)
    visit = Visit(store, _explained(store, source, ask.now), fitted, project)
    return _VIEWS[view, bool(thing)](visit, thing)


def _explained(store: Store, source: Source, now: float) -> Source:
    """With what its agent tells of it, where its own snapshots come no longer."""
    if state(source, now)[0] != "stale":
        return source
    down = told(store.sources(source.project), now).get((source.project, source.name))
    return replace(source, why=down.words(now)) if down else source


def _fitted(store: Store, source: Source, ask: Ask) -> Ask:
    """Of a database that has sent for minutes only, the usual range is short: six hours would look empty."""
    if not ask.is_usual:
        return ask
    begun = store.begun(source.id, ask.now - RANGES[ask.usual])
    age = RANGES[ask.usual] if begun is None else ask.now - begun
    return replace(ask, usual=next((name for name in ("15m", "1h") if age <= RANGES[name]), ask.usual))


def _found(visit: Visit) -> list[findings.Told]:
    """What is open; of a span that is over, what was open within it, of each the last time."""
    store, source, ask = visit.store, visit.source, visit.ask
    if ask.is_live:
        return findings.told(store.findings(source.id))
    first, last = ask.span
    rows = [row for row in store.findings(source.id, first, open_only=False) if row.since <= last]
    newest = {row.id: row for row in sorted(rows, key=lambda row: row.since)}
    return findings.told(list(newest.values()))


def _overview(visit: Visit, _: str) -> str:
    store, source, ask = visit.store, visit.source, visit.ask
    found = _found(visit)
    names = panels.names(panels.SESSIONS, *panels.OVERVIEW)
    data = measures.read(store, source.id, names, ask.span, _POINTS)
    happened = store.events(source.id, *ask.span)[::-1]
    return database.view(database.Overview(source, found, happened, data, _drawn(visit, found)), ask, visit.foot)


def _finding(visit: Visit, number: str) -> str | None:
    source, found = visit.source, _found(visit)
    shown = database.Overview(source, found, (), chart.Data(visit.ask.span, [], {}), _drawn(visit, found))
    return database.finding(shown, number, visit.ask, visit.foot)


def _drawn(visit: Visit, found: Sequence[findings.Told]) -> Mapping[str, str]:
    """By id of a finding who waits for whom."""
    if not any(each.finding.check == "blocking-chain" for each in found):
        return {}
    document = latest.document(visit.store, visit.source, ("locks",), _at(visit.ask))
    return locks.pictures(document) if document else {}


def _queries(visit: Visit, _: str) -> str:
    return queries.view(visit.source, visit.store.queries(visit.source.id, *visit.ask.span), visit.ask, visit.foot)


def _query(visit: Visit, queryid: str) -> str | None:
    series = visit.store.query(visit.source.id, queryid, *visit.ask.span)
    if series is None:
        return None
    happened = events.of_statement(visit.store.events(visit.source.id, *visit.ask.span)[::-1], queryid)
    return queries.page(visit.source, series, happened, visit.ask, visit.foot)


def _of_days(ask: Ask) -> Ask:
    """What is read once an hour is looked at over days, unless all that there is is of hours."""
    return replace(ask, usual="7d") if ask.usual == "6h" else ask


def _at(ask: Ask) -> float | None:
    """What is shown as it was at a moment, of a span that is over at its end; None: the newest."""
    return None if ask.is_live else ask.span[1]


def _tables(visit: Visit, _: str) -> str:
    store, source, ask = visit.store, visit.source, _of_days(visit.ask)
    read, before = store.objects(source.id, "tables", _at(ask)), store.objects_before(source.id, "tables", ask.span[0])
    return tables.view(tables.Tables(source, read, before, _found(visit)), ask, visit.foot)


def _table(visit: Visit, relid: str) -> str | None:
    store, source, ask = visit.store, visit.source, _of_days(visit.ask)
    read, indexes_read = (store.objects(source.id, kind, _at(ask)) for kind in ("tables", "indexes"))
    row = next((row for row in read.rows if str(row.get("relid")) == relid), None) if read else None
    if read is None or row is None or not relid.isdecimal():
        return None
    own = [each for each in indexes_read.rows if str(each.get("relid")) == relid] if indexes_read else []
    series = store.table_series(source.id, int(relid), *ask.span)
    if series is not None and ask.is_live:
        series = tables.with_newest(series, row, read.at)
    return tables.page(tables.Table(source, row, read.at, own, series), ask, visit.foot)


def _indexes(visit: Visit, _: str) -> str:
    store, source, ask = visit.store, visit.source, _of_days(visit.ask)
    read, before = (
        store.objects(source.id, "indexes", _at(ask)),
        store.objects_before(source.id, "indexes", ask.span[0]),
    )
    return indexes.view(indexes.Indexes(source, read, before), ask, visit.foot)


def _locks(visit: Visit, _: str) -> str:
    store, source, ask = visit.store, visit.source, visit.ask
    document = latest.document(store, source, locks.SECTIONS, ask.moment("at"))
    past = store.findings(source.id, ask.now - _PAST_S, open_only=False)
    return locks.view(locks.Locks(source, document, past), ask, visit.foot)


def _replication(visit: Visit, _: str) -> str:
    store, source, ask = visit.store, visit.source, visit.ask
    document = latest.document(store, source, replication.SECTIONS)
    here, neighbours = _cluster(visit)
    data = measures.read(store, source.id, panels.names(panels.LAG), ask.span, _POINTS)
    shown = replication.Replication(source, document, here, neighbours, data)
    return replication.view(shown, ask, visit.foot)


def _cluster(visit: Visit) -> tuple[list[Source], list[replication.Neighbour]]:
    """What else is watched on this server, and the other servers of its cluster."""
    own, servers = visit.source, dict[str, list[Source]]()
    cluster = own.server.partition("/")[0]
    for each in visit.others if cluster else ():
        if each.server.partition("/")[0] == cluster and each.id != own.id:
            servers.setdefault(each.server, []).append(each)
    here = servers.pop(own.server, [])
    found = []
    for group in list(servers.values())[:_MOST_NEIGHBOURS]:
        row, _ = latest.one_of(latest.document(visit.store, group[0], ("replication",)), "replication")
        found.append(replication.Neighbour(group, row))
    return here, found


def _vacuum(visit: Visit, _: str) -> str:
    document = latest.document(visit.store, visit.source, vacuum.SECTIONS, _at(visit.ask))
    data = measures.read(visit.store, visit.source.id, panels.names(vacuum.AGE, vacuum.DEAD), visit.ask.span, _POINTS)
    return vacuum.view(vacuum.Vacuum(visit.source, document, data), visit.ask, visit.foot)


def _settings(visit: Visit, _: str) -> str:
    document = latest.document(visit.store, visit.source, settings.SECTIONS)
    other = _side(visit, settings.SECTIONS)
    return settings.view(settings.Settings(visit.source, document, visit.others, other), visit.ask, visit.foot)


def _compare(visit: Visit, _: str) -> str:
    source, ask = visit.source, visit.ask
    first = _side(visit, compare.SECTIONS)
    second = None
    if first is not None:
        document = latest.document(visit.store, source, compare.SECTIONS, compare.moment_of(ask, "at"))
        second = compare.Side(source, source.name if first.source.id != source.id else "now", document)
    marks = [event for event in visit.store.events(source.id, ask.now - 14 * 86_400, ask.now) if event.kind == "mark"]
    comparison = compare.Comparison(source, visit.others, marks[::-1], first, second, visit.store.retention.bodies_s)
    return compare.view(comparison, ask, visit.foot)


def _side(visit: Visit, sections: tuple[str, ...]) -> compare.Side | None:
    """What the address wants to compare with; None where it does not say."""
    ask = visit.ask
    other = visit.source
    if ask.text("with"):
        found = next((each for each in visit.others if each.id == ask.text("with")), None)
        other = found or visit.source
    then = compare.moment_of(ask, "then")
    if then is None and other.id == visit.source.id:
        return None
    document = latest.document(visit.store, other, sections, then)
    title = other.name if other.id != visit.source.id else "then"
    return compare.Side(other, title, document)


def _snapshots(visit: Visit, _: str) -> str:
    lines = visit.store.snapshots(visit.source.id, _SHOWN_SNAPSHOTS)
    return snapshots.view(visit.source, lines, visit.ask, visit.foot)


_VIEWS: Mapping[tuple[str, bool], Callable[[Visit, str], str | None]] = {
    ("", False): _overview,
    ("findings", True): _finding,
    ("queries", False): _queries,
    ("queries", True): _query,
    ("tables", False): _tables,
    ("tables", True): _table,
    ("indexes", False): _indexes,
    ("locks", False): _locks,
    ("replication", False): _replication,
    ("vacuum", False): _vacuum,
    ("settings", False): _settings,
    ("compare", False): _compare,
    ("snapshots", False): _snapshots,
}
