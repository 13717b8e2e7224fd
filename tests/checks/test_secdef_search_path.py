"""secdef-search-path."""

import time
from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database

CREATE = "CREATE {} LANGUAGE {} SECURITY DEFINER {} AS {}"


def function(database: Database, name: str, more: str = "", returns: str = "int") -> None:
    database.sql(CREATE.format(f"FUNCTION {name} RETURNS {returns}", "sql", more, "'SELECT 1'"))


def test_functions_and_procedures(database: Database, doctor: Callable[..., Doctor]) -> None:
    paths = doctor(database, "secdef-search-path")
    paths.healthy()
    database.sql('CREATE SCHEMA "my "".app"; GRANT USAGE ON SCHEMA "my "".app" TO PUBLIC')
    database.sql('CREATE DOMAIN "my "".app"."a Type" AS int; CREATE ROLE pays; DROP ROLE pays')
    function(database, 'public.pay(int, text[], "my "".app"."a Type")')
    function(database, '"my "".app"."Pay, All"()')
    database.sql(CREATE.format("PROCEDURE public.tidy(int)", "plpgsql", "", "'BEGIN END'"))
    found = paths.sick()
    assert (found.id, found.severity) == ("secdef-search-path", Severity.WARNING)
    assert "a superuser's" in found.summary and "so do 2 more functions" in found.summary
    assert 'ALTER ROUTINE "my "".app"."Pay, All"() SET search_path = "my "".app", pg_temp;' in found.remedy
    paste(database, found.remedy)
    paths.healthy()
    [(path,)] = database.sql("SELECT proconfig FROM pg_proc WHERE proname = 'Pay, All'")
    assert path == ['search_path="my "".app", pg_temp']


def test_a_schema_in_which_every_role_may_create(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql('CREATE SCHEMA "Open"; GRANT ALL ON SCHEMA "Open", public TO PUBLIC')
    database.sql("CREATE SCHEMA shut; GRANT USAGE ON SCHEMA shut TO PUBLIC")
    function(database, "public.pay()")
    function(database, "public.pay_all()")
    function(database, '"Open".pay()')
    function(database, "shut.pay()")
    paths = doctor(database, "secdef-search-path")
    found = paths.sick()
    assert found.remedy.count("REVOKE") == 2 and "REVOKE CREATE ON SCHEMA shut" not in found.remedy
    assert found.remedy.index("REVOKE CREATE ON SCHEMA public FROM PUBLIC;") < found.remedy.index("ALTER ROUTINE")
    assert "every role may create in it" in found.remedy and "search_path = pg_catalog, pg_temp" in found.remedy
    assert "roles that create tables there by this right alone cannot any more" in found.caution
    paste(database, found.remedy)
    paths.healthy()
    may = "SELECT count(*) FROM pg_namespace, aclexplode(nspacl) a WHERE a.grantee = 0 AND a.privilege_type = 'CREATE'"
    assert database.sql(may) == [(0,)]


def test_a_function_of_a_role_that_is_no_superuser(database: Database, doctor: Callable[..., Doctor]) -> None:
    function(database, "public.pay()")
    database.sql(f'GRANT ALL ON SCHEMA public TO "{database.role}"; ALTER FUNCTION pay() OWNER TO "{database.role}"')
    assert "superuser" not in doctor(database, "secdef-search-path").sick().summary


def test_what_is_safe(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE EXTENSION pg_trgm; CREATE SCHEMA own")
    database.sql("CREATE FUNCTION invoked() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    database.sql("CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int)")
    function(database, "fixed()", "SET search_path = public, pg_temp")
    function(database, "empty()", "SET search_path = ''")
    function(database, "own.hidden()")  # nobody else has USAGE there
    function(database, "revoked()")
    database.sql("REVOKE EXECUTE ON FUNCTION revoked() FROM PUBLIC")
    function(database, "of_extension()")
    database.sql("ALTER EXTENSION pg_trgm ADD FUNCTION of_extension()")
    paths = doctor(database, "secdef-search-path")
    paths.healthy()
    database.sql("GRANT USAGE ON SCHEMA own TO PUBLIC")
    found = paths.sick()
    assert found.subject == "own.hidden()"


def test_a_trigger_is_called_by_who_writes(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE SCHEMA own")
    database.sql(CREATE.format("FUNCTION own.log() RETURNS trigger", "plpgsql", "", "'BEGIN RETURN new; END'"))
    assert doctor(database, "secdef-search-path").sick().subject == "own.log()"


def test_more_than_are_named() -> None:
    total = {
        "security_definer_without_search_path_count": 25,
        "security_definer_without_search_path": [f"app.f{n}()" for n in range(20)],
    }
    [found] = judged("secdef-search-path", planted(functions={"rows": [], "total": total}, standby=True))
    assert "so do 24 more functions" in found.summary
    assert found.remedy.startswith("-- this is a standby")
    assert "-- and 5 more functions" in found.remedy
    assert found.remedy.count("ALTER ROUTINE") == 20
    assert judged("secdef-search-path", planted(functions=[])) == []


@pytest.mark.parametrize("name", ['"' * 3001, '"' * 61 + "!", '""' * 1500 + "!", "a" * 3000 + "!"])
def test_what_no_server_writes_is_seen_at_once(name: str) -> None:
    total = {"security_definer_without_search_path": [name]}
    began = time.perf_counter()
    [found] = judged("secdef-search-path", planted(functions={"rows": [], "total": total}))
    assert time.perf_counter() - began < 1
    assert found.remedy.startswith("-- no server writes a function so: ")
