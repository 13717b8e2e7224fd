"""The daemon with PgBouncer's console beside a database, which it reaches through PgBouncer."""

import signal
from collections.abc import Callable
from pathlib import Path

from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.fix_pgbouncer import Bouncer
from tests.postgres.server import Server


def test_console_and_database(
    cli: Cli,
    multi: Callable[..., Path],
    endpoint: Endpoint,
    newest_server: Server,
    make_bouncer: Callable[..., Bouncer],
) -> None:
    db = newest_server.new_database()
    try:
        bouncer = make_bouncer(newest_server, {db.role: db.password})
        multi(
            {
                "app": {"dsn": bouncer.dsn(db.name, db.role), "interval": 1},
                "bouncer": {"dsn": bouncer.dsn(), "interval": 1},
                "shut": {"dsn": bouncer.dsn(user="outsider"), "interval": 60},
            },
            budget="100%",  # at each second a busy machine spends more than the default
        )
        daemon = cli.start("daemon")
        daemon.wait_for_line(r"\[shut\].*not allowed; name the user in stats_users")
        for name in ("app", "bouncer"):
            for _ in range(2):
                daemon.wait_for_line(rf"\[{name}\].*✓")
        tested = cli.run("config", "test")
        daemon.send(signal.SIGTERM)
        assert (daemon.finish().returncode, daemon.errors) == (0, [])
    finally:
        db.drop()
    bodies = {request.json["database"]["name"]: request.json for request in endpoint.requests if request.body}
    told = bodies["bouncer"]
    assert (told["meta"]["db_name"], set(told["sections"]), told["errors"]) == ("pgbouncer", {"pgbouncer"}, [])
    assert told["meta"]["db_version"] == told["sections"]["pgbouncer"]["version"]
    assert db.name in [row["database"] for row in told["sections"]["pgbouncer"]["pools"]]
    assert set(told["agent"]["collectors"]) == {"pgbouncer", "checks"}
    assert (bodies["app"]["meta"]["db_name"], bodies["app"]["errors"]) == (db.name, [])
    assert "tables" in bodies["app"]["sections"]
    assert tested.returncode == 1, "one of the three is shut"
    assert f"{told['meta']['db_version']}, database pgbouncer" in tested.stdout
