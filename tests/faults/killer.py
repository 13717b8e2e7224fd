"""Kills a daemon at a named step: strace sends SIGKILL on entry to the step's system call, which is then not made."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.faults.scene import Scene
from tests.fix_daemon import ROOT, Cli, Running
from tests.waiting import wait_for

NOTHING, ASIDE, SEALED = "nothing", "a file aside", "a snapshot"


@dataclass(frozen=True)
class Step:
    """`call`: the system call before which it dies, where strace's line of it holds `said`; `leaves`: on the disk.

    `folder`: only calls on the spool's folder count. `small_files`: no file grows beyond 1 KiB, so that the disk takes
    the first part of a snapshot and no more. `after`: dies after the call instead.
    """

    name: str
    call: str
    said: str
    leaves: str
    folder: bool = True
    small_files: bool = False
    after: bool = False


STEPS = (
    Step("after collecting, before the file is opened", "openat", "O_CREAT", NOTHING),
    Step("before a byte is written", "write", r'"\37\213', ASIDE, folder=False),
    Step("half written", "unlinkat", '".', ASIDE, small_files=True),
    Step("before the file's fsync", "fsync", ".json.gz>", ASIDE, folder=False),
    Step("after the fsync, before the rename", "renameat", '>, ".', ASIDE),
    Step("after the rename, before the folder's fsync", "fsync", "", SEALED),
    Step("before the first byte on the wire", "sendto", '"POST ', SEALED, folder=False),
    Step("between head and body on the wire", "sendto", r'"\37\213', SEALED, folder=False),
    Step("after the upload, before it leaves the spool", "renameat", "/last>", SEALED),
    Step("after it left the spool", "renameat", "/last>", NOTHING, after=True),
)


class Killer:
    """Runs the scene's daemon under strace."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._scene = scene
        self._log = folder / "calls"

    def rehearse(self, step: Step, count: int) -> list[int]:
        """Where the step's call is, in the first `count` cycles, among the calls of its thread, counted from 1."""
        daemon = self._start(step)
        wait_for(lambda: len(self._hits(step)) >= count, lambda: f"{daemon!r} {self._calls()[-3:]}")
        daemon.kill()
        return self._hits(step)

    def kill(self, step: Step, number: int) -> bool:
        """Run until it is killed before (or after) that call; whether it was the one that is meant."""
        if step.after:
            return self._kill_after(step, number)
        daemon = self._start(step, f"signal=KILL:when={number}")
        try:
            daemon.process.wait(60)
        finally:
            daemon.kill()
        calls = self._calls()
        return bool(calls) and step.said in calls[-1]

    def _kill_after(self, step: Step, number: int) -> bool:
        daemon = self._start(step, f"delay_exit=60000000:when={number}")
        wait_for(lambda: number in self._hits(step), lambda: f"{daemon!r}")
        wait_for(lambda: not self._scene.names(), lambda: f"{daemon!r}")
        daemon.kill()
        return True

    def _start(self, step: Step, injected: str = "") -> Running:
        self._log.unlink(missing_ok=True)
        limit = "ulimit -f 2; " if step.small_files else ""
        where = ["-P", str(self._scene.spool)] if step.folder else []
        what = ["-e", f"inject={step.call}:{injected}"] if injected else []
        strace = ["strace", "-f", "-qq", "-y", "-s", "80", "-o", str(self._log)]  # --seccomp-bpf would lose signals
        program = [sys.executable, str(ROOT / "pgdoctor.py")]
        shell = ["sh", "-c", limit + 'exec "$@"', "sh", *program]
        cli = Cli(self._scene.cli.home, (*strace, *where, "-e", f"trace={step.call}", *what, *shell))
        return cli.start("daemon")

    def _calls(self) -> list[str]:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return [line for line in lines if "(" in line and "resumed>" not in line]

    def _hits(self, step: Step) -> list[int]:
        counts: dict[str, int] = {}
        hits = []
        for call in self._calls():
            thread = call.split()[0]
            counts[thread] = counts.get(thread, 0) + 1
            if step.said in call:
                hits.append(counts[thread])
        return hits
