"""Reloads without end: what does not change misses nothing, what changes is taken over, nonsense changes nothing."""

import json
import random
import signal
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import pairwise

import pytest

from tests.faults.ledger import Ledger
from tests.faults.scene import Scene, check_ledger, stop, wait_for_first_steps
from tests.fix_daemon import Running
from tests.waiting import wait_for

Amount = Callable[[int, int], int]
Figure = Callable[[str, str], None]
SEED = 7
NONSENSE = ("{", "databases: []", '{"endpoint": 5}', "\x00", "endpoint: &a [*a]", '{"intervall": 3}', "")


def told(daemon: Running, text: str) -> int:
    return sum(text in line for line in daemon.lines)


def answered(daemon: Running, good: int, bad: int) -> bool:
    """Whether that many reloads were told as done and as failed."""
    failed = told(daemon, "reload failed, the old configuration stays in force: ")
    return (told(daemon, "configuration reloaded"), failed) == (good, bad)


def moments(ledger: Ledger, name: str) -> list[float]:
    """When the snapshots of a database that were stored were taken, in order: epoch seconds."""
    documents = [entry.document for entry in list(ledger.entries.values()) if entry.stored]
    taken = [each["collected_at"] for each in documents if each["database"]["name"] == name]
    return sorted(datetime.fromisoformat(each.replace("Z", "+00:00")).timestamp() for each in taken)


def test_without_end(scene: Callable[..., Scene], ledger: Ledger, amount: Amount, figure: Figure) -> None:
    """Databases come, go and change at each reload; now and then the file is nonsense. One stays as it is."""
    watched, chance, reloads = scene(3), random.Random(SEED), amount(6, 200)
    whole = dict(watched.rows)
    daemon = watched.run_up()
    wait_for(lambda: moments(ledger, "db1"), f"{daemon!r}")
    good = bad = 0
    for number in range(reloads):
        if chance.random() < 0.3:
            watched.configure(chance.choice(NONSENSE))
            bad += 1
        else:
            watched.rows = {"db1": whole["db1"]}
            for name in ("db2", "db3"):
                if chance.random() < 0.6:
                    watched.rows[name] = {**whole[name], "interval": chance.choice([1, 2]), "tags": [str(number)]}
            watched.settings["shutdown_timeout"] = number + 1
            watched.configure()
            good += 1
        daemon.send(signal.SIGHUP)
        wait_for(partial(answered, daemon, good, bad), f"{good} good, {bad} bad: {daemon!r}")
        time.sleep(chance.uniform(0, 1))
    watched.rows = whole
    watched.configure()
    daemon.send(signal.SIGHUP)
    seen = len(moments(ledger, "db3"))
    wait_for(lambda: len(moments(ledger, "db3")) > seen, f"{daemon!r}")
    stop(daemon)
    check_ledger(ledger, {})
    taken = moments(ledger, "db1")
    gaps = [after - before for before, after in pairwise(taken)]
    assert max(gaps) < 2.9, "the one that did not change missed cycles"  # one, where the machine is very busy
    figure(
        "reloads without end",
        f"{good} good and {bad} bad files, databases come, go and change: the one that stays had {len(taken)} cycles, "
        f"{min(gaps):.2f} to {max(gaps):.2f} s apart at an interval of 1 s",
    )


@pytest.mark.full
def test_another_endpoint_and_token(scene: Callable[..., Scene], ledger: Ledger, figure: Figure) -> None:
    """There and back again: what one did not take goes to the other, and no cycle is missed."""
    watched, other = scene(2), Ledger()
    try:
        ledger.mood = "forbids"
        daemon = watched.run_up()
        wait_for(lambda: len(watched.names()) >= 4, f"{daemon!r}")
        left = {name.partition(".")[0] for name in watched.names()}
        for number, (where, elsewhere) in enumerate([(other, ledger), (ledger, other)] * 5):
            where.mood, elsewhere.mood = "up", "forbids"
            watched.settings.update(endpoint=where.url, token=f"tok-of-reload-{number}")
            watched.configure()
            daemon.send(signal.SIGHUP)
            seen = len(where.stored)
            wait_for(lambda w=where, n=seen: len(w.stored) >= n + 4, f"{daemon!r}")
            assert where.authorization == f"Bearer tok-of-reload-{number}"
        stop(daemon)
    finally:
        other.down()
    watched.run_dry()
    assert left <= other.stored
    assert not ledger.stored & other.stored
    taken = sorted(moments(ledger, "db1") + moments(other, "db1"))
    assert max(after - before for before, after in pairwise(taken[: told(daemon, "[db1] Collecting")])) < 2.9
    assert len(ledger.stored | other.stored) >= told(daemon, " uploading...")
    figure("endpoint and token changed by reload", f"10 times: {len(taken)} cycles, 0 missed, 0 lost, 0 sent to both")


@pytest.mark.full
def test_a_storm(scene: Callable[..., Scene], ledger: Ledger, figure: Figure) -> None:
    """SIGHUP after SIGHUP, the file there and not there."""
    watched = scene(1)
    daemon = watched.run_up()
    wait_for(lambda: moments(ledger, "db1"), f"{daemon!r}")
    for number in range(500):
        if number % 2:
            watched.configure()
        else:
            watched.path.unlink()
        daemon.send(signal.SIGHUP)
        time.sleep(0.01)
    daemon.send(signal.SIGHUP)
    seen = len(moments(ledger, "db1"))
    wait_for(lambda: len(moments(ledger, "db1")) > seen + 1, f"{daemon!r}")
    stop(daemon)
    taken = moments(ledger, "db1")
    gaps = [after - before for before, after in pairwise(taken)]
    assert max(gaps) < 2.9
    done, failed = told(daemon, "configuration reloaded: nothing changed"), told(daemon, "reload failed")
    figure("500 SIGHUPs in 5 s", f"{done} reloads, {failed} of a missing file: cycles {max(gaps):.2f} s apart at most")


def test_while_a_database_hangs(scene: Callable[..., Scene], ledger: Ledger, full_backlog: int) -> None:
    """The one that hangs is taken out in the middle of its cycle: nobody waits for it."""
    watched = scene(1, shutdown_timeout=1)
    watched.rows["hung"] = {"dsn": f"host=127.0.0.1 port={full_backlog} user=u connect_timeout=60"}
    watched.configure()
    daemon = watched.run_up()
    wait_for(lambda: moments(ledger, "db1"), f"{daemon!r}")
    del watched.rows["hung"]
    watched.configure()
    daemon.send(signal.SIGHUP)
    daemon.wait_for_line("configuration reloaded: 1 database removed")
    seen = len(moments(ledger, "db1"))
    wait_for(lambda: len(moments(ledger, "db1")) >= seen + 2, f"{daemon!r}")
    stop(daemon)


def test_a_hangup_while_it_starts(scene: Callable[..., Scene], ledger: Ledger) -> None:
    watched = scene(1)
    daemon = watched.start()
    wait_for_first_steps(daemon)
    daemon.send(signal.SIGHUP)
    daemon.wait_for_line("configuration reloaded: nothing changed")
    stop(daemon)


def test_token_file_and_pgpass_need_no_reload(scene: Callable[..., Scene], ledger: Ledger) -> None:
    """Both are wrong at first; each is put right while the daemon runs."""
    watched = scene(1)
    right = watched.rows["db1"]["dsn"]
    account, _, place = right.partition("://")[2].partition("@")
    user, _, password = account.partition(":")
    token, passwords = watched.cli.cwd / "token", watched.cli.home / ".pgpass"
    for path in (token, passwords):
        path.touch(0o600)
    token.write_text("wrong-token-0123456789")
    passwords.write_text("*:*:*:*:wrong-password-0123456789\n")
    watched.rows["db1"]["dsn"] = f"postgresql://{user}@{place}"
    del watched.settings["token"]
    watched.settings["token_file"] = str(token)
    watched.configure()
    ledger.mood = "forbids"
    daemon = watched.run_up()
    daemon.wait_for_line("password authentication failed")
    passwords.write_text(f"*:*:*:*:{password}\n")
    daemon.wait_for_line("upload failed: 401 Unauthorized")
    ledger.mood = "up"
    token.write_text("right-token-0123456789")
    wait_for(lambda: ledger.stored, f"{daemon!r}")
    assert ledger.authorization == "Bearer right-token-0123456789"
    stop(daemon)
    assert json.dumps(password) not in daemon.output and "0123456789" not in daemon.output
