"""autovacuum-off."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, paste
from tests.postgres.server import Server


@pytest.mark.parametrize("major", [12, 18])
@pytest.mark.parametrize("setting", ["autovacuum", "track_counts"])
def test_off_on_the_whole_server(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int, setting: str
) -> None:
    server = make_server(major)
    off = doctor(server, "autovacuum-off")
    off.healthy()
    server.sql(f"ALTER SYSTEM SET {setting} = off")
    server.sql("SELECT pg_reload_conf()")
    found = off.sick()
    assert (found.id, found.severity) == (f"autovacuum-off:{setting}", Severity.CRITICAL)
    paste(server, found.remedy)
    off.healthy()
