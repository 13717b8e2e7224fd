"""xid-wraparound."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database, Server

MILLION = 1_000_000
BURN = """DO $$ BEGIN FOR i IN 1..210000 LOOP
  BEGIN INSERT INTO burnt VALUES (1); EXCEPTION WHEN others THEN NULL; END;
END LOOP; END $$"""


@pytest.mark.parametrize("major", [12, 18])
def test_a_database_that_a_transaction_keeps_from_being_frozen(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, autovacuum_freeze_max_age=100_000, autovacuum_naptime="1s")
    server.sql("CREATE TABLE burnt (n int)")
    wraparound = doctor(server, "xid-wraparound")
    wraparound.healthy()
    holder = server.connect()
    holder.cursor().execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM burnt")
    server.sql(BURN)
    found = wraparound.sick()
    assert (found.id, found.severity) == ("xid-wraparound", Severity.WARNING)
    assert "2 and 4 × autovacuum_freeze_max_age (100,000)" in found.threshold
    assert found.evidence["databases"]["postgres"] > 200_000  # type: ignore[index]
    assert all(age > 100_000 for age in found.evidence["oldest_tables"].values())  # type: ignore[attr-defined]
    holder.close()
    paste(server, found.remedy)
    server.sql("VACUUM", dbname="template1")  # or autovacuum does
    wraparound.healthy()


def _at(age: int, fma: int = 200 * MILLION, failsafe: int | None = 1600 * MILLION, **more: object) -> Document:
    settings = [{"name": "autovacuum_freeze_max_age", "setting": str(fma)}]
    if failsafe is not None:
        settings.append({"name": "vacuum_failsafe_age", "setting": str(failsafe)})
    databases = [
        {"datname": "template0", "datallowconn": False, "datfrozenxid_age": 5},
        {"datname": "postgres", "datallowconn": True, "datfrozenxid_age": age},
        {"datname": None, "datfrozenxid_age": None},
    ]
    return planted(databases=databases, settings=settings, **more)


@pytest.mark.parametrize(
    ("age", "fma", "failsafe", "severity"),
    [
        (201, 200, 1600, None),  # the normal sawtooth
        (399, 200, 1600, None),
        (400, 200, 1600, Severity.WARNING),
        (799, 200, 1600, Severity.WARNING),
        (800, 200, 1600, Severity.CRITICAL),
        (800, 200, None, Severity.CRITICAL),
        (500, 200, 500, Severity.CRITICAL),  # VACUUM hurries
        (400, 200, 0, Severity.WARNING),
        (1299, 1000, 1600, None),  # twice 1,000 will not do
        (1300, 1000, 1600, Severity.WARNING),
        (1600, 1000, 1600, Severity.CRITICAL),
        (1620, 1600, 1600, None),  # asked for, and still the sawtooth
        (1680, 1600, 1600, Severity.CRITICAL),
    ],
)
def test_thresholds(age: int, fma: int, failsafe: int | None, severity: Severity | None) -> None:
    now = _at(age * MILLION, fma * MILLION, failsafe and failsafe * MILLION)
    assert [each.severity for each in judged("xid-wraparound", now)] == ([severity] if severity else [])


def test_the_remedy_names_the_oldest_tables_of_the_connected_database() -> None:
    due = {"schemaname": "public", "relname": "Order", "freeze_due": True, "relfrozenxid_age": 500 * MILLION}
    young = {**due, "relname": "young", "relfrozenxid_age": 250 * MILLION}
    never = {**due, "relname": "never", "relfrozenxid_age": None}
    now = _at(500 * MILLION, autovacuum_queue=[young, due, {**due, "relkind": "t"}, never])
    now.db_name = "postgres"
    [found] = judged("xid-wraparound", now)
    assert found.remedy.splitlines()[1:] == ['VACUUM public."Order";']
    now.db_name = "app"
    [found] = judged("xid-wraparound", now)
    assert found.remedy.splitlines()[0].startswith("-- connected to the database postgres")
    assert found.remedy.splitlines()[1:] == ["VACUUM;"]


SETTINGS = [{"name": "autovacuum_freeze_max_age", "setting": "200000000"}]
TEMPLATE = {"datname": "template0", "datallowconn": False, "datfrozenxid_age": 950 * MILLION}


def test_a_database_that_takes_no_connections(database: Database) -> None:
    [found] = judged("xid-wraparound", planted(databases=[TEMPLATE], settings=SETTINGS))
    first, *lines = found.remedy.splitlines()
    assert first.startswith("-- template0 takes no connections: autovacuum freezes it by itself, from 200,000,000")
    assert found.caution == ""
    name, names = database.name, []
    for statement in [
        line.removeprefix("-- ") for line in lines if line.startswith(("-- ALTER", "-- VACUUM", "-- \\"))
    ]:
        if statement.startswith("\\connect "):
            name = statement.removeprefix("\\connect ")
            names.append(name)
        else:
            database.server.sql(statement, dbname=name)
    assert names == ["template0", "postgres"]
    row = "SELECT datallowconn, age(datfrozenxid) < 1000 FROM pg_database WHERE datname = 'template0'"
    assert database.sql(row) == [(False, True)]


def test_several_databases_of_which_one_takes_none() -> None:
    old = [{"datname": f"db {n}", "datallowconn": True, "datfrozenxid_age": (900 - n) * MILLION} for n in range(12)]
    young = {"datname": "young", "datallowconn": True, "datfrozenxid_age": 399 * MILLION}
    [found] = judged("xid-wraparound", planted(databases=[young, TEMPLATE, *old], settings=SETTINGS))
    assert "database template0 has" in found.summary
    lines = found.remedy.splitlines()
    assert lines[:4] == [
        '-- connected to the database "db 0"; first see what keeps old rows: the check xmin-horizon',
        "VACUUM;",
        '-- connected to the database "db 1":',
        "VACUUM;",
    ]
    assert lines.count("VACUUM;") == 10
    assert lines[20] == "-- and 2 more databases; in a shell, all that take connections: vacuumdb --all"
    assert lines[21].startswith("-- template0 takes no connections") and "young" not in found.remedy
    assert found.caution.startswith("reads all that was not frozen yet")


def test_days_left() -> None:
    now = _at(1900 * MILLION, server={"next_xid": 10_000 * MILLION})
    assert judged("xid-wraparound", now)[0].days_left is None
    day = 86400.0
    began = now.server_time - 2 * day
    now.trends = {"xid-wraparound:next_xid": [(began, 9_900.0 * MILLION), (began + day, 9_950.0 * MILLION)]}
    days = judged("xid-wraparound", now)[0].days_left
    assert days == pytest.approx((2**31 - 3 * MILLION - 1900 * MILLION) / (50 * MILLION))
