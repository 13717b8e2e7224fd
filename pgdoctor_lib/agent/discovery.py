"""`discover`: an entry of the configuration that stands for databases of its server, and which they are.

The server is asked again and again, so that new databases are noticed, and dropped ones. What is known stays in force
where it cannot be asked.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

from pgdoctor_lib.agent.status import DatabaseStatus
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Config, Target
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.discover import closed, databases
from pgdoctor_lib.secret import one_line, printable
from pgdoctor_lib.units import counted

if TYPE_CHECKING:
    Greenlet = gevent.Greenlet[..., None]

MOST = 1000  # databases of one entry
MOST_CLOSED = 20  # databases that `config test` names
EVERY_S = 60.0  # from one look to the next, or the entry's interval where that is longer
AGAIN_S = 10.0  # until the next look where nothing is known yet
LEAST_S = 0.5  # from one look to the next, whoever asks for it
_NONE = "no database lets this role in and fits include and exclude"


@dataclass
class _Entry:
    """One entry. `known`: its server's databases, None before the first answer; `error`: why the last look failed.

    `told`: the names of those that people know of, None before the first answer.
    """

    target: Target
    known: tuple[str, ...] | None = None
    told: tuple[str, ...] | None = None
    is_cut: bool = False
    error: str = ""
    failing_since: float = 0.0
    looked_at: float = 0.0
    next_at: float = 0.0
    wake: Event = field(default_factory=Event)
    greenlet: "Greenlet | None" = None
    _made: tuple[object, object, tuple[Target, ...]] = (None, None, ())

    def members(self) -> tuple[Target, ...]:
        if self._made[0] is not self.target or self._made[1] is not self.known:
            self._made = self.target, self.known, members(self.target, self.known or ())
        return self._made[2]

    def pause_s(self) -> float:
        return max(EVERY_S, self.target.interval_s) if self.known is not None else AGAIN_S


class Discovery:
    """`follow` says which entries there are. `on_change()` is called when `expand` has another answer than before.

    `note(text, target, level=…)` tells people; `on_death` is linked to each greenlet: that one ends is a bug.
    """

    def __init__(
        self,
        clock: Clock,
        note: Callable[..., None],
        on_change: Callable[[], None],
        on_death: "Callable[[Greenlet], None]",
    ) -> None:
        self._clock = clock
        self._note = note
        self._on_change = on_change
        self._on_death = on_death
        self._entries: dict[str, _Entry] = {}

    def follow(self, targets: Iterable[Target]) -> None:
        """From now on these, which are looked at at once; what is known of those at the same place stays known."""
        wanted = {target.name: target for target in targets if target.discover}
        for name in self._entries.keys() - wanted.keys():
            self._end(self._entries.pop(name))
        for name, target in wanted.items():
            if entry := self._entries.get(name):
                if _place(entry.target) != _place(target):
                    entry.known = entry.told = None
                entry.target = target
                entry.wake.set()
            else:
                self._entries[name] = entry = _Entry(target)
                entry.greenlet = gevent.spawn(self._run, entry)
                entry.greenlet.link_exception(self._on_death)

    def look_now(self, name: str) -> None:
        """One of the databases that were found, `name`, cannot be collected: look whether it is still there.

        Where the last look failed, too, it is not the database alone, and the next look comes in its time.
        """
        for entry in self._entries.values():
            if not entry.error and name in (entry.told or ()):
                entry.wake.set()

    def expand(self, targets: Iterable[Target]) -> tuple[Target, ...]:
        """What is to be watched: each entry's databases, as far as they are known, in its place."""
        return expand(targets, {name: entry.members() for name, entry in self._entries.items()})

    def status(self) -> list[DatabaseStatus]:
        """For `daemon status`: the entries whose last look failed."""
        return [
            DatabaseStatus(
                name=entry.target.name,
                interval_s=entry.target.interval_s,
                since=entry.failing_since,
                last_cycle=entry.looked_at,
                next_due=entry.next_at,
                cycle_error=entry.error,
            )
            for entry in self._entries.values()
            if entry.error
        ]

    def stop(self) -> "list[Greenlet]":
        """No more looks; the greenlets that may still be at one."""
        ending = [self._end(entry) for entry in self._entries.values()]
        self._entries.clear()
        return [greenlet for greenlet in ending if greenlet]

    def _end(self, entry: _Entry) -> "Greenlet | None":
        if entry.greenlet:
            entry.greenlet.kill(block=False)
        return entry.greenlet

    def _run(self, entry: _Entry) -> None:
        while True:
            entry.wake.clear()
            target = entry.target
            try:
                found, error = databases(target.dsn), ""
            except (DatabaseError, DeadlineExceeded) as failed:
                found, error = (), f"looking for databases failed: {failed}"
            if _place(entry.target) != _place(target):
                continue  # a reload, meanwhile
            entry.looked_at = self._clock.elapsed()
            before = entry.told, entry.error
            if not error and found != entry.known:
                entry.known = found
            entry.next_at = entry.looked_at + entry.pause_s()
            self._tell(entry, error)
            if (entry.told, entry.error) != before:
                self._on_change()
            gevent.sleep(LEAST_S)
            entry.wake.wait(max(0.0, entry.pause_s() - LEAST_S))

    def _tell(self, entry: _Entry, error: str) -> None:
        """What is new, in a line each."""
        target, names = entry.target, tuple(member.name for member in entry.members())
        error = error or ("" if names else _NONE)
        if error and not entry.error:
            entry.failing_since = entry.looked_at
        if error and error != entry.error:
            self._note(error, target, level="warning")
        entry.error = one_line(error)
        if entry.known is None:
            return
        if entry.told is None and names:
            self._note(f"{counted(len(names), 'database')} found", target)
        elif entry.told is not None:
            for what, changed in (("found", _less(names, entry.told)), ("gone", _less(entry.told, names))):
                if changed:
                    self._note(f"{counted(len(changed), 'database')} {what}: {', '.join(changed)}", target)
        entry.told = names
        was_cut, entry.is_cut = entry.is_cut, len(names) == MOST < len(_fitting(target, entry.known))
        if entry.is_cut and not was_cut:
            self._note(
                f"more than {MOST} databases fit: the {MOST} oldest are watched; say which with include or exclude",
                target,
                level="warning",
            )


def members(entry: Target, dbnames: Iterable[str]) -> tuple[Target, ...]:
    """The entry's databases among `dbnames`, each with a name of its own; the first `MOST` of them, by name."""
    targets = [
        replace(
            entry,
            name=f"{entry.name}/{_shown(dbname)}",
            dsn=replace(entry.dsn, params={**entry.dsn.params, "dbname": dbname}),
            discover=None,
        )
        for dbname in _fitting(entry, dbnames)[:MOST]
    ]
    return tuple(sorted(targets, key=lambda target: target.name))


def expand(targets: Iterable[Target], found: dict[str, tuple[Target, ...]]) -> tuple[Target, ...]:
    """`targets` with each entry that is in `found` replaced by its databases. A configured name stays its owner's."""
    given = list(targets)
    taken = {target.name for target in given if not target.discover}
    wanted: list[Target] = []
    for target in given:
        if target.discover is None or target.name not in found:
            wanted.append(target)
            continue
        for member in found[target.name]:
            if member.name not in taken:
                taken.add(member.name)
                wanted.append(member)
    return tuple(wanted)


def look(entry: Target) -> tuple[Target, ...]:
    """Look once: the entry's databases. That there is none is an error; all name the entry, and where it looked."""
    where = ", ".join(map(str, entry.dsn.hosts))
    try:
        found = members(entry, databases(entry.dsn))
    except (DatabaseError, DeadlineExceeded) as error:
        raise DatabaseError(
            f"{printable(entry.name)}: looking for databases failed: {error.message} ({where})",
            detail=error.detail,
            hint=error.hint,
        ) from None
    if not found:
        raise DatabaseError(f"{printable(entry.name)}: {_NONE} ({where})")
    return found


def discovered(config: Config, name: str | None = None) -> Config:
    """`config` with its entries' databases, looked for once; with `name` those entries alone that may have it."""
    if any(target.name == name and not target.discover for target in config.databases):
        return config
    entries = [target for target in config.databases if target.discover]
    if name is not None:
        entries = [entry for entry in entries if name == entry.name or name.startswith(f"{entry.name}/")]
    return replace(config, databases=expand(config.databases, {entry.name: look(entry) for entry in entries}))


def examined(config: Config, tell: Callable[[str, str, bool | None], None]) -> tuple[Config, bool]:
    """The same for `config test`: `tell(what, how, well)` of each entry; whether all went well.

    Those of its databases that do not let the role in are told with what would, `well` being None.
    """
    found: dict[str, tuple[Target, ...]] = {}
    failed = False
    for entry in config.databases:
        if entry.discover:
            found[entry.name] = ()
            try:
                found[entry.name] = look(entry)
            except DatabaseError as error:
                tell(entry.name, str(error).removeprefix(f"{printable(entry.name)}: "), False)
                failed = True
            else:
                tell(entry.name, f"{counted(len(found[entry.name]), 'database')} found", True)
            for remedy in _remedies(entry):
                tell(entry.name, remedy, None)
    return replace(config, databases=expand(config.databases, found)), not failed


def _remedies(entry: Target) -> list[str]:
    """For each database that would be watched, if it let the role in: the SQL that does so."""
    try:
        doors = closed(entry.dsn)
    except (DatabaseError, DeadlineExceeded):
        return []  # that nothing can be looked for has been told
    fitting = _fitting(entry, doors)
    more = [f"and {counted(len(fitting) - MOST_CLOSED, 'database')} more"] if len(fitting) > MOST_CLOSED else []
    return [f"not watched: {one_line(doors[dbname])}" for dbname in fitting[:MOST_CLOSED]] + more


def _place(target: Target) -> object:
    """Where it is looked, and as whom."""
    return target.dsn.hosts, target.dsn.params


def _fitting(entry: Target, dbnames: Iterable[str]) -> list[str]:
    return [dbname for dbname in dbnames if entry.discover and entry.discover.takes(dbname)]


def _less(names: Iterable[str], others: Iterable[str]) -> list[str]:
    without = set(others)
    return [name for name in names if name not in without]


def _shown(dbname: str) -> str:
    """A database's name as a part of ours. One that cannot be printed, and so may look like another, has a mark."""
    plain = printable(dbname).strip()
    if plain == dbname:
        return dbname
    return f"{plain}#{hashlib.sha256(dbname.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"
