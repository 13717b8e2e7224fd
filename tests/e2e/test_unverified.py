"""An endpoint whose certificate does not verify: told at once, kept, and delivered once its authority is known."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Database, Server
from tests.waiting import wait_for


@pytest.fixture
def db(newest_server: Server) -> Iterator[Database]:
    made = newest_server.new_database()
    yield made
    made.drop()


def test_a_daemon_keeps_its_snapshots_without_a_retry_and_delivers_them_once_it_verifies(
    cli: Cli, single: Callable[..., dict[str, str]], db: Database, tls_endpoint: Endpoint
) -> None:
    ca_file = cli.cwd / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca_file))
    env = {**single(db.dsn), "PGDOCTOR_ENDPOINT": tls_endpoint.url, "PGDOCTOR_CA_FILE": str(ca_file)}
    daemon = cli.start("daemon", env=env)
    daemon.wait_for_line(r"#1\.\.\. uploading\.\.\. ✗ upload failed: certificate verify failed: .*; ca_file names the")
    daemon.wait_for_line(
        r"#2\.\.\. uploading\.\.\. ✗ upload failed: certificate verify failed: .* \(kept; next try in \d+ s\)"
    )
    assert tls_endpoint.requests == []
    ca_file.write_bytes(Path(tls_endpoint.ca_file).read_bytes())
    daemon.wait_for_line("delivered from the spool", timeout_s=60)
    wait_for(lambda: len(tls_endpoint.requests) >= 2, "nothing came")
    daemon.send()
    assert daemon.finish().returncode == 0
    assert "Retry attempt" not in daemon.output
