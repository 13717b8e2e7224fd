"""checksum-failures."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.snapshot import iso_time
from tests.checks.conftest import NOTHING, Doctor, judged, planted
from tests.postgres.server import Database, Server

DAY = 86400


@pytest.mark.parametrize("major", [12, 18])
def test_a_page_that_the_disk_has_spoilt(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, checksums=True)
    server.create_database("app")
    server.sql("CREATE TABLE hurt AS SELECT g, repeat('x', 500) FROM generate_series(1, 100) g", dbname="app")
    checksums = doctor(server, "checksum-failures")
    checksums.healthy()
    spoil(server)
    found = checksums.sick()
    assert (found.id, found.severity) == ("checksum-failures:app", Severity.CRITICAL)
    assert "database app is damaged" in found.summary
    server.sql("DROP TABLE hurt", dbname="app")
    server.sql("SELECT pg_stat_reset()", dbname="app")
    checksums.healthy()


def spoil(server: Server) -> None:
    """Write into the table's fourth page while the server is down, and read it."""
    [(path,)] = server.sql("SELECT pg_relation_filepath('hurt')", dbname="app")
    server.stop()
    with (server.data / path).open("r+b") as file:
        file.seek(3 * 8192 + 4000)
        file.write(b"not what was written")
    server.start()
    with pytest.raises(Exception, match="invalid page"):
        server.sql("SELECT count(*) FROM hurt", dbname="app")


@pytest.mark.parametrize("major", [12, 18])
def test_a_cluster_without_checksums(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    found = doctor(make_server(major, checksums=False), "checksum-failures").sick()
    assert (found.id, found.severity) == ("checksum-failures:off", Severity.INFO)
    assert "pg_checksums --enable" in found.remedy


def at(
    count: int | None, ago_days: float | None = None, datname: str | None = "app", standby: bool = False
) -> Document:
    now = planted().server_time
    last = None if ago_days is None else iso_time(now - ago_days * DAY)
    rows = [
        {"datid": 5 if datname else 0, "datname": datname, "checksum_failures": count, "checksum_last_failure": last}
    ]
    return planted(databases=rows, server={"data_checksums": True}, standby=standby)


def judge(now: Document, before: Document = NOTHING) -> list[Finding]:
    return judged("checksum-failures", now, before)


def test_for_how_long_it_is_told() -> None:
    assert judge(at(0)) == judge(at(None)) == []
    [found] = judge(at(1, 7))
    assert found.severity is Severity.CRITICAL and "1 page read from disk failed its checksum" in found.summary
    assert judge(at(1, 7.01)) == []  # long ago
    assert judge(at(2, 7.01), at(2, 7.01)) == []
    assert judge(at(2, 7.01), at(1, 8)) != []  # one more since the snapshot before


def test_what_all_databases_share() -> None:
    [found] = judge(at(3, 1, datname=None))
    assert found.key == "pg_global"
    assert "what all databases share is damaged" in found.summary


def test_a_standby_is_built_anew() -> None:
    [found] = judge(at(1, 1, standby=True))
    assert "build it anew" in found.remedy
    assert "VACUUM FULL" in found.remedy and "no VACUUM FULL" in found.remedy


def test_what_a_service_sees_to() -> None:
    for service, told in (("aurora", []), (None, ["off"])):
        now = planted(databases=[], server={"data_checksums": False, "provider": service})
        assert [each.key for each in judge(now)] == told


def test_how_a_file_is_named(database: Database) -> None:
    """1663 is pg_default, base/ in the data directory."""
    database.sql("CREATE TABLE t ()")
    assert database.sql("SELECT pg_filenode_relation(1663, pg_relation_filenode('t'))::text") == [("t",)]
