"""`config test`: what works, what is told in part alone, and SQL that mends it when it is run as it stands."""

import re
import tarfile
from collections.abc import Callable

import pytest

from pgdoctor_lib.collectors import remedies
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.postgres.connect import connect
from pgdoctor_lib.postgres.server import Facts
from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Server

Multi = Callable[..., object]
PASSWORD = "canary-pw-edges"
SIGNS = {
    "rds_superuser": "Amazon RDS",
    "cloudsqlsuperuser": "Google Cloud SQL",
    "azure_pg_admin": "Azure Database for PostgreSQL",
    "neon_superuser": "Neon",
    "supabase_admin": "Supabase",
}


@pytest.fixture(params=["oldest", "newest"])
def apart(request: pytest.FixtureRequest, make_server: Callable[..., Server]) -> Server:
    """A server of its own of the oldest and of the newest major."""
    shared: Server = request.getfixturevalue(f"{request.param}_server")
    return make_server(shared.major)


def lines_of(cli: Cli, name: str) -> list[str]:
    done = cli.run("config", "test")
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line[2:].startswith(f"{name}: ")]


def cure(line: str, server: Server, dbname: str = "postgres") -> None:
    """Run the SQL that a line ends in."""
    statements = re.findall(r"(?:GRANT|ALTER|CREATE|SELECT) [^;]*;", line)
    assert statements, line
    for statement in statements:
        server.sql(statement, dbname=dbname)


def test_each_line_is_cured_by_its_own_sql(cli: Cli, multi: Multi, apart: Server) -> None:
    apart.create_database("app")
    apart.create_role("watcher", PASSWORD, grants=())
    apart.sql("CREATE TABLE secret (id serial PRIMARY KEY)", dbname="app")
    apart.sql('CREATE SCHEMA "Odd one" CREATE SEQUENCE s', dbname="app")
    apart.sql("CREATE EXTENSION pg_stat_statements VERSION '1.6'", dbname="app")
    multi({"app": {"dsn": apart.dsn("app", "watcher", PASSWORD)}})
    lines = lines_of(cli, "app")
    assert re.fullmatch(rf"✓ app: PostgreSQL {apart.major}\.\d+, database app, \d+ sections", lines[0])
    assert [line[:2] for line in lines[1:] if "pg_monitor" in line] == ["✗ "] * sum("pg_monitor" in x for x in lines)
    notes = [line for line in lines if line.startswith("! ")]
    assert [line.partition(": ")[2].partition("; ")[0] for line in notes[:2]] == [
        "not told: times of reads and writes (track_io_timing), functions' calls and times (track_functions)",
        "not told: values of sequences (2) and statistics of tables' columns (1) that the role may not read",
    ]
    assert re.match(r"! app: pg_stat_statements is of version 1\.6, where 1\.\d+ tells more; ", notes[2])
    assert len(notes) == 3
    for line in lines[1:]:
        cure(line, apart, "app")
    assert [line[:2] for line in lines_of(cli, "app")] == ["✓ "]


TAKEN = (
    "REVOKE SELECT ON pg_locks, pg_stat_bgwriter, pg_stat_replication FROM PUBLIC;"
    "REVOKE EXECUTE ON FUNCTION pg_control_checkpoint, pg_stat_get_wal_senders, pg_stat_get_numscans FROM PUBLIC"
)


@pytest.mark.parametrize("grants", [(), ("pg_monitor",)])
def test_what_was_taken_from_everybody_is_given_back(
    cli: Cli, multi: Multi, apart: Server, grants: tuple[str, ...]
) -> None:
    apart.create_role("bare", PASSWORD, grants=grants)
    apart.sql(f"CREATE EXTENSION pg_stat_statements; {TAKEN}")
    apart.sql("REVOKE EXECUTE ON FUNCTION pg_stat_statements FROM PUBLIC")
    multi({"app": {"dsn": apart.dsn("postgres", "bare", PASSWORD)}})
    cured = []
    for _ in range(4):  # beneath one that is given back there may be another
        refused = [line for line in lines_of(cli, "app") if "permission denied for" in line]
        for line in refused:
            cure(line, apart)
            cured += re.findall("GRANT (.*) TO", line)
    assert [line for line in lines_of(cli, "app") if "permission denied" in line] == []
    assert set(cured) > {
        "SELECT ON pg_catalog.pg_locks",
        "SELECT ON pg_catalog.pg_stat_replication",
        "EXECUTE ON FUNCTION pg_catalog.pg_control_checkpoint",
        "EXECUTE ON FUNCTION public.pg_stat_statements",
    }


def test_what_is_the_servers_is_told_once(cli: Cli, multi: Multi, newest_server: Server) -> None:
    dsn = newest_server.dsn()
    multi({name: {"dsn": dsn} for name in ("one", "two")})
    told = cli.run("config", "test").stdout
    assert [line[:7] for line in told.splitlines() if "track_io_timing" in line] == ["! one: "]
    assert told.count("is a superuser") == 1


def test_a_superuser_is_told_how_to_be_none(cli: Cli, multi: Multi, fresh_server: Server) -> None:
    multi({"app": {"dsn": fresh_server.dsn()}})
    [line] = [line for line in lines_of(cli, "app") if "superuser" in line]
    assert line.startswith('! app: role "postgres" is a superuser, which PGDoctor does not need: let it connect as ')
    snapshot = cli.run("snapshot", "app")
    assert snapshot.returncode == 0 and "is a superuser" not in snapshot.stdout, "each snapshot has it"
    cure(line, fresh_server)
    fresh_server.sql(f"ALTER ROLE pgdoctor PASSWORD '{PASSWORD}'")
    multi({"app": {"dsn": fresh_server.dsn("postgres", "pgdoctor", PASSWORD)}})
    lines = lines_of(cli, "app")
    assert not [line for line in lines if "superuser" in line or "GRANT" in line]


def test_one_section_is_one_section(cli: Cli, multi: Multi, newest_server: Server, make_bouncer: Callable) -> None:
    bouncer = make_bouncer(newest_server)
    multi({"pooler": {"dsn": bouncer.dsn()}})
    [line] = lines_of(cli, "pooler")
    assert re.fullmatch(r"✓ pooler: PgBouncer \S+, database pgbouncer, 1 section", line)


def facts_of(server: Server) -> Facts:
    with connect(Dsn.parse(server.dsn("postgres", "watcher", PASSWORD), {})) as session:
        return session.facts


def test_the_service_is_known_by_its_role(apart: Server) -> None:
    apart.create_role("watcher", PASSWORD, grants=())
    plain = facts_of(apart)
    assert (plain.provider, plain.is_superuser) == ("", False)
    assert remedies.grant(plain) == 'GRANT pg_monitor TO "watcher";'
    assert remedies.preload(plain).startswith("add pg_stat_statements to shared_preload_libraries and restart")
    words = []
    for role, name in SIGNS.items():
        apart.sql(f"CREATE ROLE {role}")
        facts = facts_of(apart)
        assert facts.provider == name
        assert remedies.grant(facts).startswith(f'GRANT pg_monitor TO "watcher"; -- {name}: as a member of ')
        told = (remedies.preload(facts), remedies.settings(facts, {"track_io_timing": "on"}))
        assert all(text.startswith(f"on {name}: ") and "ALTER SYSTEM" not in text for text in told)
        apart.sql(remedies.grant(facts))
        words.append(told)
        apart.sql(f"DROP ROLE {role}")
    assert len(set(words)) == len(SIGNS)
    assert "DB parameter group and reboot" in words[0][0]
    assert "database flag" in words[1][0] and "azure.extensions" in words[2][0]
    assert facts_of(apart).provider == ""


def test_aurora_is_known_by_its_function(fresh_server: Server) -> None:
    fresh_server.create_role("watcher", PASSWORD)
    fresh_server.sql("CREATE ROLE rds_superuser")
    made = "CREATE FUNCTION pg_catalog.aurora_version() RETURNS text LANGUAGE sql AS 'SELECT 1::text'"
    fresh_server.sql(f"SET allow_system_table_mods = on; {made}")
    facts = facts_of(fresh_server)
    assert facts.provider == "Amazon Aurora"
    assert "DB cluster parameter group" in remedies.preload(facts)


def test_config_test_names_the_service(cli: Cli, multi: Multi, fresh_server: Server) -> None:
    fresh_server.create_role("watcher", PASSWORD, grants=())
    fresh_server.sql("CREATE ROLE rds_superuser")
    multi({"app": {"dsn": fresh_server.dsn("postgres", "watcher", PASSWORD)}})
    told = cli.run("config", "test").stdout
    assert re.search(r"^✓ app: PostgreSQL \S+ on Amazon RDS, database postgres, ", told, re.MULTILINE)
    assert '; GRANT pg_monitor TO "watcher"; -- Amazon RDS: as a member of rds_superuser\n' in told
    assert re.search(r"track_functions\); on Amazon RDS: set track_io_timing = on, track_functions = pl in the ", told)
    assert "ALTER SYSTEM" not in told


def test_what_loads_pg_stat_statements_is_the_services_way(
    cli: Cli, multi: Multi, make_server: Callable[..., Server]
) -> None:
    server = make_server(shared_preload_libraries="")
    server.create_role("watcher", PASSWORD)
    server.sql("CREATE ROLE azure_pg_admin")
    multi({"app": {"dsn": server.dsn("postgres", "watcher", PASSWORD)}})
    [line] = [line for line in lines_of(cli, "app") if line.startswith("✗ ")]
    assert line == (
        "✗ app: top_queries: pg_stat_statements is not loaded; on Azure Database for PostgreSQL: add "
        "pg_stat_statements to the server parameters azure.extensions and shared_preload_libraries and restart the "
        "server, then CREATE EXTENSION pg_stat_statements;"
    )


def test_what_has_it_record_is_sql(cli: Cli, multi: Multi, apart: Server) -> None:
    apart.create_role("watcher", PASSWORD)
    apart.sql("CREATE EXTENSION pg_stat_statements")
    apart.sql("ALTER SYSTEM SET pg_stat_statements.track = none")
    apart.sql("SELECT pg_reload_conf()")
    multi({"app": {"dsn": apart.dsn("postgres", "watcher", PASSWORD)}})
    [line] = [line for line in lines_of(cli, "app") if line.startswith("✗ ")]
    assert line.startswith("✗ app: top_queries: pg_stat_statements records nothing; ALTER SYSTEM SET ")
    cure(line, apart)
    assert not [line for line in lines_of(cli, "app") if line.startswith("✗ ")]


def test_databases_that_do_not_let_the_role_in_are_named(cli: Cli, multi: Multi, fresh_server: Server) -> None:
    fresh_server.create_role("watcher", PASSWORD)
    for name in ("open", 'it\'s "closed"', "other"):
        fresh_server.create_database(name)
    fresh_server.sql("""REVOKE CONNECT ON DATABASE "it's ""closed\""" FROM PUBLIC""")
    fresh_server.sql("REVOKE CONNECT ON DATABASE other FROM PUBLIC")
    multi({"all": {"dsn": fresh_server.dsn("postgres", "watcher", PASSWORD), "discover": {"exclude": ["other"]}}})
    lines = lines_of(cli, "all")
    assert lines[0] == "✓ all: 2 databases found"
    [line] = [line for line in lines if line.startswith("! all: not watched: ")]
    cure(line, fresh_server)
    assert lines_of(cli, "all") == ["✓ all: 3 databases found"]


@pytest.mark.parametrize("is_up", [True, False])
def test_the_query_of_the_endpoint_s_url_is_not_shown(
    cli: Cli, multi: Multi, endpoint: Endpoint, newest_server: Server, is_up: bool
) -> None:
    url = f"{endpoint.url if is_up else 'http://127.0.0.1:1/api'}?key=canary-query"
    multi({"app": {"dsn": newest_server.dsn()}}, endpoint=url)
    done = cli.run("config", "test")
    assert ("✓ endpoint: " if is_up else "✗ endpoint: ") in done.stdout and "?***" in done.stdout
    cli.state.mkdir(parents=True, exist_ok=True)
    (cli.state / "pgdoctor.log").touch(0o600)
    (cli.state / "pgdoctor.log").write_text("GET /api?key=canary-query\n")
    assert cli.run("bundle", "-o", "b.tar.gz").returncode == 0
    with tarfile.open(cli.cwd / "b.tar.gz") as archive:
        told = b"".join(file.read() for member in archive if (file := archive.extractfile(member)))
    assert b"GET /api?***" in told
    assert "canary" not in done.stdout + done.stderr and b"canary" not in told
