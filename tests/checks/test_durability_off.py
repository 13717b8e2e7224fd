"""durability-off."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server

SOUND = {
    "fsync": "on",
    "full_page_writes": "on",
    "zero_damaged_pages": "off",
    "ignore_checksum_failure": "off",
    "synchronous_commit": "on",
}
MUST_BE_ON = ("fsync", "full_page_writes")


@pytest.mark.parametrize("major", [12, 18])
def test_settings_of_a_server(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major)
    settings = doctor(server, "durability-off")
    settings.healthy()
    for name in ("fsync", "full_page_writes", "zero_damaged_pages", "ignore_checksum_failure"):
        server.sql(f"ALTER SYSTEM SET {name} = {'off' if name in MUST_BE_ON else 'on'}")
        server.sql("SELECT pg_reload_conf()")
        found = settings.sick()
        assert (found.id, found.severity) == (f"durability-off:{name}", Severity.CRITICAL)
        paste(server, found.remedy)
        settings.healthy()
    server.sql("ALTER DATABASE postgres SET synchronous_commit = off")
    found = settings.sick()
    assert (found.key, found.severity) == ("synchronous_commit", Severity.INFO)
    paste(server, found.remedy)
    settings.healthy()


def judge(service: str | None = None, source: str = "configuration file", **settings: str) -> list[Finding]:
    rows = [{"name": name, "setting": value, "source": source} for name, value in {**SOUND, **settings}.items()]
    return judged("durability-off", planted(settings=rows, server={"provider": service}))


def test_what_is_sound() -> None:
    assert judge() == []
    assert judge(synchronous_commit="local") == []
    assert judged("durability-off", planted(settings=[], server={})) == []


def test_what_a_service_sees_to_itself() -> None:
    assert judge("neon", fsync="off", full_page_writes="off") == []
    [found] = judge("rds", zero_damaged_pages="on")
    assert "ALTER SYSTEM SET" not in found.remedy
    assert "-- zero_damaged_pages = off" in found.remedy


def test_where_it_was_set() -> None:
    for source, words in (
        ("command line", "command line"),
        ("configuration file", "ALTER SYSTEM SET fsync = 'on';"),
        ("user", "ALTER ROLE"),
    ):
        [found] = judge(source=source, fsync="off")
        assert words in found.remedy
