"""pgss-missing."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document, NotExamined, Part
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import MONITOR, NOTHING, Doctor, judged, paste, planted
from tests.postgres.server import Server


@pytest.mark.parametrize("major", [12, 18])
def test_each_cause_has_its_own_remedy(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major)
    missing = doctor(server, "pgss-missing")

    def mend(words: str) -> None:
        found = missing.sick()
        assert (found.id, found.severity) == ("pgss-missing", Severity.INFO)
        assert found.summary.startswith(words)
        paste(server, found.remedy)

    server.sql("ALTER SYSTEM SET shared_preload_libraries = 'auto_explain'")
    server.restart()
    mend("pg_stat_statements is not loaded: ")
    server.restart()
    missing.healthy()
    [(libraries,)] = server.sql("SHOW shared_preload_libraries")
    assert libraries.replace('"', "") == "auto_explain, pg_stat_statements"
    server.sql("DROP EXTENSION pg_stat_statements")
    mend("pg_stat_statements is loaded, but an extension of no database that can be read: ")
    missing.healthy()
    server.sql(f"REVOKE pg_monitor FROM {MONITOR}")
    found = missing.sick()
    assert "statements of other roles are hidden" in found.summary
    paste(server, found.remedy)
    missing.healthy()
    server.sql("ALTER SYSTEM SET pg_stat_statements.track = none")
    server.sql("SELECT pg_reload_conf()")
    mend("pg_stat_statements records nothing: ")
    missing.healthy()
    server.sql("DROP EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_statements VERSION '1.6'")
    mend("pg_stat_statements is of version 1.6, where the server has ")
    missing.healthy()


def found(error: str, hint: str, **setting: object) -> list[Finding]:
    parts = {}
    if setting:
        row = {"name": "shared_preload_libraries", **setting}
        parts["settings"] = Part({"rows": [row], "total": {}, "more": 0}, 0.0)
    return judged(
        "pgss-missing", Document({"errors": [{"collector": "top_queries", "error": error, "hint": hint}]}, parts)
    )


def test_how_it_is_loaded() -> None:
    add = "add pg_stat_statements to shared_preload_libraries and restart the server, then CREATE EXTENSION"
    why = "pg_stat_statements is not loaded"
    [one] = found(why, add)
    assert one.remedy == f"-- {add}\n"
    [one] = found(why, add, setting='a, "B-c"', source="configuration file")
    assert one.remedy.startswith("ALTER SYSTEM SET shared_preload_libraries = 'a', 'B-c', 'pg_stat_statements';\n")
    [one] = found(why, add, setting="a", source="command line")
    assert "ALTER SYSTEM" not in one.remedy
    [one] = found(why, "on Amazon RDS: add it to the group", setting="a", source="configuration file")
    assert one.remedy == "-- on Amazon RDS: add it to the group\n"


def test_what_fails_for_a_moment_is_not_missing() -> None:
    with pytest.raises(NotExamined, match="statement timeout"):
        found("canceling statement due to statement timeout", "the server is busy")
    [one] = found("permission denied for schema ext", 'GRANT USAGE ON SCHEMA "ext" TO "m";')
    assert one.remedy == 'GRANT USAGE ON SCHEMA "ext" TO "m";\n'


def test_on_a_standby_it_is_created_on_its_primary() -> None:
    section = {"rows": [], "total": {"hidden_count": 3}, "more": 0}
    [one] = judged("pgss-missing", planted(standby=True, queries=section))
    assert "on its primary" in one.remedy.splitlines()[0]


def test_an_old_version_is_shown_under_the_update_that_waits() -> None:
    row = {"extname": "pg_stat_statements", "update_available": True, "extversion": "1.6", "default_version": "1.12"}
    section = {"rows": [], "total": {"recording": True, "hidden_count": 0}, "more": 0}
    now = planted(queries=section, extensions=[row], settings=[])
    told = {each.id: each.because_of for each in diagnose(now, NOTHING).findings}
    assert told["pgss-missing"] == "extension-updates:pg_stat_statements"
    assert told["extension-updates:pg_stat_statements"] == ""


def test_an_update_that_waits_is_told_of_this_extension_alone() -> None:
    rows = [
        {"extname": "postgis", "update_available": True},
        {"extname": "pg_stat_statements", "update_available": False},
    ]
    section = {"rows": [], "total": {"recording": True, "hidden_count": 0}, "more": 0}
    assert judged("pgss-missing", planted(queries=section, extensions=rows)) == []
