"""Watches the event loop from outside: a greenlet beats, a real thread looks whether it still does.

A loop that is blocked is a bug, and nothing in it can say so any more: the thread writes the stack of what blocks
it, and the beats that systemd waits for (`WatchdogSec`) stop, so that it starts the daemon anew. Where C code holds
the interpreter's lock not even the thread runs; there faulthandler writes the stack, when systemd's SIGABRT comes.
"""

import contextlib
import faulthandler
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gevent
from gevent import monkey

from pgdoctor_lib.agent import notify
from pgdoctor_lib.agent.output import LogFormat
from pgdoctor_lib.secret import one_line
from pgdoctor_lib.snapshot import iso_time

if TYPE_CHECKING:
    Greenlet = gevent.Greenlet[..., None]
BLOCKED_S = 30.0
_BEAT_S = 1.0
_STDOUT, _STDERR = 1, 2
_DEEPEST = 60  # frames that are shown
_sleep = monkey.get_original("time", "sleep")
_start_thread = monkey.get_original("_thread", "start_new_thread")
_ident = monkey.get_original("_thread", "get_ident")


class Watchdog:
    """Made and started in the event loop's thread. `blocked_s`: what is too long, in seconds."""

    def __init__(self, log_format: LogFormat, blocked_s: float = BLOCKED_S) -> None:
        self._json = log_format == "json"
        self._blocked_s = blocked_s
        self._pause_s = min(_BEAT_S, blocked_s / 10)
        self._thread = _ident()
        self._beats = 0
        self._stopped = False

    def start(self) -> "Greenlet":
        """Begin to beat and to look; the beating greenlet. When it is killed, the looking ends, too."""
        faulthandler.enable(_STDERR)
        _start_thread(self._look_forever, ())
        return gevent.spawn(self._beat_forever)

    def stop(self) -> None:
        """End both, soon; nothing is waited for."""
        self._stopped = True

    def _beat_forever(self) -> None:
        pause_s = min(self._pause_s, notify.alive_every_s() or self._pause_s)
        next_alive = 0.0
        try:
            while not self._stopped:
                self._beats += 1
                next_alive = _tell_alive(next_alive)
                gevent.sleep(pause_s)
        finally:
            self.stop()

    def _look_forever(self) -> None:
        """In the thread. Seconds in which it did not run itself (a stopped process, a machine asleep) are nobody's."""
        seen, blocked_s, looked = -1, 0.0, time.monotonic()
        while not self._stopped:
            _sleep(self._pause_s)
            now, beats = time.monotonic(), self._beats
            if beats == seen:
                before, blocked_s = blocked_s, blocked_s + min(now - looked, 2 * self._pause_s)
                if before < self._blocked_s <= blocked_s:
                    self._report()
            else:
                if blocked_s >= self._blocked_s:
                    self._goes_on(blocked_s)
                seen, blocked_s = beats, 0.0
            looked = now

    def _report(self) -> None:
        frames = list(self._frames())
        by = frames[0] if frames else "?"
        text = f"the event loop has been blocked for {self._blocked_s:g} s by: {by}"
        self._say("blocked", "error", f"internal error: {text}", frames, blocked_s=self._blocked_s)

    def _goes_on(self, blocked_s: float) -> None:
        text = f"the event loop goes on, it was blocked for {blocked_s:.0f} s"
        self._say("unblocked", "warning", text, [], blocked_s=round(blocked_s))

    def _frames(self) -> Iterator[str]:
        """Function, file and line of each call in the loop's thread, the innermost first; no values."""
        frame = sys._current_frames().get(self._thread)
        for each, line in [] if frame is None else traceback.walk_stack(frame):
            yield one_line(f"{each.f_code.co_name} ({each.f_code.co_filename}:{line})")

    def _say(self, event: str, level: str, text: str, stack: list[str], **fields: object) -> None:
        """Straight to standard output: the loop's own writer is blocked with it."""
        wall = time.time()
        if self._json:
            told: dict[str, Any] = {"stack": stack[:_DEEPEST]} if stack else {}
            record = {"time": iso_time(wall), "level": level, "event": event, "message": text, **fields, **told}
            lines = [json.dumps(record)]
        else:
            stamp = time.strftime("[%Y-%m-%d %H:%M:%S]", time.localtime(wall))
            lines = [f"{stamp} {text}", *(f"  {frame}" for frame in stack[:_DEEPEST])]
        with contextlib.suppress(OSError):
            os.write(_STDOUT, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))


def _tell_alive(due: float) -> float:
    """Tell systemd, where it asks and the time has come; when it is due next."""
    every_s, now = notify.alive_every_s(), time.monotonic()
    if every_s is None or now < due:
        return due
    notify.alive()
    return now + every_s
