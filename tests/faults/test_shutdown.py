"""SIGTERM at any moment, whatever hangs: it ends in time, with what was collected delivered or on disk."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.ledger import MOODS, Ledger
from tests.faults.scene import Scene, check_ledger, wait_for_first_steps
from tests.fix_daemon import Cli, Running
from tests.postgres.server import Server
from tests.waiting import wait_for

Amount = Callable[[int, int], int]
Figure = Callable[[str, str], None]
SEED = 4
SHUTDOWN_S = 2
MOST_S = 30  # shutdown_timeout, the cancelling, the last writes, and a machine that is busy; hangs are longer


def end(daemon: Running) -> float:
    """SIGTERM, and the graceful end that must follow; the seconds that it took."""
    began = time.monotonic()
    daemon.send(signal.SIGTERM)
    done = daemon.finish(MOST_S)
    assert done.returncode == 0, daemon
    assert daemon.lines[-1] == "Daemon stopped gracefully.", daemon
    assert daemon.error == "", daemon
    return time.monotonic() - began


def check_nothing_is_left(watched: Scene, server: Server) -> None:
    assert watched.cli.leftovers() == []
    wait_for(lambda: not server.backends("pgdoctor"), "backends are left")


def check_the_rest_arrives(watched: Scene, ledger: Ledger, server: Server, sealed: Mapping[str, str]) -> None:
    """With the endpoint up, a last run delivers what was sealed."""
    ledger.mood = "up"
    watched.run_dry()
    check_ledger(ledger, sealed)
    check_nothing_is_left(watched, server)


def test_at_random_moments(
    scene: Callable[..., Scene], ledger: Ledger, newest_server: Server, amount: Amount, figure: Figure
) -> None:
    """Starting, collecting, uploading, waiting for the next attempt, draining: the endpoint is in any mood."""
    watched, chance, ends = scene(3, shutdown_timeout=SHUTDOWN_S), random.Random(SEED), amount(3, 200)
    longest = collected = 0.0
    sealed: dict[str, str] = {}
    for _ in range(ends):
        ledger.mood = chance.choice([*MOODS, "hangs", "forbids"])
        daemon = watched.start()
        wait_for_first_steps(daemon)
        if chance.random() < 0.8:
            daemon.wait_for_line("Press Ctrl")
        time.sleep(chance.uniform(0, 2))
        longest = max(longest, end(daemon))
        collected += sum(" uploading..." in line for line in daemon.lines)
        sealed.update(watched.sealed())
        check_nothing_is_left(watched, newest_server)
    ledger.mood = "up"
    later = watched.run_dry()
    collected += sum(" uploading..." in line for line in later.lines)
    check_ledger(ledger, sealed)
    assert len(ledger.stored) == collected, "what was collected is neither at the endpoint nor on disk"
    figure(
        "SIGTERM at random moments, the endpoint in any mood",
        f"{ends} times: exit 0, after {longest:.1f} s at most (shutdown_timeout {SHUTDOWN_S} s); "
        f"{collected:.0f} snapshots collected, 0 lost, no process and no backend left",
    )


@contextmanager
def stopped_backends(server: Server) -> Iterator[Callable[[], int]]:
    """Stops PGDoctor's backends as they come; the function tells how many. They go on afterwards."""
    pids: set[int] = set()

    def stop() -> int:
        for backend in server.backends("pgdoctor"):
            if backend not in pids:
                with suppress(ProcessLookupError):
                    os.kill(backend, signal.SIGSTOP)
                    pids.add(backend)
        return len(pids)

    try:
        yield stop
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_while_the_server_hangs(
    scene: Callable[..., Scene], ledger: Ledger, newest_server: Server, figure: Figure
) -> None:
    watched = scene(2, shutdown_timeout=SHUTDOWN_S)
    with stopped_backends(newest_server) as stop:
        daemon = watched.run_up()
        wait_for(lambda: stop() and daemon.lines, "no backend was caught")
        wait_for(lambda: stop() >= 2, "one backend was caught only")
        took_s = end(daemon)
    check_nothing_is_left(watched, newest_server)
    check_ledger(ledger, {})
    figure("SIGTERM while every backend is stopped", f"exit 0 after {took_s:.1f} s, no backend left once they go on")


def test_with_a_backlog(scene: Callable[..., Scene], ledger: Ledger, newest_server: Server) -> None:
    """It ends in the middle of a drain, and the next run goes on with the rest."""
    watched = scene(3, shutdown_timeout=SHUTDOWN_S)
    ledger.mood = "forbids"
    daemon = watched.run_up()
    wait_for(lambda: len(watched.names()) >= 9, f"{daemon!r}")
    end(daemon)
    sealed = watched.sealed()
    ledger.mood = "slow"
    daemon = watched.run_up()
    wait_for(lambda: ledger.stored, f"{daemon!r}")
    end(daemon)
    sealed.update(watched.sealed())
    check_the_rest_arrives(watched, ledger, newest_server, sealed)


def test_while_nobody_reads_its_output(scene: Callable[..., Scene], ledger: Ledger, newest_server: Server) -> None:
    watched = scene(2, shutdown_timeout=SHUTDOWN_S)
    reader, writer = os.pipe()
    try:
        _fill(writer)
        command, environment = [*watched.cli.command, "daemon"], watched.cli.environment()
        with subprocess.Popen(command, env=environment, cwd=watched.cli.cwd, stdout=writer) as daemon:
            wait_for(lambda: ledger.stored, "nothing came")
            daemon.terminate()
            assert daemon.wait(MOST_S) == 0
    finally:
        os.close(reader)
        os.close(writer)
    check_nothing_is_left(watched, newest_server)


def _fill(writer: int) -> None:
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)


def test_while_a_reload_hangs(scene: Callable[..., Scene], ledger: Ledger, newest_server: Server) -> None:
    """The configuration is a pipe that nobody writes to, as a file on a dead network file system would be."""
    watched = scene(1, shutdown_timeout=SHUTDOWN_S)
    daemon = watched.run_up()
    wait_for(lambda: ledger.stored, f"{daemon!r}")
    watched.path.unlink()
    os.mkfifo(watched.path, 0o600)
    daemon.send(signal.SIGHUP)
    seen = len(ledger.stored)
    wait_for(lambda: len(ledger.stored) > seen + 1, f"the cycles wait for the file: {daemon!r}")
    end(daemon)
    check_nothing_is_left(watched, newest_server)
    check_ledger(ledger, {})


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("strace"), reason="no strace on this machine")
@pytest.mark.parametrize("call", ["fsync", "renameat", "unlinkat"])
def test_while_the_disk_hangs(
    scene: Callable[..., Scene], ledger: Ledger, newest_server: Server, figure: Figure, call: str
) -> None:
    """What the disk has taken before is there at the next start."""
    watched = scene(2, shutdown_timeout=SHUTDOWN_S)
    inject = ["-P", str(watched.spool), "-e", f"trace={call}", "-e", f"inject={call}:delay_enter=300000000:when=3+"]
    traced = Cli(watched.cli.home, ("strace", "-f", "-qq", "-o", "/dev/null", *inject, *watched.cli.command))
    daemon = traced.start("daemon")
    wait_for(lambda: len(ledger.stored) >= 2, f"{daemon!r}")
    time.sleep(3)
    sealed = {key for key in watched.sealed() if not (watched.spool / f".{key}.json.gz").exists()}
    [child] = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    began = time.monotonic()
    os.kill(int(child), signal.SIGTERM)
    # strace holds on to the threads that it delays: the process has ended when its main thread has.
    status = Path(f"/proc/{child}/stat")
    wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "Z", f"{daemon!r}", MOST_S)
    took_s = time.monotonic() - began
    assert status.read_text().split()[-1] == "0"
    daemon.kill()
    traced.end()
    assert daemon.lines[-1] == "Daemon stopped gracefully.", daemon
    check_nothing_is_left(watched, newest_server)
    watched.run_dry()
    assert sealed <= ledger.stored
    check_ledger(ledger, {})
    figure(f"SIGTERM while the disk hangs in {call}", f"exit 0 after {took_s:.1f} s, 0 lost of what it had taken")


@pytest.mark.full
def test_a_second_signal_at_random_moments(
    scene: Callable[..., Scene], ledger: Ledger, newest_server: Server, figure: Figure
) -> None:
    """It skips the wait, however long that is; nothing is lost by it."""
    watched, chance, ends = scene(2, shutdown_timeout=600), random.Random(SEED), 60
    sealed: dict[str, str] = {}
    for _ in range(ends):
        ledger.mood = chance.choice(["hangs", "slow", "forbids", "resets"])
        daemon = watched.run_up()
        time.sleep(chance.uniform(0, 1.5))
        daemon.send(chance.choice([signal.SIGINT, signal.SIGTERM]))
        daemon.wait_for_line("Received shutdown signal")
        end(daemon)
        sealed.update(watched.sealed())
    check_the_rest_arrives(watched, ledger, newest_server, sealed)
    figure("a second signal at random moments", f"{ends} times: exit 0 at once, 0 lost")
