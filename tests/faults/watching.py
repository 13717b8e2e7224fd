"""A daemon under faults, watched from outside: its endpoint's view, and the kernel's."""

import asyncio
import json
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.fix_daemon import ROOT, Cli
from tests.fix_endpoint import Endpoint
from tests.fix_proxy import Proxy

ODD = (sys.executable, str(ROOT / "tests/faults/odd_daemon.py"))
_BACKEND_KEY = b"K\0\0\0\x0c"  # a backend tells its process id
_FROZEN_S = 8.0


class Freezer(Proxy):
    """Stops (SIGSTOP) each backend of a database `hung…` when its client has been let in; thaws it 8 s later."""

    def __init__(self, to: int) -> None:
        self.frozen: set[int] = set()
        self.times = 0
        self._marked: set[Any] = set()
        self._lock = threading.Lock()
        super().__init__(to)

    def close(self) -> None:
        """End it, and thaw all."""
        super().close()
        for pid in list(self.frozen):
            self._thaw(pid)

    async def _up_stream(self, piece: bytes, to: Any) -> None:
        if b"database\0hung" in piece:
            self._marked.add(to)
        await super()._up_stream(piece, to)

    async def _down_stream(self, piece: bytes, to: Any, other: Any, passed: int) -> int:
        if other in self._marked and _BACKEND_KEY in piece:
            self._marked.discard(other)
            await asyncio.sleep(0.05)  # now it waits for its client, and holds no lock that others need
            self._freeze(struct.unpack("!i", piece.partition(_BACKEND_KEY)[2][:4])[0])
        return await super()._down_stream(piece, to, other, passed)

    def _freeze(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        self.frozen.add(pid)
        self.times += 1
        self._loop.call_later(_FROZEN_S, self._thaw, pid)

    def _thaw(self, pid: int) -> None:
        self.frozen.discard(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@dataclass
class Vitals:
    """What a process held, each time it was looked at."""

    pid: int
    rss_mb: list[float] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)

    def look(self) -> None:
        """Once more."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        self.rss_mb.append(pages * os.sysconf("SC_PAGE_SIZE") / 1024**2)
        self.fds.append(len(os.listdir(f"/proc/{self.pid}/fd")))

    def __str__(self) -> str:
        """The first third and the last third, at the highest."""
        third = max(1, len(self.fds) // 3)
        (rss, fds), (rss_end, fds_end) = self.highest(slice(third)), self.highest(slice(-third, None))
        return f"RSS {rss:.0f} MB, later {rss_end:.0f} MB; descriptors {fds}, later {fds_end}"

    def highest(self, part: slice) -> tuple[float, int]:
        """RSS in MB and descriptors, the highest of that part."""
        return max(self.rss_mb[part]), max(self.fds[part])


def configure(cli: Cli, endpoint: Endpoint, dsns: Mapping[str, str], **settings: object) -> None:
    """Write ./pgdoctor.yaml: all of them each second."""
    rows = [{"name": name, "dsn": dsn} for name, dsn in dsns.items()]
    document = {"endpoint": endpoint.url, "token": "tok-of-the-hang-tests", "interval": 1, **settings}
    path = cli.cwd / "pgdoctor.yaml"
    path.touch(0o600)
    path.write_text(json.dumps({**document, "databases": rows}))


def collected(endpoint: Endpoint, name: str) -> list[float]:
    """When each snapshot of it was collected, in epoch seconds."""
    stamps = [each["collected_at"] for each in endpoint.snapshots if each["database"]["name"] == name]
    return [datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() for stamp in stamps]


def worst_gap_s(moments: list[float]) -> float:
    """The longest time between two."""
    return max(later - earlier for earlier, later in pairwise(moments))


def arrived(endpoint: Endpoint, name: str) -> Callable[[], int]:
    """Asks how many snapshots of it have come."""
    return lambda: len(collected(endpoint, name))
