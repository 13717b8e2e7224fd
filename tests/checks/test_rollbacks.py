"""rollbacks."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import NOTHING, Doctor, judged, planted
from tests.postgres.server import Database


def test_transactions_that_fail(database: Database, doctor: Callable[..., Doctor]) -> None:
    rolled_back = doctor(database, "rollbacks", least_hourly_count=30)
    rolled_back.apart_s = 1
    rolled_back.healthy()
    connection = database.server.connect(database.name)
    with connection.cursor() as cursor:
        for _ in range(200):
            cursor.execute("BEGIN; SELECT 1; ROLLBACK")
    connection.close()
    found = rolled_back.sick()
    assert (found.id, found.severity) == ("rollbacks", Severity.INFO)
    assert f"of the transactions in database {database.name} within" in found.summary
    rolled_back.healthy()  # once it has passed


def test_what_a_share_comes_to() -> None:
    def within(seconds: float, committed: int, rolled_back: int) -> int:
        before = planted(database={"datname": "app", "xact_commit": 7, "xact_rollback": 9})
        now = {"datname": "app", "xact_commit": 7 + committed, "xact_rollback": 9 + rolled_back}
        return len(judged("rollbacks", planted(seconds, database=now), before))

    assert within(3600, 4000, 1000) == 1
    assert within(3600, 4001, 1000) == 0
    assert within(3600, 0, 999) == 0
    assert within(600, 0, 999) == 0  # in the next 50 minutes there may be none
    assert within(7200, 0, 1999) == 0
    assert within(600, 0, 0) == 0
    with pytest.raises(NotExamined, match="reset"):
        within(600, 0, -1)
    with pytest.raises(NotExamined, match="first"):
        judged("rollbacks", planted(database={"xact_commit": 7}), NOTHING)
