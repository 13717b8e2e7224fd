"""public-privileges."""

from collections.abc import Callable

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database


def test_a_schema_public_for_all(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    privileges = doctor(database, "public-privileges")
    privileges.healthy()
    database.sql("GRANT CREATE ON SCHEMA public TO PUBLIC")
    found = privileges.sick()
    assert (found.id, found.severity) == ("public-privileges", Severity.WARNING)
    assert f"in database {database.name} every role" in found.summary
    paste(database, found.remedy)
    privileges.healthy()


def test_who_may_create_by_a_grant_of_his_own(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    database.sql(f'GRANT CREATE ON SCHEMA public TO "{database.role}"')
    doctor(database, "public-privileges").healthy()


def test_a_database_without_that_schema(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA app; GRANT CREATE ON SCHEMA app TO PUBLIC")
    doctor(database, "public-privileges").healthy()


def test_a_standby_says_where() -> None:
    for standby in (False, True):
        [found] = judged("public-privileges", planted(database={"public_can_create": True}, standby=standby))
        assert ("on its primary" in found.remedy) is standby
