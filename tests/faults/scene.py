"""What the tests of faults around one daemon share: its configuration, its spool, what it left there."""

import gzip
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults.ledger import Ledger, digest
from tests.fix_daemon import Cli, Running
from tests.waiting import wait_for

TOKEN = "tok-of-the-fault-suite-0001"


class Scene:
    """A daemon that watches `dsns` (by name) each second, and delivers to `url`."""

    def __init__(self, cli: Cli, dsns: Mapping[str, str], url: str, **settings: object) -> None:
        self.cli = cli
        self.spool = cli.home / "spool"
        self.rows: dict[str, dict[str, Any]] = {name: {"dsn": dsn} for name, dsn in dsns.items()}
        self.settings: dict[str, Any] = {
            "endpoint": url,
            "token": TOKEN,
            "interval": 1,
            "spool": {"path": str(self.spool)},
            **settings,
        }
        self.configure()

    @property
    def path(self) -> Path:
        """The configuration file."""
        return self.cli.cwd / "pgdoctor.yaml"

    def configure(self, text: str | None = None) -> None:
        """Write the file: what `rows` and `settings` say (JSON is YAML), or `text`; never seen half written."""
        rows = [{"name": name, **options} for name, options in self.rows.items()]
        aside = self.path.with_suffix(".new")
        aside.touch(0o600)
        aside.write_text(json.dumps({**self.settings, "databases": rows}) if text is None else text)
        aside.replace(self.path)

    def start(self, **options: Any) -> Running:
        return self.cli.start("daemon", **options)

    def run_up(self) -> Running:
        """A daemon that has begun."""
        daemon = self.start()
        daemon.wait_for_line("Press Ctrl")
        return daemon

    def names(self) -> list[str]:
        """The files in the spool, half-written ones included."""
        with suppress(FileNotFoundError):
            return sorted(name for name in os.listdir(self.spool) if name not in ("rejected", "last", "seldom"))
        return []

    def rejected(self) -> list[str]:
        with suppress(FileNotFoundError):
            return sorted(os.listdir(self.spool / "rejected"))
        return []

    def sealed(self) -> dict[str, str]:
        """The snapshots in the spool, and the digest of each; for when nobody is at work there."""
        found = {}
        for name in self.names():
            if not name.startswith("."):
                found[name.partition(".")[0]] = digest(gzip.decompress((self.spool / name).read_bytes()))
        return found

    def run_dry(self, timeout_s: float = 60) -> Running:
        """Run once more, with the endpoint up, until all that waits now is delivered; the ended daemon."""
        waiting = set(self.names())
        daemon = self.run_up()
        wait_for(lambda: not waiting & set(self.names()), f"{daemon!r} does not drain", timeout_s)
        stop(daemon)
        return daemon


def wait_for_first_steps(daemon: Running) -> None:
    """Until it holds signals back for later: before, there is an interpreter that starts, and nobody to take them."""
    status = Path(f"/proc/{daemon.pid}/status")
    nothing_held = "SigBlk:\t0000000000000000"
    wait_for(lambda: daemon.output or nothing_held not in status.read_text(), "it never holds signals back")


def stop(daemon: Running, timeout_s: float = 30) -> None:
    """SIGTERM, and a graceful end."""
    daemon.send(signal.SIGTERM)
    done = daemon.finish(timeout_s)
    assert done.returncode == 0, daemon
    assert daemon.lines[-1] == "Daemon stopped gracefully.", daemon


def check_ledger(ledger: Ledger, sealed: Mapping[str, str]) -> None:
    """Nothing lost of what was sealed, nothing doubled, one body a key, each a snapshot."""
    assert not sealed.keys() - ledger.stored, "lost"
    digests = ledger.digests
    assert not [key for key, found in digests.items() if len(found) > 1], "other bytes under the same key"
    assert not [key for key, found in sealed.items() if digests[key] != {found}], "other bytes than were sealed"
    documents = {key: entry.document for key, entry in ledger.entries.items() if entry.stored}
    moments = {(each["database"]["name"], each["collected_at"], each["agent"]["pid"]) for each in documents.values()}
    assert len(moments) == len(documents), "one cycle under two keys"
    assert all(key == each["snapshot_id"] and each["sections"] for key, each in documents.items())
