"""The lines that people (or, with `--log-format json`, machines) read.

A cycle's line is written whole when its outcome is known, so that greenlets never mix; on a terminal
in single-database mode it grows as the work goes. How it gets out is `writer.py`'s business.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

from pgdoctor_lib import debug
from pgdoctor_lib.agent.writer import STDOUT, Writer
from pgdoctor_lib.config import Config, Target
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.secret import one_line, printable
from pgdoctor_lib.snapshot import CollectorError, iso_time, whole
from pgdoctor_lib.units import counted, format_duration

LogFormat = Literal["text", "json"]
_LAST_WORDS_S = 1.0


class Output:
    """Where everything that the daemon says goes. `wall` tells the time of what has no cycle of its own."""

    def __init__(self, config: Config, log_format: LogFormat, wall: Callable[[], float]) -> None:
        self.reconfigure(config)
        self.json = log_format == "json"
        self.terminal = os.isatty(STDOUT)
        self._wall = wall
        self._writer = Writer()
        self._open_line: CycleLine | None = None

    def reconfigure(self, config: Config) -> None:
        """From now on lines are those of this configuration's mode."""
        self.single = config.mode == "single"

    def started(self, config: Config) -> None:
        """The banner, once everything is up."""
        if self.json:
            databases = [{"name": target.name, "interval_s": whole(target.interval_s)} for target in config.databases]
            self.event("started", mode=config.mode, config=config.source, databases=databases)
            return
        self.write("\n".join(_banner(config)) + "\n\n")

    def stopping(self, *, broken: bool) -> None:
        """A signal came, or a bug showed."""
        if broken:
            self.say("Stopping after an internal error...", "stopping", level="error")
            return
        self.say("Received shutdown signal, stopping...", "stopping", lead="\n" if self.terminal else "")

    def stopped(self, *, broken: bool) -> None:
        """The last line; it has a second to get out."""
        if broken:
            self.say("Daemon stopped after an internal error.", "stopped", level="error")
        else:
            self.say("Daemon stopped gracefully.", "stopped")
        self._writer.flush(_LAST_WORDS_S)

    def note(self, text: str, target: Target | None = None, *, level: str = "info") -> None:
        """One more thing worth knowing: a warning, a retry, what became of the backlog."""
        line = one_line(text)
        if self.json:
            of: dict[str, Any] = {"database": target.name} if target else {}
            self.event("note", level=level, message=line, **of)
        else:
            self.write(f"{self.prefix(self._wall(), target)} {line}\n")

    def finding(self, finding: Finding, target: Target, *, resolved: bool = False) -> None:
        """`[time] [production] warning: …` when one opens or gets worse, `resolved: …` when it is gone."""
        what, line = "resolved" if resolved else finding.severity.word, one_line(finding.summary, 500)
        if self.json:
            self.event(
                "finding", level="info" if resolved else "warning", database=target.name, state=what,
                severity=finding.severity.word, check=finding.check, key=one_line(finding.key), message=line,
            )  # fmt: skip
        else:
            self.write(f"{self.prefix(self._wall(), target)} {what}: {line} ({finding.check})\n")

    def begin(self, line: "CycleLine") -> None:
        """A cycle begins: on a terminal its line does so, too, where there is one database."""
        if self.single and self.terminal and not self.json:
            self.write(line.text)
            self._open_line = line

    def grow(self, line: "CycleLine", text: str) -> None:
        """Show `text`, which the line just got, where the line is being written as the work goes."""
        if self._open_line is line:
            self.write(text, closes=False)

    def finish(self, line: "CycleLine", text: str) -> None:
        """The outcome: the rest of a line that grew, else the whole line."""
        grew = self._open_line is line
        if grew:
            self._open_line = None
        self.write(f"{text}\n" if grew else f"{line.text}{text}\n")

    def prefix(self, wall: float, target: Target | None) -> str:
        """`[2024-01-15 10:00:00]`, local time, and `[production]` where there are several."""
        stamp = time.strftime("[%Y-%m-%d %H:%M:%S]", time.localtime(wall))
        return stamp if target is None or self.single else f"{stamp} [{printable(target.name)}]"

    def say(self, text: str, event: str, *, lead: str = "", level: str = "info") -> None:
        """A line without a time."""
        if self.json:
            self.event(event, level=level)
        else:
            self.write(f"{lead}{text}\n")

    def died(self, error: BaseException) -> None:
        """A greenlet died, which is a bug."""
        self.note(f"internal error: {type(error).__name__}: {error}", level="error")
        self.trace(error)

    def trace(self, error: BaseException) -> None:
        """With --debug, where an error came from."""
        if debug.is_on(os.environ):
            self.write(debug.trace(error))

    def event(self, event: str, *, level: str = "info", at: float | None = None, **fields: object) -> None:
        """One JSON object a line. Texts from outside have been through `one_line` before."""
        record = {"time": iso_time(self._wall() if at is None else at), "level": level, "event": event, **fields}
        self.write(json.dumps(record) + "\n")

    def write(self, text: str, *, closes: bool = True) -> None:
        """All of `text` at once; a line that was growing is ended first."""
        if closes and self._open_line is not None:
            text = f"\n{text}"
            self._open_line = None
        self._writer.write(text)


class CycleLine:
    """`[time] [production] Collecting #1... uploading... ✓ (id=abc123)`, as it comes about."""

    def __init__(self, output: Output, numbers: Iterator[int], target: Target, wall: Callable[[], float]) -> None:
        self._output = output
        self._numbers = numbers
        self._target = target
        self._wall = wall
        self._number = 0
        self._started_at = 0.0
        self.text = ""
        self.errors: tuple[CollectorError, ...] | None = None

    def begin(self) -> None:
        """The cycle gets its number and its time."""
        self._number, self._started_at = next(self._numbers), self._wall()
        what = "snapshot " if self._output.single else ""
        self.text = f"{self._output.prefix(self._started_at, self._target)} Collecting {what}#{self._number}..."
        self._output.begin(self)

    def uploading(self, errors: tuple[CollectorError, ...]) -> None:
        """The snapshot is collected; `errors` are what it lacks."""
        self.errors = errors
        self._output.grow(self, " uploading...")
        self.text += " uploading..."

    def retry(self, attempt: int, attempts: int, wait_s: float, cause: str) -> None:
        """An attempt failed, and another one comes."""
        self._output.note(
            f"Retry attempt {attempt}/{attempts} in {format_duration(wait_s)}: {cause}", self._target, level="warning"
        )

    def left(self) -> None:
        """It waits for the one before it."""
        self._done(" kept, to follow the one before it", ok=True, kept=True)

    def delivered(self, receipt_id: str | None) -> None:
        """The endpoint has it."""
        shown = one_line(receipt_id, 100) if receipt_id else None
        self._done(f" ✓ (id={shown})" if shown else " ✓", ok=True, id=shown)

    def broken(self, error: Exception) -> str:
        """A bug showed."""
        text = self.failed("internal error", f"{type(error).__name__}: {error}")
        self._output.trace(error)
        return text

    def failed(self, what: str, cause: str) -> str:
        """`what`: "collection failed", "upload failed" and the like; `cause`: the shortest true one. Returns both."""
        text = f"{what}: {one_line(cause)}"
        if self._number:
            self._done(f" ✗ {text}", ok=False, error=text)
        return text

    def _done(self, text: str, *, ok: bool, **fields: object) -> None:
        if self._output.json:
            self._output.event(
                "cycle", level="info" if ok else "error", at=self._started_at,
                database=self._target.name, cycle=self._number, ok=ok, **fields,
            )  # fmt: skip
        else:
            self._output.finish(self, text)


def _banner(config: Config) -> list[str]:
    if config.mode == "single":
        interval = format_duration(config.databases[0].interval_s)
        return [f"pgdoctor daemon started (single-database mode, interval: {interval})", "Press Ctrl+C to stop"]
    names = [
        f"  - {printable(target.name)} (interval: {format_duration(target.interval_s)})" for target in config.databases
    ]
    return [
        f"Loaded config from: {one_line(config.source or '')}",
        f"pgdoctor daemon started (multi-database mode, {counted(len(config.databases), 'database')})",
        "Databases:",
        *names,
        "",
        "Press Ctrl+C to stop",
    ]
