"""A daemon that is killed -9 loses nothing of what it had sealed, and nothing is stored twice."""

import random
import re
import shutil
import sqlite3
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.killer import ASIDE, NOTHING, SEALED, STEPS, Killer, Step
from tests.faults.ledger import Ledger, digest
from tests.faults.scene import TOKEN, Scene, check_ledger
from tests.fix_daemon import Cli, Running
from tests.receiver.client import Client

Amount = Callable[[int, int], int]
Figure = Callable[[str, str], None]
SEED = 20261124


def some_time(daemon: Running, chance: random.Random) -> None:
    """Sometimes of its start, mostly of its work."""
    if chance.random() < 0.85:
        daemon.wait_for_line("Press Ctrl")
    time.sleep(chance.uniform(0, 1.2))


def test_at_random_moments(scene: Callable[..., Scene], ledger: Ledger, amount: Amount, figure: Figure) -> None:
    watched, chance, kills = scene(3), random.Random(SEED), amount(4, 300)
    sealed: dict[str, str] = {}
    acknowledged: set[str] = set()
    with ledger.flapping(SEED):
        for _ in range(kills):
            daemon = watched.start()
            some_time(daemon, chance)
            daemon.kill()
            sealed.update(watched.sealed())
            acknowledged.update(re.findall(r"✓ \(id=(\S+)\)", daemon.output))
    watched.run_dry()
    assert watched.names() == watched.rejected() == []
    check_ledger(ledger, sealed)
    assert acknowledged <= ledger.stored
    assert sealed or kills < 20, "no kill met a snapshot in the spool"
    figure(
        "kill -9 at random moments, the endpoint flapping",
        f"{kills} kills: {len(sealed)} snapshots were in the spool at a kill, 0 lost; {len(ledger.stored)} stored, "
        f"0 twice; {ledger.again} came again, byte for byte",
    )


QUICK = "after the upload, before it leaves the spool"


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace on this machine")
@pytest.mark.parametrize(
    "step",
    [pytest.param(each, id=each.name, marks=[] if each.name == QUICK else [pytest.mark.full]) for each in STEPS],
)
def test_at_each_step(
    scene: Callable[..., Scene], ledger: Ledger, tmp_path: Path, amount: Amount, figure: Figure, step: Step
) -> None:
    watched, times = scene(1), amount(1, 8)
    killer = Killer(watched, tmp_path)
    places = killer.rehearse(step, amount(1, 3))
    watched.run_dry()
    sealed: dict[str, str] = {}
    tried = hit = 0
    while hit < times:
        assert tried < 4 * times, f"only {hit} of {tried} kills were {step.name}"
        meant = killer.kill(step, places[tried % len(places)])
        tried += 1
        hit += meant
        if meant:
            assert what_is_left(watched) == step.leaves
        sealed.update(watched.sealed())
        watched.run_dry()
        assert watched.names() == []
    check_ledger(ledger, sealed)
    assert watched.rejected() == []
    figure(f"kill -9 {step.name}", f"{hit} of {tried} kills were there: 0 lost, 0 twice, nothing half written left")


def what_is_left(watched: Scene) -> str:
    names = watched.names()
    assert len(names) <= 1
    if not names:
        return NOTHING
    return ASIDE if names[0].startswith(".") else SEALED


def test_the_built_in_endpoint(
    scene: Callable[..., Scene], cli: Cli, tmp_path: Path, amount: Amount, figure: Figure
) -> None:
    """Daemon and receiver are killed in turn; the receiver's file has each snapshot once."""
    store = tmp_path / "store" / "serve.db"
    store.parent.mkdir(mode=0o700)
    env = {"PGDOCTOR_TOKEN": TOKEN}
    receiver = Client(cli, "--database", str(store), env=env)
    watched, chance, kills = scene(2), random.Random(SEED), amount(2, 100)
    watched.settings["endpoint"] = f"http://127.0.0.1:{receiver.port}/api/snapshots"
    watched.configure()
    again = ("--port", str(receiver.port), "--database", str(store))
    sealed: dict[str, str] = {}
    daemons = [watched.run_up()]
    for number in range(kills):
        time.sleep(chance.uniform(0, 1.2))
        if number % 2:
            daemons[-1].kill()
            sealed.update(watched.sealed())
            daemons.append(watched.run_up())
        else:
            receiver.running.kill()
            time.sleep(chance.uniform(0, 0.5))
            receiver = Client(cli, *again, env=env)
    daemons[-1].kill()
    sealed.update(watched.sealed())
    watched.run_dry()
    assert watched.names() == []
    acknowledged = {found for daemon in daemons for found in re.findall(r"✓ \(id=(\S+)\)", daemon.output)}
    receiver.running.kill()
    stored = in_store(store)
    assert acknowledged <= stored.keys()
    assert not [key for key, found in sealed.items() if stored.get(key) != found]
    figure(
        "kill -9 of the daemon and of the built-in endpoint in turn",
        f"{kills} kills: {len(acknowledged)} answered 201 or 409, each there once; "
        f"{len(sealed)} were in the spool at a kill, 0 lost",
    )


def in_store(path: Path) -> dict[str, str]:
    """Digests of the bodies by snapshot, after the file was opened as after a crash; no cycle is there twice."""
    database = sqlite3.connect(path)
    try:
        rows = database.execute(
            "SELECT id, source_id, collected_at, data FROM snapshot JOIN body USING (seq)"
        ).fetchall()
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        database.close()
    assert len({(source, at) for _, source, at, _ in rows}) == len(rows) == len({row[0] for row in rows})
    return {key: digest(zlib.decompress(data, wbits=47)) for key, _, _, data in rows}
