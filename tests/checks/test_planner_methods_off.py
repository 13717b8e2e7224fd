"""planner-methods-off."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server


@pytest.mark.parametrize("major", [12, 18])
def test_settings_of_a_server(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major)
    methods = doctor(server, "planner-methods-off")
    methods.healthy()
    server.sql("ALTER SYSTEM SET enable_nestloop = off")
    server.sql("SELECT pg_reload_conf()")
    found = methods.sick()
    assert (found.id, found.severity) == ("planner-methods-off:enable_nestloop", Severity.INFO)
    paste(server, found.remedy)
    methods.healthy()
    server.sql("ALTER DATABASE postgres SET enable_seqscan = off")
    found = methods.sick()
    assert found.key == "enable_seqscan"
    paste(server, found.remedy)
    methods.healthy()


def test_what_is_off_as_postgresql_comes_is_no_fault() -> None:
    for name, boot, setting, count in (
        ("enable_partitionwise_join", "off", "off", 0),
        ("enable_hashjoin", "on", "on", 0),
        ("enable_hashjoin", "on", "off", 1),
        ("jit", "on", "off", 0),
    ):
        row = {"name": name, "boot_val": boot, "setting": setting, "source": "configuration file"}
        assert len(judged("planner-methods-off", planted(settings=[row]))) == count, row
