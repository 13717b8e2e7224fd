"""The walk of the demo: receiver, PostgreSQL, workload, daemon; then wait until somebody has seen enough."""

import os
import re
import secrets
import signal
import site
import sys
from contextlib import suppress
from pathlib import Path

import pgdoctor_lib
from pgdoctor_lib.demo import cluster, servers
from pgdoctor_lib.demo.cluster import Cluster
from pgdoctor_lib.demo.parts import Interrupted, Part, Stage, Wishes
from pgdoctor_lib.secret import Secret

PACKAGES = Path(pgdoctor_lib.__file__).parent.parent
PROGRAM = (sys.executable, PACKAGES / "pgdoctor.py")
INTERVAL_S = 10
CONFIG = """\
endpoint: "{endpoint}"
token: "${{PGDOCTOR_TOKEN}}"
interval: {interval}
shutdown_timeout: 5
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
    _workload(stage, postgres, monitor)
    _say("The daemon takes a snapshot of each every 10 seconds, as a role that may only watch (pg_monitor):\n")
    config = stage.own / "pgdoctor.yaml"
    config.touch(mode=0o600)
    config.write_text(
        CONFIG.format(
            endpoint=f"{url}api/snapshots",
            interval=INTERVAL_S,
            spool=stage.own / "spool",
            password=monitor.reveal(),
            port=postgres.port,
        )
    )
    stage.start(
        "the daemon",
        [*PROGRAM, "daemon", "--config", config],
        env=env,
        log=None,
        ends=((signal.SIGTERM, 10.0),),
    )
    stage.watch()


def _receiver(stage: Stage, port: int, env: dict[str, str]) -> str:
    """Start `pgdoctor serve`: its address."""
    log = stage.own / "receiver.log"
    part = stage.start("the receiver", [*PROGRAM, "serve", "--port", str(port)], env=env, log=log)
    return stage.wait_for(lambda: _address(part), 60, "the receiver's start")


def _address(part: Part) -> str | None:
    found = re.search(r"Receiver listening on (http://\S+/)\n", part.text())
    return found[1] if found else None


def _workload(stage: Stage, postgres: Cluster, monitor: Secret) -> None:
    """Start the application, and wait until its databases stand."""
    env = {
        **cluster.environment(),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH")))),
        "PGPASSWORD": postgres.password.reveal(),
        "PGDOCTOR_DEMO_PASSWORD": monitor.reveal(),
    }
    argv = [sys.executable, "-m", "pgdoctor_lib.demo.workload", postgres.socket, str(postgres.port)]
    part = stage.start("the workload", argv, env=env, log=stage.own / "workload.log")
    stage.wait_for(lambda: part.text().startswith("ready\n") or None, 120, "making the databases")


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
