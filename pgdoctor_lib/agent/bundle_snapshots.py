"""The snapshots of a bundle: of each database the last that was delivered, or one taken now; with its findings."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pgdoctor_lib.agent import checkup, oneshot
from pgdoctor_lib.agent.bundle_text import clean
from pgdoctor_lib.agent.rules import Rules
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Target
from pgdoctor_lib.deliver import last
from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.report import markdown
from pgdoctor_lib.secret import one_line, printable, redact

MOST_BYTES = 20 * 1024**2
MOST_DATABASES = 100


class Snapshots:
    """`target`: the one database that is looked at now; without it all that lie in the spool's last/."""

    def __init__(self, spool_path: str, target: Target | None, timeout_s: float, rules: Rules, clock: Clock) -> None:
        self._spool_path, self._target, self._timeout_s = spool_path, target, timeout_s
        self._rules, self._clock = rules, clock
        self._said: list[str] = []

    def members(self) -> Iterator[tuple[str, bytes]]:
        """Each database's snapshot and findings, then the list of them."""
        for number, (name, body) in enumerate(self._bodies(), 1):
            yield from self._of_one(number, name, body)
        if not self._said:
            self._said = ['there is no last snapshot: the daemon has delivered none; "pgdoctor bundle NAME" takes one']
        yield "databases.txt", clean("\n".join(self._said)).encode()

    def _bodies(self) -> Iterator[tuple[str, bytes]]:
        if self._target is None:
            yield from self._delivered()
            return
        name = self._target.name
        try:
            yield name, oneshot.take(self._target, self._timeout_s, self._clock, self._rules).body()
        except PGDoctorError as error:
            self._say(name, f"could not be looked at now: {error}")
            if body := last.load(self._spool_path, name):
                yield name, body

    def _delivered(self) -> Iterator[tuple[str, bytes]]:
        names = last.names(self._spool_path)
        for name in names[:MOST_DATABASES]:
            body = last.read(self._spool_path, name)
            if body is None:
                self._say(name, "left out: cannot be read")
            else:
                yield name, body
        if len(names) > MOST_DATABASES:
            self._say(f"{len(names) - MOST_DATABASES} more", 'left out; "pgdoctor bundle NAME" takes one of them')

    def _of_one(self, number: int, name: str, body: bytes) -> Iterator[tuple[str, bytes]]:
        if len(body) > MOST_BYTES:
            self._say(name, f"left out: its snapshot is larger than {MOST_BYTES // 1024**2} MiB")
            return
        try:
            told = _masked(json.loads(body))
            masked = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
            result = checkup.saved(masked, rules=self._rules)
        except (PGDoctorError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            self._say(name, f"left out: not a snapshot: {one_line(str(error))}")
            return
        folder = f"databases/{number:03}-{_safe(result.name)}"
        self._say(result.name, f"{folder}, collected at {_collected_at(told)}")
        yield f"{folder}/snapshot.json", masked
        yield f"{folder}/findings.md", clean(markdown.document([result])).encode("utf-8", "replace")

    def _say(self, name: str, what: str) -> None:
        self._said.append(f"{printable(name)}: {what}")


def _masked(value: Any) -> Any:
    """The same without secrets, each text by itself: what is masked in one changes nothing around it."""
    if isinstance(value, dict):
        return {redact(key): _masked(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return redact(value) if isinstance(value, str) else value


def _collected_at(told: dict[str, Any]) -> str:
    return one_line(str(told.get("collected_at")), 40)


def _safe(name: str) -> str:
    """A part of a file's name that any system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60].strip("-.") or "database"
