"""extension-updates."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database


def test_an_old_version(database: Database, doctor: Callable[..., Doctor]) -> None:
    extensions = doctor(database, "extension-updates")
    extensions.healthy()
    database.sql("DROP EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_statements VERSION '1.6'")
    found = extensions.sick()
    assert (found.id, found.severity) == ("extension-updates:pg_stat_statements", Severity.INFO)
    paste(database, found.remedy)
    extensions.healthy()


@pytest.mark.parametrize(("is_there", "count"), [(True, 1), (False, 0), (None, 0)])
def test_what_is_told(is_there: bool | None, count: int) -> None:
    row = {"extname": "a-b", "extversion": "1", "default_version": "2", "update_available": is_there}
    found = judged("extension-updates", planted(extensions=[row]))
    assert [each.remedy for each in found] == ['ALTER EXTENSION "a-b" UPDATE;\n'] * count
