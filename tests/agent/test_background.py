"""The background daemon: real processes, real locks, real signals."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.at_home import CONFIG, check, configure, log, pid, pid_file
from tests.fix_daemon import CHECKOUT, Cli
from tests.waiting import wait_for


def test_a_life(each_cli: Cli) -> None:
    """The samples of the specification, in their order, from the checkout and installed."""
    cli = each_cli
    configure(cli)
    check(cli.run("daemon", "status"), 3, "Daemon is not running\n")
    check(cli.run("daemon", "stop"), 1, "Daemon is not running\n")
    started = check(cli.run("daemon", "start"), 0, rf"Daemon started \(PID: (\d+)\)\nLog file: {log(cli)}\n")
    number = int(started[1])
    assert pid(cli) == number
    check(cli.run("daemon", "start"), 1, rf"Daemon is already running \(PID: {number}\)\n")
    wait_for(lambda: "connection refused" in cli.run("daemon", "status").stdout, "no cycle")
    check(
        cli.run("daemon", "status"), 0,
        rf"Daemon is running \(PID: {number}\)\n"
        r"  down: nothing delivered yet, next cycle in \d+ (s|min) \(last cycle \d+ s ago: .*connection refused.*\)\n",
    )  # fmt: skip
    check(cli.run("daemon", "stop"), 0, rf"Daemon stopped \(PID: {number}\)\n")
    assert cli.leftovers() == []
    assert not list(cli.runtime.iterdir())
    check(cli.run("daemon", "stop"), 1, "Daemon is not running\n")
    assert log(cli).read_text().endswith("Received shutdown signal, stopping...\nDaemon stopped gracefully.\n")
    assert "canary-password" not in log(cli).read_text()


def test_restart(here: Cli) -> None:
    first = check(
        here.run("daemon", "restart"), 0, r"Daemon is not running\nDaemon started \(PID: (\d+)\)\nLog file: .*\n"
    )
    again = here.run("daemon", "restart")
    second = check(again, 0, rf"Daemon stopped \(PID: {first[1]}\)\nDaemon started \(PID: (\d+)\)\nLog file: .*\n")
    assert here.leftovers() == [int(second[1])]
    configure(here, CONFIG + "tokken: x\n")
    check(here.run("daemon", "restart"), 2, "", r"pgdoctor: pgdoctor\.yaml:6: .*did you mean token.*\n")
    assert here.leftovers() == [int(second[1])], "what could not start again was stopped"


def test_it_is_a_daemon(here: Cli) -> None:
    secret = {"PGDOCTOR_TOKEN": "canary-token"}
    configure(here, CONFIG.replace("token: not-a-real-token", "token: ${PGDOCTOR_TOKEN}"))
    here.run("daemon", "start", env=secret)
    process = Path(f"/proc/{pid(here)}")
    if not process.exists():
        pytest.skip("no /proc here")
    assert os.readlink(process / "cwd") == "/"
    assert os.getsid(pid(here)) == pid(here)
    assert b"canary" not in (process / "cmdline").read_bytes()
    links = {int(fd.name): os.readlink(fd) for fd in (process / "fd").iterdir()}
    assert [links[0], links[1], links[2]] == ["/dev/null", str(log(here)), str(log(here))]
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
    links = {os.readlink(fd) for fd in Path(f"/proc/{pid(here)}/fd").iterdir()}
    assert "/dev/null" in links and str(log(here)) in links
    check(here.run("daemon", "stop"), 0, r"Daemon stopped .*\n")
    assert log(here).read_text().endswith("Daemon stopped gracefully.\n")


def test_from_cron(here: Cli) -> None:
    """Nothing but HOME and PATH, and the configuration in its folder under the home."""
    home = here.home / ".config" / "pgdoctor"
    home.mkdir(parents=True)
    shutil.move(here.cwd / "pgdoctor.yaml", home / "config.yaml")
    bare = dict.fromkeys(("LANG", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"))
    option = ("--pid-file", str(here.home / "cron.pid"))
    started = here.run("daemon", "start", *option, env=bare, cwd=Path("/"))
    check(started, 0, rf"Daemon started \(PID: \d+\)\nLog file: {here.home}/\.local/state/pgdoctor\.log\n")
    check(here.run("daemon", "stop", *option, env=bare), 0, r"Daemon stopped .*\n")


def test_through_a_symlink_and_relative_paths(here: Cli) -> None:
    link = here.home / "pgdoctor"
    link.symlink_to(CHECKOUT[1])
    linked = Cli(here.home, (sys.executable, str(link)))
    (here.cwd / "sub").mkdir()
    paths = ("--config", "../pgdoctor.yaml", "--pid-file", "x.pid", "--log-file", "x.log")
    started = linked.run("daemon", "start", *paths, cwd=here.cwd / "sub")
    check(started, 0, rf"Daemon started \(PID: \d+\)\nLog file: {here.cwd}/sub/x\.log\n")
    check(here.run("daemon", "stop", "--pid-file", "sub/x.pid"), 0, r"Daemon stopped .*\n")


def test_ten_starters(here: Cli) -> None:
    starters = [here.start("daemon", "start") for _ in range(10)]
    done = [starter.finish(100) for starter in starters]
    [winner] = [each for each in done if each.returncode == 0]
    number = int(check(winner, 0, r"Daemon started \(PID: (\d+)\)\nLog file: .*\n")[1])
    for each in done:
        if each is not winner:
            check(each, 1, rf"Daemon is already running \(PID: {number}\)\n")
    assert here.leftovers() == [number]


@pytest.mark.parametrize("left", ["own", "other", "garbage"])
def test_a_stale_pid_is_never_believed(here: Cli, left: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        pid_file(here).write_text({"own": f"{os.getpid()}\n", "other": f"{bystander.pid}\n", "garbage": "x" * 99}[left])
        check(here.run("daemon", "status"), 3, "Daemon is not running\n")
        check(here.run("daemon", "stop"), 1, "Daemon is not running\n")
        check(here.run("daemon", "start"), 0, r"Daemon started .*\n.*\n")
        check(here.run("daemon", "stop"), 0, r"Daemon stopped .*\n")
        assert bystander.poll() is None
        bystander.kill()


def test_after_kill_9(here: Cli) -> None:
    here.run("daemon", "start")
    os.kill(pid(here), signal.SIGKILL)
    wait_for(lambda: here.leftovers() == [], "it lives")
    check(here.run("daemon", "status", "--json"), 3, r'\{"running": false\}\n')
    check(here.run("daemon", "start"), 0, r"Daemon started .*\n.*\n")


def test_a_daemon_that_does_not_end(here: Cli) -> None:
    """`stop` gives up after the daemon's own time to shut down, and says how to go on."""
    holds = (
        "import os, signal, sys, time; from pgdoctor_lib.agent import pidfile, status;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); pidfile.PidFile.acquire(sys.argv[1]);"
        "status.StatusFile(sys.argv[1] + '.json').write(status.Status(os.getpid(), -9.5)); time.sleep(60)"
    )
    folder = Path(CHECKOUT[1]).parent
    with subprocess.Popen([sys.executable, "-c", holds, str(pid_file(here))], cwd=folder) as stubborn:
        wait_for(lambda: Path(f"{pid_file(here)}.json").exists(), "it did not come up")
        said = rf'pgdoctor: the daemon \(PID: {stubborn.pid}\) still runs 0\.5 s .*"kill -9 {stubborn.pid}".*\n'
        check(here.run("daemon", "stop"), 1, "", said)
        stubborn.kill()


BROKEN: list[tuple[Callable[[Cli], object], int, str]] = [
    (
        lambda cli: configure(cli, CONFIG + "intervall: 3\n"),
        2,
        r"pgdoctor\.yaml:6: intervall: .*did you mean interval.*",
    ),
    (lambda cli: (cli.cwd / "pgdoctor.yaml").unlink(), 2, r"no configuration.*"),
    (lambda cli: log(cli).mkdir(parents=True), 1, r".*/pgdoctor\.log cannot be opened: Is a directory.*"),
    (lambda cli: _occupy(cli.state), 1, r"the folder .* cannot be made: .*"),
    (lambda cli: pid_file(cli).symlink_to("elsewhere"), 1, r".*/pgdoctor\.pid is a symbolic link.*"),
    (lambda cli: os.mkfifo(pid_file(cli)), 1, r".*/pgdoctor\.pid is not a plain file.*"),
    (lambda cli: _two_names(pid_file(cli)), 1, r".*/pgdoctor\.pid has a second name.*"),
]


@pytest.mark.parametrize(("spoil", "code", "said"), BROKEN)
def test_start_says_why_not(here: Cli, spoil: Callable[[Cli], object], code: int, said: str) -> None:
    spoil(here)
    check(here.run("daemon", "start"), code, "", rf"pgdoctor: {said}\n")
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
    pid_file(here).write_text("1\n")
    os.chown(pid_file(here), 65534, 65534)
    for action in ("start", "stop", "status"):
        check(here.run("daemon", action), 1, "", r"pgdoctor: .*/pgdoctor\.pid belongs to another user.*\n")


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
    check(here.run("daemon", *arguments), 2, "", "pgdoctor: .*\n")


def test_foreground_takes_a_pid_file_only_when_told(here: Cli) -> None:
    plain = here.start("daemon")
    plain.wait_for_line("Press Ctrl.C to stop")
    assert not pid_file(here).exists()
    elsewhere = {"XDG_STATE_HOME": str(here.home / "elsewhere")}  # two daemons do not share a spool
    locked = here.start("daemon", "--pid-file", str(pid_file(here)), "--log-format", "json", env=elsewhere)
    wait_for(pid_file(here).exists, "no PID file")
    wait_for(lambda: locked.lines, "no line")
    assert pid(here) == locked.pid
    taken = here.run("daemon", "--pid-file", str(pid_file(here)), env=elsewhere)
    check(taken, 1, rf"Daemon is already running \(PID: {locked.pid}\)\n")
    check(here.run("daemon", "stop"), 0, rf"Daemon stopped \(PID: {locked.pid}\)\n")
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
