"""Who is told of findings: a greenlet a channel (`notify`), which waits for nobody and holds up nobody.

What is news to a channel is gathered for a moment, so that one notice tells it, of each finding the last word; then
it is on disk, in notify/ within the spool's folder, before it is sent, one notice at a time, again and again until it
is taken. What the channel knows (told.py) is kept with it. So a crash may tell something twice, and forgets nothing.
"""

import math
import os
import shutil
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event as Wake

from pgdoctor_lib import __version__
from pgdoctor_lib.agent.threads import Threads
from pgdoctor_lib.agent.told import Heard, Told, last_words
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.notify import Channel
from pgdoctor_lib.deliver.channels import send
from pgdoctor_lib.deliver.folder import Folder
from pgdoctor_lib.deliver.notices import Event, Notice, notices
from pgdoctor_lib.deliver.postbox import Postbox
from pgdoctor_lib.errors import DeliveryError, Refused, Retryable
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.secret import one_line
from pgdoctor_lib.snapshot import Agent, Snapshot
from pgdoctor_lib.units import counted

if TYPE_CHECKING:
    Greenlet = gevent.Greenlet[..., None]

NAME = "notify"
GATHER_S = 10.0  # from the first news to the notice that tells it, and what comes meanwhile
PACE_S = 1.0  # between two notices: Slack takes one a second
PAUSES_S = (2.0, 300.0)  # after the first failure; it doubles up to the other
_LAST_WRITES_S = 5.0
_TOLD = "told.json"
_LARGEST_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class _Desk:
    """What all channels work with. Files are written by `offload`, beside the hub."""

    path: str
    clock: Clock
    note: Callable[..., None]
    offload: Threads


class Notifier:
    """`follow` says which channels there are; `hear` what a diagnosis found. `note`, `on_death` as elsewhere."""

    def __init__(
        self, spool_path: str, clock: Clock, note: Callable[..., None], on_death: "Callable[[Greenlet], None]"
    ) -> None:
        self._desk = _Desk(os.path.join(spool_path, NAME), clock, note, Threads(1))
        self._on_death = on_death
        self._tellers: dict[str, _Teller] = {}

    def follow(self, channels: Iterable[Channel]) -> None:
        """From now on these. One whose name and form are as before keeps what waits for it, and what it knows."""
        wanted = {f"{channel.form}.{channel.name}": channel for channel in channels}
        for key in self._tellers.keys() - wanted.keys():
            self._tellers.pop(key).greenlet.kill(block=False)
        self._remove_others(wanted)
        for key, channel in wanted.items():
            if teller := self._tellers.get(key):
                teller.follow(channel)
            else:
                self._begin(key, channel)

    def hear(self, target: Target, snapshot: Snapshot) -> None:
        """A database's diagnosis: what is news in it is told, later. Returns at once."""
        if self._tellers:
            self._tell(Heard.of(target, snapshot))

    def hear_failure(self, target: Target, finding: Finding) -> None:
        """The same where there is nothing to diagnose: what is told of that."""
        if self._tellers:
            self._tell(Heard.failed(target, finding, self._desk.clock.wall()))

    def status(self) -> tuple[str, ...]:
        """A line for each channel that does not take what it is told."""
        return tuple(filter(None, (teller.status for teller in self._tellers.values())))

    def close(self) -> None:
        """Bring to disk what is not there; say what waits for the next start."""
        tellers = list(self._tellers.values())
        greenlets = [teller.greenlet for teller in tellers]
        gevent.killall(greenlets, block=False)
        gevent.joinall([*greenlets, *(gevent.spawn(teller.write) for teller in tellers)], timeout=_LAST_WRITES_S)
        if waiting := sum(len(teller.box) for teller in tellers):
            self._desk.note(f"{counted(waiting, 'notice')} kept for the next start")

    def _tell(self, heard: Heard) -> None:
        for teller in self._tellers.values():
            teller.hear(heard)

    def _begin(self, key: str, channel: Channel) -> None:
        try:
            folder, box, told = self._opened(key)
        except OSError as error:
            self._desk.note(f"notify {channel.name}: cannot be told: {one_line(str(error))}", level="error")
            return
        self._tellers[key] = teller = _Teller(channel, folder, box, told, self._desk)
        teller.greenlet.link_exception(self._on_death)

    def _opened(self, key: str) -> tuple[Folder, Postbox, Told]:
        desk = self._desk
        folder = desk.offload(_open, desk.path, key)
        data = b""
        with suppress(FileNotFoundError, ValueError):
            data = desk.offload(folder.read, _TOLD, _LARGEST_BYTES)
        return folder, Postbox(folder, desk.clock, desk.offload), Told.of_bytes(data, desk.clock.wall())

    def _remove_others(self, wanted: Iterable[str]) -> None:
        """The folders of channels that are there no more."""
        if not os.path.isdir(self._desk.path):
            return
        for key in self._desk.offload(_folders, self._desk.path) - set(wanted):
            self._desk.offload(shutil.rmtree, os.path.join(self._desk.path, key), True)
            self._desk.note(f"notify {one_line(key.partition('.')[2])}: gone, with what waited for it")


class _Teller:
    """One channel, and the greenlet that tells it."""

    def __init__(self, channel: Channel, folder: Folder, box: Postbox, told: Told, desk: _Desk) -> None:
        self.channel, self.box = channel, box
        self.status = ""
        self._folder, self._told, self._desk = folder, told, desk
        self._gathered: list[Event] = []
        self._gathered_until = math.inf
        self._next_try = 0.0
        self._failures = 0
        self._given_up = 0
        self._disk_works = True
        self._wake = Wake()
        self.greenlet: Greenlet = gevent.spawn(self._run)

    def hear(self, heard: Heard) -> None:
        """Gather what is news."""
        events = self._told.news(self.channel, heard)
        if events:
            self._gathered += events
            self._gathered_until = min(self._gathered_until, self._desk.clock.monotonic() + GATHER_S)
            self._wake.set()

    def follow(self, channel: Channel) -> None:
        """The same channel, by another way perhaps."""
        if channel != self.channel:
            self.channel, self._next_try = channel, 0.0
            self._wake.set()

    def write(self) -> None:
        """Bring to disk what was gathered, then that it is told. What is ended in between is told again."""
        events, self._gathered, self._gathered_until = self._gathered, [], math.inf
        for words in last_words(events):
            for notice in notices(self.channel.form, words, _agent(), self._desk.clock.wall()):
                self.box.put(notice)
        told = self._told.as_bytes()
        try:
            self.box.keep()
            self._desk.offload(self._folder.write, _TOLD, told)
        except OSError as error:
            self._disk_is(False, f"nothing can be kept on disk: {one_line(error.strerror or str(error))}")
        else:
            self._disk_is(True, "is kept on disk again")

    def _run(self) -> None:
        while True:
            self._wake.wait(self._wait_s())
            self._wake.clear()
            if self._gathered_until <= self._desk.clock.monotonic():
                self.write()
            if self.box and self._next_try <= self._desk.clock.monotonic():
                self._send_one()
            self._tell_given_up()

    def _wait_s(self) -> float | None:
        until = min(self._gathered_until, self._next_try if self.box else math.inf)
        return None if until == math.inf else max(0.0, until - self._desk.clock.monotonic())

    def _send_one(self) -> None:
        """The oldest. Where that fails, it waits for its turn, longer each time."""
        try:
            notice = self.box.oldest()
            if notice:
                self._send(notice)
        except (DeliveryError, OSError) as error:
            self._failed(error)
        else:
            self._next_try = self._desk.clock.monotonic() + PACE_S

    def _send(self, notice: Notice) -> None:
        try:
            send(self.channel, notice, self._desk.clock.wall())
        except Refused as error:
            self._note(f"refused a notice, which is given up: {error}", "error")
        self.box.taken()
        if self._failures:
            self._note(f"works again, {counted(len(self.box), 'notice')} left")
        self._failures, self.status = 0, ""

    def _failed(self, error: DeliveryError | OSError) -> None:
        least, most = PAUSES_S
        asked = error.retry_after_s if isinstance(error, Retryable) else 0.0
        self._next_try = self._desk.clock.monotonic() + max(min(least * 2**self._failures, most), asked)
        if not self._failures:
            self._note(f"{error} (kept, and tried again)", "warning")
        self._failures = min(self._failures + 1, 10)
        self.status = f"notify {self.channel.name}: {one_line(str(error))}, {counted(len(self.box), 'notice')} waiting"

    def _tell_given_up(self) -> None:
        if self.box.given_up > self._given_up:
            count, self._given_up = self.box.given_up - self._given_up, self.box.given_up
            self._note(f"{counted(count, 'notice')} given up: too old, or too many", "error")

    def _disk_is(self, works: bool, text: str) -> None:
        if works != self._disk_works:
            self._disk_works = works
            self._note(text, "info" if works else "error")

    def _note(self, text: str, level: str = "info") -> None:
        self._desk.note(f"notify {self.channel.name}: {text}", level=level)


def _open(path: str, key: str) -> Folder:
    """A channel's folder, without what a crash left half written."""
    folder = Folder(key, Folder(path))
    for name, _, _ in list(folder.files()):
        if name.startswith("."):
            folder.remove(name)
    return folder


def _folders(path: str) -> set[str]:
    try:
        with os.scandir(path) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except OSError:
        return set()


def _agent() -> Agent:
    return Agent(__version__, socket.gethostname(), os.getpid())
