"""The lease on real servers: one has it, its end frees it, silence ends it, and a pooler never gets a lock."""

import time
from collections.abc import Callable, Iterator

import pytest

from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.lease import Lease, Pooled, key_of
from tests.postgres.server import Database, Server
from tests.postgres_lib.relay import Relay
from tests.waiting import wait_for

KEY = key_of("tests")
LOCKS = "SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND granted"


@pytest.fixture
def lease() -> Iterator[Callable[..., Lease]]:
    """`lease(dsn)`: one more daemon's lease."""
    made: list[Lease] = []

    def make(dsn: str, lasts_s: float = 60.0, key: int = KEY) -> Lease:
        made.append(Lease.open(Dsn.parse(dsn, {}), key, lasts_s, 20))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_one_has_it_until_its_end(server: Server, database: Database, lease: Callable[..., Lease]) -> None:
    first, second, other = lease(database.dsn), lease(database.dsn), lease(database.dsn, key=key_of("other"))
    assert [each.renew(20) for each in (first, second, other)] == [True, False, True]
    assert [each.renew(20) for each in (first, second, other)] == [True, False, True]
    first.close()
    wait_for(lambda: second.renew(20), "the lock is not free")
    assert not first.held


def test_silence_ends_it(server: Server, database: Database, lease: Callable[..., Lease]) -> None:
    """A frozen process and a cut network look like this to the server, of every major."""
    silent, other = lease(database.dsn, lasts_s=1.0), lease(database.dsn)
    began = time.monotonic()
    assert silent.renew(20)
    wait_for(lambda: other.renew(20), "the lock is not free", 30)
    assert time.monotonic() - began >= 1.0
    with pytest.raises(DatabaseError):
        silent.renew(20)


def test_whether_it_is_free_can_be_asked_without_taking_it(
    server: Server, database: Database, lease: Callable[..., Lease]
) -> None:
    first, second = lease(database.dsn), lease(database.dsn)
    assert first.is_free(20) and second.is_free(20)
    assert not first.held and second.renew(20)
    assert not first.is_free(20) and second.renew(20)
    second.close()
    wait_for(lambda: first.is_free(20), "the lock is not free")
    assert database.sql(LOCKS) == [(0,)]


@pytest.mark.pg(">= 13, < 15")  # one of each timer
def test_signs_of_life_keep_it(server: Server, database: Database, lease: Callable[..., Lease]) -> None:
    first, other = lease(database.dsn, lasts_s=3.0), lease(database.dsn)
    began = time.monotonic()
    while time.monotonic() < began + 4:
        assert first.renew(20) and not other.renew(20)
        time.sleep(0.2)


def test_the_session_is_read_only_and_holds_nothing_up(server: Server, lease: Callable[..., Lease]) -> None:
    database = server.new_database()
    try:
        held = lease(database.dsn, lasts_s=9.0)
        assert held.renew(20)
        names = ["search_path", "default_transaction_read_only", "tcp_keepalives_idle", "tcp_user_timeout"]
        timer = "idle_session_timeout" if server.major >= 14 else "idle_in_transaction_session_timeout"
        session = held._session
        [row] = session.query(f"SELECT {', '.join(f'current_setting($${name}$$)' for name in [*names, timer])}")
        assert row == ("pg_catalog", "on", "3", "9000", "9s")
        with pytest.raises(DatabaseError) as caught:
            session.query("CREATE TABLE planted ()")
        assert caught.value.sqlstate == "25006"
        held.close()
        held = lease(database.dsn)
        assert held.renew(20)
        [(state, xmin, xid, query)] = server.sql(
            "SELECT state, backend_xmin, backend_xid, query FROM pg_stat_activity"
            " WHERE application_name = 'pgdoctor' AND datname = %s AND state <> 'active'",
            (database.name,),
        )
        assert state == ("idle" if server.major >= 14 else "idle in transaction")
        assert (xmin, xid) == (None, None)
        assert "pgdoctor:lease" in query
        held.close()
    finally:
        database.drop()


def test_behind_a_pooler_no_lock_is_ever_taken(newest_server: Server, lease: Callable[..., Lease]) -> None:
    with Relay(newest_server.port, "pool") as relay:
        with pytest.raises(Pooled):
            lease(f"host=127.0.0.1 port={relay.port} user=postgres dbname=postgres sslmode=disable gssencmode=disable")
        assert newest_server.sql(LOCKS) == [(0,)]
        assert len(relay.others) > 1


def test_on_a_hot_standby_too(
    newest_server: Server, standby: Callable[[Server], Server], lease: Callable[..., Lease]
) -> None:
    replica = standby(newest_server)
    first, second, elsewhere = lease(replica.dsn()), lease(replica.dsn()), lease(newest_server.dsn())
    assert [each.renew(20) for each in (first, second, elsewhere)] == [True, False, True]


def test_through_a_socket_too(newest_server: Server, lease: Callable[..., Lease]) -> None:
    dsn = f"host={newest_server.socket_dir} port={newest_server.port} user=postgres dbname=postgres"
    assert lease(dsn).renew(20) and not lease(dsn).renew(20)


def test_a_role_without_any_rights_can_have_it(newest_server: Server, lease: Callable[..., Lease]) -> None:
    newest_server.create_role("bare", "not-a-secret", grants=())
    try:
        held = lease(newest_server.dsn("postgres", "bare", "not-a-secret"))
        assert held.renew(20)
        held.close()
    finally:
        newest_server.sql("DROP ROLE bare")


def test_the_key_is_64_bits_with_a_sign_and_everybodys() -> None:
    assert key_of("a", [1, "b"]) == key_of("a", (1, "b")) != key_of("a", [1, "c"])
    assert all(-(2**63) <= key_of(str(number)) < 2**63 for number in range(100))
    assert min(key_of(str(number)) for number in range(100)) < 0
