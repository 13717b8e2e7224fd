"""pgbouncer-saturation."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, planted
from tests.checks.test_pgbouncer_waiting import paste_into_console
from tests.fix_pgbouncer import Bouncer
from tests.postgres.server import Server


def test_as_many_clients_as_it_lets_in(
    newest_server: Server, make_bouncer: Callable[..., Bouncer], doctor: Callable[..., Doctor]
) -> None:
    bouncer = make_bouncer(newest_server, max_client_conn=20, admin_users="postgres")
    clients = doctor(bouncer.dsn(), "pgbouncer-saturation")
    clients.healthy()
    for _ in range(16):
        bouncer.connect("postgres", "postgres")
    found = clients.sick()
    assert (found.id, found.severity) == ("pgbouncer-saturation", Severity.WARNING)
    assert found.summary.startswith("17 clients are connected to PgBouncer, of 20 that it lets in (85 %)")
    paste_into_console(bouncer, found.remedy)
    clients.healthy()


def test_what_a_number_comes_to() -> None:
    for used, severities in ((799, []), (800, [Severity.WARNING]), (950, [Severity.CRITICAL])):
        section = {"lists": {"used_clients": used}, "config": {"max_client_conn": 1000}}
        found = judged("pgbouncer-saturation", planted(pgbouncer=section))
        assert [each.severity for each in found] == severities
    with pytest.raises(NotExamined, match="does not tell"):
        judged("pgbouncer-saturation", planted(pgbouncer={"lists": {}, "config": {}}))
