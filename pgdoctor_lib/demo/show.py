"""The walk of the demo: receiver, PostgreSQL, workload, daemon; then wait until somebody has seen enough."""

import os
import re
import secrets
import signal
import site
import sys
import time
from contextlib import suppress
from pathlib import Path

import pgdoctor_lib
from pgdoctor_lib.demo import cluster, servers
from pgdoctor_lib.demo.cluster import Cluster
from pgdoctor_lib.demo.parts import Interrupted, Part, Stage, Wishes
from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.secret import Secret

PACKAGES = Path(pgdoctor_lib.__file__).parent.parent
PROGRAM = (sys.executable, PACKAGES / "pgdoctor.py")
INTERVAL_S = 10
PLANS_FROM = 16  # EXPLAIN (GENERIC_PLAN)
DEPLOY_S = 60.0  # after the daemon's start: there is something to compare with by then
CONFIG = """\
endpoint: "{endpoint}"
token: "${{PGDOCTOR_TOKEN}}"
interval: {interval}
shutdown_timeout: 5
# ten seconds are short for a small machine, and nobody else wants this server's time
budget: 10%
recorder: {{waiters: 5}}
explain: {explain}
# for tables that are small, and minutes in place of days
thresholds:
  - {{check: blocking-chain, warning_s: 10s}}
  - {{check: idle-in-transaction, warning_s: 30s}}
  - {{check: dead-tuples, least_bytes: 1MiB}}
  - {{check: seq-scan-large, least_row_count: 10000, least_bytes: 10MiB}}
  - {{check: slow-query, warning_mean_ms: 250, least_calls_count: 10}}
  - {{check: index-duplicate, least_bytes: 100KiB}}
mute: [{{check: durability-off, reason: a throw-away server}}]
spool:
  path: "{spool}"
databases:
  - name: "shop"
    dsn: "postgres://pgdoctor:{password}@127.0.0.1:{port}/shop"
    tags: [demo, critical]
  - name: "analytics"
    dsn: "postgres://pgdoctor:{password}@127.0.0.1:{port}/analytics"
    tags: [demo]
"""
OF_STANDBY = """\
  - name: "shop-standby"
    dsn: "postgres://pgdoctor:{password}@127.0.0.1:{port}/shop"
    tags: [demo, standby]
"""


def run(port: int) -> None:
    """Show the product at work until a signal comes; `port`: the page's, 0 for any that is free.

    Raises PGDoctorError when a part could not be started, or ended by itself. Whatever happens,
    nothing is left afterwards: no process, no file.
    """
    with Wishes() as wishes:
        try:
            with Stage(wishes) as stage:
                _present(stage, port)
        except Interrupted:
            _say("The demo has ended, its files are removed.")


def _present(stage: Stage, port: int) -> None:
    server = servers.find()
    monitor = Secret(secrets.token_urlsafe(18))
    env = {**_environment(stage), "PGDOCTOR_TOKEN": secrets.token_urlsafe(24)}
    url = _receiver(stage, port, env)
    _say(f"Open {url} — Ctrl+C ends the demo and removes its files.")
    _say(f"Starting PostgreSQL {server.version} ({server.bin}) and an application that keeps two databases busy...")
    postgres = cluster.start(stage, server)
    if not postgres.standby:
        _say("(It lacks libpqwalreceiver: there is no standby, and Replication has little to show.)")
    if server.major < PLANS_FROM:
        _say("(It gives no plan for a statement's text: from PostgreSQL 16 on a statement's page shows one.)")
    workload = _workload(stage, postgres, monitor)
    _say("The daemon takes a snapshot of each every 10 seconds, as a role that may only watch (pg_monitor):\n")
    config = stage.own / "pgdoctor.yaml"
    config.touch(mode=0o600)
    has_plans = server.major >= PLANS_FROM
    written = CONFIG.format(
        endpoint=f"{url}api/snapshots",
        interval=INTERVAL_S,
        explain="true" if has_plans else "false",
        spool=stage.own / "spool",
        password=monitor.reveal(),
        port=postgres.port,
    )
    if postgres.standby:
        written += OF_STANDBY.format(password=monitor.reveal(), port=postgres.standby)
    config.write_text(written)
    stage.start(
        "the daemon",
        [*PROGRAM, "daemon", "--config", config],
        env=env,
        log=None,
        ends=((signal.SIGTERM, 10.0),),
    )
    _deploy(stage, config, env, workload)
    stage.watch()


def _deploy(stage: Stage, config: Path, env: dict[str, str], workload: Part) -> None:
    """After a while `pgdoctor mark v2`, as somebody's deployment would, and then the application's version 2."""
    due = time.monotonic() + DEPLOY_S
    stage.wait_for(lambda: time.monotonic() >= due or None, 2 * DEPLOY_S, "waiting for version 2")
    mark = stage.start("mark", [*PROGRAM, "mark", "v2", "--config", config], env=env, log=stage.own / "mark.log")
    if stage.finish(mark, 60):
        raise PGDoctorError(f"demo: the mark was not set: {mark.last_words()}")
    workload.process.send_signal(signal.SIGUSR1)
    _say("\npgdoctor mark v2: the application's version 2 is there. Compare shows what got slower.\n")


def _receiver(stage: Stage, port: int, env: dict[str, str]) -> str:
    """Start `pgdoctor serve`: its address."""
    log = stage.own / "receiver.log"
    part = stage.start("the receiver", [*PROGRAM, "serve", "--port", str(port)], env=env, log=log)
    return stage.wait_for(lambda: _address(part), 60, "the receiver's start")


def _address(part: Part) -> str | None:
    found = re.search(r"Receiver listening on (http://\S+/)\n", part.text())
    return found[1] if found else None


def _workload(stage: Stage, postgres: Cluster, monitor: Secret) -> Part:
    """Start the application, and wait until its databases stand."""
    env = {
        **cluster.environment(),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH")))),
        "PGPASSWORD": postgres.password.reveal(),
        "PGDOCTOR_DEMO_PASSWORD": monitor.reveal(),
    }
    argv = [
        sys.executable,
        "-m",
        "pgdoctor_lib.demo.workload",
        postgres.socket,
        str(postgres.port),
        str(postgres.standby),
    ]
    part = stage.start("the workload", argv, env=env, log=stage.own / "workload.log")
    stage.wait_for(lambda: part.text().startswith("ready\n") or None, 120, "making the databases")
    return part


def _environment(stage: Stage) -> dict[str, str]:
    """For PGDoctor's own processes: no setting, state or proxy of the user's."""
    home = stage.make("home")
    foreign = ("PGDOCTOR_", "PG", "XDG_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) and not name.lower().endswith("_proxy") and name != "STATE_DIRECTORY"
    }
    own = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "STATE", "DATA", "CACHE")}
    # another HOME must not hide the packages that `pip install --user` put below the real one
    return {**kept, **own, "XDG_RUNTIME_DIR": str(home), "HOME": str(home), "PYTHONUSERBASE": site.getuserbase()}


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:  # nobody reads any more: a closed terminal, `| head`
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
