"""The leaders of all servers: one greenlet a server, as long as the configuration has it."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import gevent

from pgdoctor_lib.agent.leader import Leader, Role
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.dsn import Host

if TYPE_CHECKING:
    Greenlet = gevent.Greenlet[..., None]


class Leaders:
    """`follow(targets)` says which databases there are; then `leads(target)` who collects them.

    `note` and `realm` as in `Leader`. `on_death` is linked to each greenlet: that one of them ends by itself is a bug.
    """

    def __init__(
        self, clock: Clock, note: Callable[..., None], on_death: "Callable[[Greenlet], None]", realm: str
    ) -> None:
        self._clock = clock
        self._note = note
        self._on_death = on_death
        self._realm = realm
        self._groups: dict[tuple[Host, ...], tuple[tuple[Target, ...], Leader, Greenlet]] = {}

    def follow(self, targets: Iterable[Target]) -> None:
        """From now on these. A server whose databases are the same as before does not notice."""
        wanted = defaultdict[tuple[Host, ...], list[Target]](list)
        for target in targets:
            wanted[target.dsn.hosts].append(target)
        for hosts, (before, _, greenlet) in list(self._groups.items()):
            if tuple(wanted.get(hosts, ())) != before:
                del self._groups[hosts]
                greenlet.kill(block=False)
        for hosts, group in wanted.items():
            if hosts not in self._groups:
                leader = Leader(group, self._clock, self._note, self._realm)
                greenlet = gevent.spawn(leader.run)
                greenlet.link_exception(self._on_death)
                self._groups[hosts] = tuple(group), leader, greenlet

    def leads(self, target: Target) -> bool:
        """Whether a cycle of `target` may begin now."""
        group = self._groups.get(target.dsn.hosts)
        return group is not None and group[1].leads()

    def role(self, target: Target) -> Role | None:
        """What is told of it to people; None where `target` is not followed."""
        group = self._groups.get(target.dsn.hosts)
        return group[1].role if group else None

    def stop(self) -> "list[Greenlet]":
        """Give back every lease; the greenlets that are at it."""
        ending = [greenlet for _, _, greenlet in self._groups.values()]
        gevent.killall(ending, block=False)
        self._groups.clear()
        return ending
