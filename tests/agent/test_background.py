"""The background daemon: real processes, real locks, real signals."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pgdoctor_lib.agent import logfile, status
from pgdoctor_lib.agent.pidfile import AlreadyRunning, PidFile, holder
from pgdoctor_lib.errors import DaemonError
from tests.fix_daemon import CHECKOUT, Cli
from tests.waiting import wait_for

CONFIG = """\
endpoint: http://127.0.0.1:1/api/snapshots
token: not-a-real-token
databases:
  - name: down
    dsn: postgres://monitor:canary-password@127.0.0.1:1/app
"""


@pytest.fixture
def here(cli: Cli) -> Iterator[Cli]:
    """A command line in a folder with a ./pgdoctor.yaml, whose database and endpoint are down."""
    _configure(cli)
    yield cli
    _stop_all(cli)


def _configure(cli: Cli, text: str = CONFIG) -> None:
    path = cli.cwd / "pgdoctor.yaml"
    path.write_text(text)
    path.chmod(0o600)


def _stop_all(cli: Cli) -> None:
    for pid in cli.leftovers():
        os.kill(pid, signal.SIGKILL)


def _pid_file(cli: Cli) -> Path:
    return cli.runtime / "pgdoctor.pid"


def _log(cli: Cli) -> Path:
    return cli.state / "pgdoctor.log"


def _pid(cli: Cli) -> int:
    return int(_pid_file(cli).read_text())


def _check(done: "subprocess.CompletedProcess[str]", code: int, output: str = "", error: str = "") -> re.Match[str]:
    assert done.returncode == code, done
    assert re.fullmatch(error, done.stderr), done
    match = re.fullmatch(output, done.stdout)
    assert match, done
    return match


def test_a_life(each_cli: Cli) -> None:
    """The samples of the specification, in their order, from the checkout and installed."""
    cli = each_cli
    _configure(cli)
    _check(cli.run("daemon", "status"), 3, "Daemon is not running\n")
    _check(cli.run("daemon", "stop"), 1, "Daemon is not running\n")
    started = _check(cli.run("daemon", "start"), 0, rf"Daemon started \(PID: (\d+)\)\nLog file: {_log(cli)}\n")
    pid = int(started[1])
    assert _pid(cli) == pid
    _check(cli.run("daemon", "start"), 1, rf"Daemon is already running \(PID: {pid}\)\n")
    wait_for(lambda: "connection refused" in cli.run("daemon", "status").stdout, "no cycle")
    _check(
        cli.run("daemon", "status"), 0,
        rf"Daemon is running \(PID: {pid}\)\n"
        r"  down: nothing delivered yet, next cycle in \d+ (s|min) \(.*connection refused.*\)\n",
    )  # fmt: skip
    _check(cli.run("daemon", "stop"), 0, rf"Daemon stopped \(PID: {pid}\)\n")
    assert cli.leftovers() == []
    assert not list(cli.runtime.iterdir())
    _check(cli.run("daemon", "stop"), 1, "Daemon is not running\n")
    assert _log(cli).read_text().endswith("Received shutdown signal, stopping...\nDaemon stopped gracefully.\n")
    assert "canary-password" not in _log(cli).read_text()


def test_restart(here: Cli) -> None:
    first = _check(
        here.run("daemon", "restart"), 0, r"Daemon is not running\nDaemon started \(PID: (\d+)\)\nLog file: .*\n"
    )
    again = here.run("daemon", "restart")
    second = _check(again, 0, rf"Daemon stopped \(PID: {first[1]}\)\nDaemon started \(PID: (\d+)\)\nLog file: .*\n")
    assert here.leftovers() == [int(second[1])]
    _configure(here, CONFIG + "tokken: x\n")
    _check(here.run("daemon", "restart"), 2, "", r"pgdoctor: pgdoctor\.yaml:6: .*did you mean token.*\n")
    assert here.leftovers() == [int(second[1])], "what could not start again was stopped"


def test_it_is_a_daemon(here: Cli) -> None:
    secret = {"PGDOCTOR_TOKEN": "canary-token"}
    _configure(here, CONFIG.replace("token: not-a-real-token", "token: ${PGDOCTOR_TOKEN}"))
    here.run("daemon", "start", env=secret)
    process = Path(f"/proc/{_pid(here)}")
    if not process.exists():
        pytest.skip("no /proc here")
    assert os.readlink(process / "cwd") == "/"
    assert os.getsid(_pid(here)) == _pid(here)
    assert b"canary" not in (process / "cmdline").read_bytes()
    links = {int(fd.name): os.readlink(fd) for fd in (process / "fd").iterdir()}
    assert [links[0], links[1], links[2]] == ["/dev/null", str(_log(here)), str(_log(here))]
    assert not [link for link in links.values() if link.startswith(("pipe:", str(here.cwd)))], links
    assert "Umask:\t0077" in (process / "status").read_text()


def test_files_are_private(here: Cli) -> None:
    folders = {"XDG_RUNTIME_DIR": str(here.home / "deep/run"), "XDG_STATE_HOME": str(here.home / "deep/state")}
    os.umask(0)
    try:
        assert here.run("daemon", "start", env=folders).returncode == 0
    finally:
        os.umask(0o022)
    paths = [here.home / "deep", *(here.home / "deep").rglob("*")]
    assert {path.name for path in paths} >= {"pgdoctor.pid", "pgdoctor.pid.json", "pgdoctor.log"}
    for path in paths:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(here: Cli, closed: str) -> None:
    command = " ".join([*CHECKOUT, "daemon", "start", closed])
    done = subprocess.run(["bash", "-c", command], cwd=here.cwd, env=here.environment(), timeout=60, check=False)
    assert done.returncode == 0
    links = {os.readlink(fd) for fd in Path(f"/proc/{_pid(here)}/fd").iterdir()}
    assert "/dev/null" in links and str(_log(here)) in links
    _check(here.run("daemon", "stop"), 0, r"Daemon stopped .*\n")
    assert _log(here).read_text().endswith("Daemon stopped gracefully.\n")


def test_from_cron(here: Cli) -> None:
    """Nothing but HOME and PATH, and the configuration in its folder under the home."""
    home = here.home / ".config" / "pgdoctor"
    home.mkdir(parents=True)
    shutil.move(here.cwd / "pgdoctor.yaml", home / "config.yaml")
    bare = {name: None for name in ("LANG", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    pid_file = ("--pid-file", str(here.home / "cron.pid"))
    started = here.run("daemon", "start", *pid_file, env=bare, cwd=Path("/"))
    _check(started, 0, rf"Daemon started \(PID: \d+\)\nLog file: {here.home}/\.local/state/pgdoctor\.log\n")
    _check(here.run("daemon", "stop", *pid_file, env=bare), 0, r"Daemon stopped .*\n")


def test_through_a_symlink_and_relative_paths(here: Cli) -> None:
    link = here.home / "pgdoctor"
    link.symlink_to(CHECKOUT[1])
    linked = Cli(here.home, (sys.executable, str(link)))
    (here.cwd / "sub").mkdir()
    paths = ("--config", "../pgdoctor.yaml", "--pid-file", "x.pid", "--log-file", "x.log")
    started = linked.run("daemon", "start", *paths, cwd=here.cwd / "sub")
    _check(started, 0, rf"Daemon started \(PID: \d+\)\nLog file: {here.cwd}/sub/x\.log\n")
    _check(here.run("daemon", "stop", "--pid-file", "sub/x.pid"), 0, r"Daemon stopped .*\n")


def test_twenty_starters(here: Cli) -> None:
    starters = [here.start("daemon", "start") for _ in range(20)]
    done = [starter.finish(100) for starter in starters]
    [winner] = [each for each in done if each.returncode == 0]
    pid = int(_check(winner, 0, r"Daemon started \(PID: (\d+)\)\nLog file: .*\n")[1])
    for each in done:
        if each is not winner:
            _check(each, 1, rf"Daemon is already running \(PID: {pid}\)\n")
    assert here.leftovers() == [pid]


@pytest.mark.parametrize("left", ["own", "other", "garbage"])
def test_a_stale_pid_is_never_believed(here: Cli, left: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        _pid_file(here).write_text(
            {"own": f"{os.getpid()}\n", "other": f"{bystander.pid}\n", "garbage": "x" * 99}[left]
        )
        _check(here.run("daemon", "status"), 3, "Daemon is not running\n")
        _check(here.run("daemon", "stop"), 1, "Daemon is not running\n")
        _check(here.run("daemon", "start"), 0, r"Daemon started .*\n.*\n")
        _check(here.run("daemon", "stop"), 0, r"Daemon stopped .*\n")
        assert bystander.poll() is None
        bystander.kill()


def test_after_kill_9(here: Cli) -> None:
    here.run("daemon", "start")
    os.kill(_pid(here), signal.SIGKILL)
    wait_for(lambda: here.leftovers() == [], "it lives")
    _check(here.run("daemon", "status", "--json"), 3, r'\{"running": false\}\n')
    _check(here.run("daemon", "start"), 0, r"Daemon started .*\n.*\n")


def test_a_daemon_that_does_not_end(here: Cli) -> None:
    """`stop` gives up after the daemon's own time to shut down, and says how to go on."""
    holds = (
        "import signal, sys, time; from pgdoctor_lib.agent import pidfile, status;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); pidfile.PidFile.acquire(sys.argv[1]);"
        "status.StatusFile(sys.argv[1] + '.json', -9.5).write([]); time.sleep(60)"
    )
    folder = Path(CHECKOUT[1]).parent
    with subprocess.Popen([sys.executable, "-c", holds, str(_pid_file(here))], cwd=folder) as stubborn:
        wait_for(lambda: Path(f"{_pid_file(here)}.json").exists(), "it did not come up")
        said = rf'pgdoctor: the daemon \(PID: {stubborn.pid}\) still runs 0\.5 s .*"kill -9 {stubborn.pid}".*\n'
        _check(here.run("daemon", "stop"), 1, "", said)
        stubborn.kill()


BROKEN: list[tuple[Callable[[Cli], object], int, str]] = [
    (
        lambda cli: _configure(cli, CONFIG + "intervall: 3\n"),
        2,
        r"pgdoctor\.yaml:6: intervall: .*did you mean interval.*",
    ),
    (lambda cli: (cli.cwd / "pgdoctor.yaml").unlink(), 2, r"no configuration.*"),
    (lambda cli: _log(cli).mkdir(parents=True), 1, r".*/pgdoctor\.log cannot be opened: Is a directory.*"),
    (lambda cli: _occupy(cli.state), 1, r"the folder .* cannot be made: .*"),
    (lambda cli: _pid_file(cli).symlink_to("elsewhere"), 1, r".*/pgdoctor\.pid is a symbolic link.*"),
    (lambda cli: os.mkfifo(_pid_file(cli)), 1, r".*/pgdoctor\.pid is not a plain file.*"),
    (lambda cli: _two_names(_pid_file(cli)), 1, r".*/pgdoctor\.pid has a second name.*"),
]


@pytest.mark.parametrize(("spoil", "code", "said"), BROKEN)
def test_start_says_why_not(here: Cli, spoil: Callable[[Cli], object], code: int, said: str) -> None:
    spoil(here)
    _check(here.run("daemon", "start"), code, "", rf"pgdoctor: {said}\n")
    assert here.leftovers() == []
    assert not (here.runtime / "elsewhere").exists()


def _occupy(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


def _two_names(path: Path) -> None:
    path.write_text("1\n")
    path.with_suffix(".second").hardlink_to(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_another_users_files_are_refused(here: Cli) -> None:
    _pid_file(here).write_text("1\n")
    os.chown(_pid_file(here), 65534, 65534)
    for action in ("start", "stop", "status"):
        _check(here.run("daemon", action), 1, "", r"pgdoctor: .*/pgdoctor\.pid belongs to another user.*\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("start", "-f"),
        ("stop", "-n", "3"),
        ("start", "--json"),
        ("logs", "-n", "-1"),
        ("logs", "-n", "x"),
        ("dance",),
        ("--json",),
    ],
)
def test_usage(here: Cli, arguments: tuple[str, ...]) -> None:
    _check(here.run("daemon", *arguments), 2, "", "pgdoctor: .*\n")


def test_logs(here: Cli) -> None:
    _check(here.run("daemon", "logs"), 1, "", r"pgdoctor: there is no log .*\n")
    here.state.mkdir(parents=True)
    _log(here).write_text("".join(f"line {number}\n" for number in range(30000)))
    assert here.run("daemon", "logs").stdout.splitlines() == [f"line {number}" for number in range(29950, 30000)]
    assert here.run("daemon", "logs", "-n", "1").stdout == "line 29999\n"
    assert here.run("daemon", "logs", "-n", "0").stdout == ""
    assert len(here.run("daemon", "logs", "-n", "99999").stdout.splitlines()) == 30000
    piped = f"{' '.join(CHECKOUT)} daemon logs -n 30000 | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", piped], env=here.environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "line 0\n", "")


def test_logs_follow_across_rotation(here: Cli) -> None:
    """Thirty rotations by renaming, while a writer that is told writes on: nothing is lost."""
    _log(here).parent.mkdir(parents=True)
    command = [sys.executable, "-c", _WRITER, str(_log(here))]
    with subprocess.Popen(command, cwd=Path(CHECKOUT[1]).parent, stdin=subprocess.PIPE) as writer:
        wait_for(_log(here).exists, "the writer did not come up")
        follower = here.start("daemon", "logs", "-f", "-n", "1000000")
        follower.wait_for_line("line 1$")
        for number in range(30):
            _log(here).rename(here.state / f"pgdoctor.log.{number}")
            time.sleep(0.02)
            writer.send_signal(signal.SIGUSR1)
            first = wait_for(lambda: _log(here).exists() and _log(here).read_text().partition("\n")[0], "not reopened")
            follower.wait_for_line(f"{first}$")
    assert writer.returncode == 0
    [last] = [int(line.split()[1]) for line in _log(here).read_text().splitlines()[-1:]]
    follower.wait_for_line(rf"line {last}$")
    follower.send(signal.SIGINT)
    done = follower.finish()
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines() == [f"line {number}" for number in range(1, last + 1)]


_WRITER = """
import os, select, signal, sys
from pgdoctor_lib.agent import logfile
logfile.put_in_place(sys.argv[1])
signal.signal(signal.SIGUSR1, lambda *_: logfile.reopen())
number = 0
while not select.select([0], [], [], 0.002)[0]:
    number += 1
    os.write(1, b"line %d\\n" % number)
"""


def test_logs_follow_a_truncated_log(here: Cli) -> None:
    _log(here).parent.mkdir(parents=True)
    _log(here).write_text("one\ntwo\n")
    follower = here.start("daemon", "logs", "-f", "-n", "1")
    follower.wait_for_line("two")
    os.truncate(_log(here), 0)
    time.sleep(0.5)
    with _log(here).open("a") as log:
        log.write("three\n")
    follower.wait_for_line("three")
    assert follower.lines == ["two", "three"]


def test_sigusr1_reopens_the_daemons_log(here: Cli) -> None:
    _configure(here, CONFIG + "interval: 1\n")
    here.run("daemon", "start")
    rotated = _log(here).with_suffix(".1")
    _log(here).rename(rotated)
    os.kill(_pid(here), signal.SIGUSR1)
    wait_for(lambda: _log(here).exists() and _log(here).read_text(), "nothing in the new log")
    size = rotated.stat().st_size
    here.run("daemon", "stop")
    assert _log(here).read_text().endswith("Daemon stopped gracefully.\n")
    assert rotated.stat().st_size == size


def test_reopening_that_fails_keeps_the_old_log(here: Cli) -> None:
    here.run("daemon", "start")
    rotated = _log(here).with_suffix(".1")
    _log(here).rename(rotated)
    _log(here).mkdir()
    os.kill(_pid(here), signal.SIGUSR1)
    wait_for(lambda: "the log stays where it was" in rotated.read_text(), "not a word")
    _check(here.run("daemon", "stop"), 0, r"Daemon stopped .*\n")
    assert rotated.read_text().endswith("Daemon stopped gracefully.\n")


def test_foreground_takes_a_pid_file_only_when_told(here: Cli) -> None:
    plain = here.start("daemon")
    plain.wait_for_line("Press Ctrl.C to stop")
    assert not _pid_file(here).exists()
    elsewhere = {"XDG_STATE_HOME": str(here.home / "elsewhere")}  # two daemons do not share a spool
    locked = here.start("daemon", "--pid-file", str(_pid_file(here)), "--log-format", "json", env=elsewhere)
    wait_for(_pid_file(here).exists, "no PID file")
    wait_for(lambda: locked.lines, "no line")
    assert _pid(here) == locked.pid
    taken = here.run("daemon", "--pid-file", str(_pid_file(here)), env=elsewhere)
    _check(taken, 1, rf"Daemon is already running \(PID: {locked.pid}\)\n")
    _check(here.run("daemon", "stop"), 0, rf"Daemon stopped \(PID: {locked.pid}\)\n")
    assert all(json.loads(line) for line in locked.finish().stdout.splitlines())
    assert plain.process.poll() is None


def test_stop_against_starts(here: Cli) -> None:
    """Whatever the order, at the end there is one daemon, or none where the last word was `stop`'s."""
    here.run("daemon", "start")
    racing = [here.start("daemon", "stop" if number == 3 else "start") for number in range(8)]
    done = [each.finish(100) for each in racing]
    assert {each.returncode for each in done} <= {0, 1}
    assert len(here.leftovers()) <= 1
    assert (here.run("daemon", "status").returncode == 0) == (len(here.leftovers()) == 1)


def test_a_pid_file_replaced_meanwhile(tmp_path: Path) -> None:
    """A lock on a file that the path no longer leads to counts for nothing."""
    path = tmp_path / "x.pid"
    first = _hold(path)
    path.unlink()
    second = _hold(path)
    with holder(str(path)) as found:
        assert found and found.pid == second.pid
        found.terminate()
        assert found.wait(10)
    assert first.poll() is None
    assert second.wait() == -signal.SIGTERM
    first.kill()
    first.wait()


def test_acquire_tells_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    other = _hold(path)
    with pytest.raises(AlreadyRunning, match=rf"^Daemon is already running \(PID: {other.pid}\)$"):
        PidFile.acquire(str(path))
    other.kill()
    other.wait()
    mine = PidFile.acquire(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    mine.withdraw()
    assert not path.exists()


def _hold(path: Path) -> "subprocess.Popen[str]":
    code = "import sys, time; from pgdoctor_lib.agent.pidfile import PidFile as P; P.acquire(sys.argv[1]); print(1); time.sleep(99)"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(path)], cwd=Path(CHECKOUT[1]).parent, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == "1\n"
    return process


def test_status_lines() -> None:
    told = status.Status(12345, 30.0, (
        status.DatabaseStatus("production", 988.0, 1048.0),
        status.DatabaseStatus("staging", 1000.0 - 7300, 1000.0 + 240, "upload failed: 503 Service Unavailable", 24),
        status.DatabaseStatus("new\x1b[31m", None, None),
    ))  # fmt: skip
    assert told.lines(1000.0) == [
        "Daemon is running (PID: 12345)",
        "  production: last delivered 12 s ago, next cycle in 48 s",
        "  staging: last delivered 2 h ago, next cycle in 4 min (upload failed: 503 Service Unavailable; 24 in the spool)",
        "  new\\x1b[31m: nothing delivered yet, cycle at work",
    ]


def test_status_file(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    told = [status.DatabaseStatus("a", 1.0, 2.0, None, 3), status.DatabaseStatus("b")]
    writer = status.StatusFile(path, 7.0)
    writer.write(told)
    assert status.read(path, os.getpid()) == status.Status(os.getpid(), 7.0, tuple(told))
    assert status.read(path, 1) == status.Status(1), "another process's"
    for rubbish in (
        "",
        "[]",
        "{",
        '{"pid": 1}',
        '{"pid": 1, "shutdown_timeout_s": 1, "databases": [{"x": 1}]}',
        "\xff",
    ):
        Path(path).write_text(rubbish, "latin-1")
        assert status.read(path, 1) == status.Status(1)
    writer.remove()
    assert list(tmp_path.iterdir()) == []
    assert status.read(path, 1) == status.Status(1)
    status.StatusFile(str(tmp_path / "missing" / "x.json")).write(told)


@pytest.mark.parametrize(
    "text", ["", "\n", "a", "a\n", "a\nb", "a\nb\n", "\n\n\n", "x" * 70000 + "\ny\n", "a\n" * 40000]
)
@pytest.mark.parametrize("lines", [0, 1, 2, 3, 40000])
def test_the_tail(tmp_path: Path, text: str, lines: int) -> None:
    path = tmp_path / "x.log"
    path.write_text(text)
    wanted = "".join(text.splitlines(keepends=True)[-lines:] if lines else [])
    assert b"".join(logfile.read(str(path), lines, follow=False)).decode() == wanted


def test_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert logfile.last_line(str(path)) == ""
    path.write_text("before\nTraceback\nKeyError: 1\n\n")
    assert logfile.last_line(str(path)) == "KeyError: 1"
    assert logfile.last_line(str(path), since=path.stat().st_size) == ""


def test_a_log_of_another_kind_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("fifo", "link", "."):
        with pytest.raises(DaemonError):
            logfile.open_log(str(tmp_path / name))
    assert not (tmp_path / "nowhere").exists()


def test_status_on_a_real_database(here: Cli, database: Any, endpoint: Any) -> None:
    _configure(
        here,
        f"endpoint: {endpoint.url}\ntoken: not-a-real-token\ndatabases:\n  - {{name: production, dsn: '{database.dsn}'}}\n",
    )
    here.run("daemon", "start")
    endpoint.wait_for_snapshots(1)
    wait_for(lambda: "last delivered" in here.run("daemon", "status").stdout, "no delivery told")
    told = here.run("daemon", "status")
    _check(
        told, 0, r"Daemon is running \(PID: \d+\)\n  production: last delivered \d+ s ago, next cycle in \d+ (s|min)\n"
    )
    document = json.loads(here.run("daemon", "status", "--json").stdout)
    assert document["running"] and document["pid"] == _pid(here)
    [one] = document["databases"]
    assert abs(one["last_delivered"] - time.time()) < 60 and one["next_due"] > time.time()
