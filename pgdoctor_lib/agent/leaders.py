"""The leaders of all servers: one greenlet a server, as long as the configuration has it."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import gevent

from pgdoctor_lib.agent.leader import Leader, Role
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.dsn import Host

if TYPE_CHECKING:
    Greenlet = gevent.Greenlet[..., None]


@dataclass
class _Group:
    """One server. `before`: who spoke for it before a reload, until `leader` knows what to say."""

    leader: Leader
    greenlet: "Greenlet"
    before: "_Group | None"

    def speaker(self) -> Leader:
        if self.before and self.leader.is_undecided:
            return self.before.speaker()
        self.end_before()
        return self.leader

    def end_before(self) -> None:
        if self.before:
            self.before.end_before()
            self.before.greenlet.kill(block=False)
            self.before = None


class Leaders:
    """`follow` says which databases there are; then `leads(target)` whether this daemon collects one of them.

    `note` as in `Leader`; `is_busy` is asked for one server's hosts. `on_death` is linked to each greenlet:
    that one of them ends by itself is a bug.
    """

    def __init__(
        self,
        clock: Clock,
        note: Callable[..., None],
        on_death: "Callable[[Greenlet], None]",
        is_busy: Callable[[tuple[Host, ...]], bool],
    ) -> None:
        self._clock = clock
        self._note = note
        self._on_death = on_death
        self._is_busy = is_busy
        self._groups: dict[tuple[Host, ...], _Group] = {}

    def follow(self, targets: Iterable[Target], realm: str) -> None:
        """From now on these; `realm` as in `Leader`. A server whose databases are the same does not notice."""
        wanted = defaultdict[tuple[Host, ...], list[Target]](list)
        for target in targets:
            wanted[target.dsn.hosts].append(target)
        for hosts in self._groups.keys() - wanted.keys():
            self._end(self._groups.pop(hosts))
        for hosts, group in wanted.items():
            leader = Leader(group, self._clock, self._note, realm, partial(self._is_busy, hosts))
            before = self._groups.get(hosts)
            if before and before.leader.identity == leader.identity:
                before.leader.enter_by(leader)  # another password, perhaps: the lease goes on
            else:
                greenlet = gevent.spawn(leader.run)
                greenlet.link_exception(self._on_death)
                self._groups[hosts] = _Group(leader, greenlet, before)

    def leads(self, target: Target) -> bool:
        """Whether a cycle of `target` may begin now."""
        group = self._groups.get(target.dsn.hosts)
        return group is not None and group.speaker().leads()

    def role(self, target: Target) -> Role | None:
        """What people are told of it; None where `target` is not followed."""
        group = self._groups.get(target.dsn.hosts)
        return group.speaker().role if group else None

    def stop(self) -> "list[Greenlet]":
        """Give back every lease; the greenlets that are at it."""
        ending = [self._end(group) for group in self._groups.values()]
        self._groups.clear()
        return ending

    def _end(self, group: _Group) -> "Greenlet":
        group.end_before()
        group.greenlet.kill(block=False)
        return group.greenlet
