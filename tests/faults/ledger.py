"""An endpoint that is in many moods and keeps a ledger: what came under which key, how often, what was answered."""

import gzip
import hashlib
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.fix_endpoint import Answer, Endpoint, Request

MOODS = ("up", "up", "down", "fails", "stores and resets", "resets", "slow", "stores and fails")
_STORING = ("up", "slow", "stores and resets", "stores and fails")


@dataclass
class Entry:
    """What came under one key. `answers`: one an arrival, in order; `stored`: whether it was ever taken."""

    digests: set[str] = field(default_factory=set)
    answers: list[str] = field(default_factory=list)
    stored: bool = False
    document: Any = None


class Ledger(Endpoint):
    """`mood` says what becomes of the requests that come now; `entries` what became of all."""

    def __init__(self) -> None:
        self.mood = "up"
        self.entries: dict[str, Entry] = {}
        self.order: list[str] = []
        self.authorization = ""  # of the latest
        self.cut_short = 0
        self._ledger = threading.Lock()
        super().__init__()

    @property
    def url(self) -> str:
        """By address: nothing has to be looked up."""
        return super().url.replace("localhost", "127.0.0.1")

    @property
    def stored(self) -> set[str]:
        """The keys that were taken."""
        with self._ledger:
            return {key for key, entry in self.entries.items() if entry.stored}

    @property
    def digests(self) -> dict[str, set[str]]:
        """The bodies that came under each key, as digests of what they are uncompressed."""
        with self._ledger:
            return {key: set(entry.digests) for key, entry in self.entries.items()}

    @property
    def again(self) -> int:
        """Arrivals of what had been taken before."""
        with self._ledger:
            return sum(answer == "409" for entry in self.entries.values() for answer in entry.answers)

    def take(self, request: Request) -> Answer:
        """Write it down; the answer of the mood."""
        if request.method != "POST":
            return Answer(503 if self.mood == "fails" else 405)
        if len(request.body) != int(request.headers["Content-Length"]):
            self.cut_short += 1  # its sender was killed
            return Answer(400, close=True)
        mood = self.mood
        self.authorization = request.headers["Authorization"]
        with self._ledger:
            return self._enter(request.headers["Idempotency-Key"], _plain(request), mood)

    def _enter(self, key: str, body: bytes, mood: str) -> Answer:
        entry = self.entries.setdefault(key, Entry())
        entry.digests.add(digest(body))
        answer = _answer(mood, key, entry.stored)
        entry.answers.append("reset" if answer.reset else str(answer.status))
        if mood in _STORING and not entry.stored:
            entry.stored, entry.document = True, json.loads(body)
            self.order.append(key)
        return answer

    @contextmanager
    def flapping(self, seed: int) -> Iterator[None]:
        """Changes its mood every moment; it is up afterwards."""
        over = threading.Event()
        thread = threading.Thread(target=self._flap, args=(over, random.Random(seed)), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.mood = "up"
            self.up()

    def _flap(self, over: threading.Event, chance: random.Random) -> None:
        while not over.is_set():
            self.mood = chance.choice(MOODS)
            if self.mood == "down":
                self.down()
            else:
                with suppress(OSError):  # somebody's connection has our port for the moment
                    self.up()
            over.wait(chance.uniform(0.05, 0.6))


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _plain(request: Request) -> bytes:
    return gzip.decompress(request.body) if request.headers.get("Content-Encoding") == "gzip" else request.body


def _answer(mood: str, key: str, had: bool) -> Answer:
    if mood in ("down", "resets", "stores and resets"):  # down: it is about to be
        return Answer(reset=True)
    if mood == "forbids":
        return Answer(401)
    if mood == "hangs":
        return Answer(503, wait_s=60)
    if mood in ("fails", "stores and fails"):
        return Answer(503, body={"error": "not now"})
    wait_s = 0.3 if mood == "slow" else 0.0
    return Answer(409 if had else 201, body={"id": key}, wait_s=wait_s)
