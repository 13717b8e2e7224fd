"""What the sections security and collations say of planted situations, and to whom."""

import json
from collections.abc import Callable

import pytest

from tests.collectors.conftest import Collect
from tests.postgres.server import Database, Server

pytestmark = pytest.mark.collects("security", "collations", "database")
MD5 = "md5" + 32 * "a"
MAJORS = pytest.mark.parametrize("major", [12, 18])


@MAJORS
def test_rules_and_roles(make_server: Callable[..., Server], collect: Collect, major: int) -> None:
    server = make_server(major)
    with (server.data / "pg_hba.conf").open("a") as file:
        file.write('host "d<b>",all "a&b" 10.0.0.0/8 trust\nhost all all 10.0.0.0/8 md5 sekret\n')
    server.sql(f"CREATE ROLE \"<count>9</count>\" PASSWORD '{MD5}'; CREATE ROLE boss SUPERUSER LOGIN")
    for number in range(25):
        server.sql(f"CREATE ROLE r{number:02} PASSWORD '{MD5}'")
    found = collect(server.dsn()).sections["security"]
    assert (found["superuser_count"], found["superusers"]) == (1, ["boss"])
    assert found["md5_password_count"] == 26
    assert found["md5_password_roles"] == ["<count>9</count>", *(f"r{number:02}" for number in range(19))]
    assert (found["hba_rule_count"], found["hba_trust_count"], found["hba_error_count"]) == (5, 1, 1)
    [line] = found["hba_trust"]
    assert (line["database"], line["user_name"]) == (["d<b>", "all"], ["a&b"])
    assert (line["type"], line["address"], line["netmask"]) == ("host", "10.0.0.0", "255.0.0.0")
    assert (line["file_name"] is None) is (major < 16)
    [wrong] = found["hba_errors"]
    assert wrong["error"] == "authentication option not in name=value format"  # without what it quotes
    assert MD5 not in json.dumps(found)


@MAJORS
@pytest.mark.parametrize("grants", [(), ("pg_monitor",)], ids=["bare", "monitor"])
def test_a_role_that_may_not(
    make_server: Callable[..., Server], collect: Collect, major: int, grants: tuple[str, ...]
) -> None:
    server = make_server(major)
    server.create_role("eye", "secret", grants)
    server.sql(f"CREATE ROLE old PASSWORD '{MD5}'; CREATE ROLE boss SUPERUSER LOGIN")
    document = collect(server.dsn("postgres", "eye", "secret"))
    found = document.sections["security"]
    assert found.pop("superuser_count") == 1 and found.pop("superusers") == ["boss"]
    assert set(found.values()) == {None}
    assert "security" not in document.errors


def test_collations_that_are_well_give_no_rows(database: Database, collect: Collect) -> None:
    database.sql('CREATE TABLE t (a text COLLATE "de-x-icu" PRIMARY KEY, b text COLLATE "C" UNIQUE, c text UNIQUE)')
    assert collect(database.dsn).sections["collations"]["rows"] == []


def test_a_collation_of_another_version(database: Database, collect: Collect) -> None:
    database.sql("UPDATE pg_collation SET collversion = '0.1' WHERE collname IN ('de-x-icu', 'fr-x-icu')")
    database.sql('CREATE TABLE t (a text COLLATE "de-x-icu", b int); CREATE DOMAIN d AS text COLLATE "de-x-icu"')
    database.sql("INSERT INTO t SELECT g::text, g FROM generate_series(1, 2000) g")
    database.sql("CREATE INDEX large ON t (a); CREATE INDEX small ON t (a) WHERE b < 9; CREATE INDEX other ON t (b)")
    database.sql('CREATE TEMP TABLE gone (a text COLLATE "de-x-icu" PRIMARY KEY)')
    [row] = collect(database.dsn).sections["collations"]["rows"]
    assert (row["schemaname"], row["collname"], row["collprovider"]) == ("pg_catalog", "de-x-icu", "i")
    assert row["collversion"] == "0.1" != row["collversion_actual"]
    assert (row["is_default"], row["index_count"]) == (False, 2)
    assert row["dependent_count"] >= 4
    assert [index["indexrelname"] for index in row["indexes"]] == ["large", "small"]
    assert row["indexes"][0]["size_bytes"] > row["indexes"][1]["size_bytes"]


def test_whether_all_may_create_in_public(database: Database, collect: Collect) -> None:
    def may() -> object:
        return collect(database.dsn).sections["database"]["public_can_create"]

    assert may() is (database.server.major < 15)
    database.sql("GRANT CREATE ON SCHEMA public TO PUBLIC")
    assert may() is True
    database.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert may() is False
    database.sql("DROP SCHEMA public CASCADE")
    assert may() is None
