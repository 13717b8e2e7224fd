"""temp-files."""

import re
from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import NOTHING, Doctor, judged, paste, planted
from tests.postgres.server import Database
from tests.waiting import wait_for

MIB = 1024**2
GIB = 1024**3
SORT = "SELECT count(*) FROM (SELECT md5(g::text) FROM generate_series(1, 30000) g ORDER BY 1 OFFSET 0) t"


def test_a_sort_that_does_not_fit(database: Database, doctor: Callable[..., Doctor]) -> None:
    files = doctor(database, "temp-files", warning_hourly_bytes=MIB, least_hourly_count=1)
    files.apart_s = 60
    # Without the texts of all other tests' statements, which do not fit into work_mem either.
    database.sql("SELECT pg_stat_statements_reset()")
    database.sql(SORT)
    files.healthy()
    database.sql(f"ALTER ROLE postgres IN DATABASE {database.name} SET work_mem = '64kB'")
    database.sql(SORT)
    written = "SELECT 1 FROM pg_stat_database WHERE datname = current_database() AND temp_bytes > 0"
    wait_for(lambda: database.sql(written), "the files are not counted")
    found = files.sick()
    assert (found.id, found.severity) == ("temp-files", Severity.WARNING)
    assert found.evidence["statements"][0]["rolname"] == "postgres"  # type: ignore[index]
    assert _goes_to_disk(database)
    files.healthy()
    change_role = found.remedy.splitlines()[-1]
    assert re.fullmatch(rf"ALTER ROLE postgres IN DATABASE {database.name} SET work_mem = '[48]MB';", change_role)
    paste(database, change_role)
    assert not _goes_to_disk(database)
    files.healthy()


def _goes_to_disk(database: Database) -> bool:
    return "Disk" in str(database.sql(f"EXPLAIN ANALYZE {SORT}"))


def _judged(by_bytes: float, files: int, seconds: float = 3600, **sections: object) -> list[Finding]:
    before = planted(database={"datname": "app", "temp_bytes": 7, "temp_files": 1})
    database = {"datname": "app", "temp_bytes": 7 + by_bytes, "temp_files": 1 + files}
    return judged("temp-files", planted(seconds, database=database, **sections), before)


@pytest.mark.parametrize(
    ("by_bytes", "files", "seconds", "count"),
    [
        (GIB, 5, 3600, 1),
        (GIB - 1, 5, 3600, 0),
        (GIB, 4, 3600, 0),  # a report
        (GIB, 5, 60, 1),
        (GIB, 10, 7200, 0),  # half of it an hour
    ],
)
def test_thresholds(by_bytes: float, files: int, seconds: float, count: int) -> None:
    assert len(_judged(by_bytes, files, seconds)) == count


@pytest.mark.parametrize(
    ("file_bytes", "work_mem_kib", "wanted"), [(1, 4096, 8), (10 * MIB, 4096, 32), (GIB, 4096, 256), (GIB, 524288, 512)]
)
def test_how_much_memory_the_remedy_gives(file_bytes: int, work_mem_kib: int, wanted: int) -> None:
    settings = [{"name": "work_mem", "setting": str(work_mem_kib)}]
    count = max(5, -(-GIB // file_bytes))
    [found] = _judged(file_bytes * count, count, settings=settings)
    assert found.remedy.endswith(f"ALTER DATABASE app SET work_mem = '{wanted}MB';\n")


def test_it_is_told_only_of_two_snapshots() -> None:
    with pytest.raises(NotExamined, match="two snapshots"):
        judged("temp-files", planted(database={"temp_bytes": GIB, "temp_files": 9}), NOTHING)
    with pytest.raises(NotExamined, match="reset"):
        _judged(-7, 0)
