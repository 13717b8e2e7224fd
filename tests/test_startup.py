"""What comes first: limits, signals and streams, in real processes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fix_daemon import ROOT, Cli

CONFIG = """\
endpoint: http://127.0.0.1:1/api/snapshots
token: not-a-real-token
databases: [{name: down, dsn: "postgres://monitor@127.0.0.1:1/app"}]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_no_core_file_of_the_daemon(cli: Cli) -> None:
    """Its memory holds secrets. Neither limit leaves any room, so that nothing in it can raise the first again."""
    (cli.cwd / "pgdoctor.yaml").write_text(CONFIG)
    (cli.cwd / "pgdoctor.yaml").chmod(0o600)
    daemon = cli.start("daemon")
    daemon.wait_for_line("#1")
    limits = Path(f"/proc/{daemon.pid}/limits").read_text().splitlines()
    [core] = [line.split()[4:6] for line in limits if line.startswith("Max core file size")]
    assert core == ["0", "0"]
    daemon.send(signal.SIGABRT)
    assert daemon.finish().returncode == -signal.SIGABRT
    assert [path.name for path in cli.cwd.iterdir()] == ["pgdoctor.yaml"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_an_early_signal_is_kept_until_somebody_takes_it(number: signal.Signals) -> None:
    script = f"""
import os, signal
from pgdoctor_lib import startup
startup.prepare()
os.kill(os.getpid(), {number:d})
print("held back", flush=True)
signal.signal({number:d}, lambda *_: print("taken", flush=True))
startup.take_signals()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "held back\ntaken\n", "")


def test_a_hangup_ends_a_command_that_is_no_daemon(cli: Cli) -> None:
    (cli.home / "x.log").write_text("a line\n")
    follower = cli.start("daemon", "logs", "-f", "--log-file", str(cli.home / "x.log"))
    follower.wait_for_line("a line")
    follower.send(signal.SIGHUP)
    assert follower.finish().returncode == -signal.SIGHUP
