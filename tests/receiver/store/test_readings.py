"""Statements, tables and indexes over time."""

from itertools import pairwise

import pytest

from pgdoctor_lib.receiver.store import QueryStat, Store
from pgdoctor_lib.receiver.store.readings import added
from tests.receiver.store.documents import T0, counters, iso, many, query, snapshot


def _keep(store: Store, minute: int, *rows: dict[str, object], total_ms: float | None = None, **more: object) -> None:
    queries = many(list(rows), total_exec_time_ms=total_ms)
    store.keep(snapshot(T0 + 60 * minute, database=counters(1), queries=queries, **more), T0 + 60 * minute)


def _stats(store: Store, minutes: int) -> dict[str, QueryStat]:
    return {each.queryid: each for each in store.queries(_only(store), T0, T0 + 60 * minutes)}


def _only(store: Store) -> str:
    (source,) = store.sources()
    return source.id


def _rows(store: Store, kind: str, at: float | None = None) -> list[dict[str, object]]:
    found = store.objects(_only(store), kind, at)
    return list(found.rows) if found else []


def test_statements_by_the_time_they_took(store: Store) -> None:
    _keep(store, 0, query("1", 10, 100), query("2", 5, 50), total_ms=1000)
    _keep(store, 5, query("1", 30, 500), query("2", 5, 50), total_ms=2000)
    _keep(store, 10, query("1", 40, 700), query("2", 105, 350), total_ms=2000)
    found = store.queries(_only(store), T0, T0 + 600)
    assert [(each.queryid, each.calls, each.total_time_ms, each.share) for each in found] == [
        ("1", 30, 600, 0.6),
        ("2", 100, 300, 0.3),
    ]
    assert (found[0].text, found[0].roles, found[0].mean_ms) == ("SELECT 1", ["app"], 20)
    assert found[0].spark[:12] == pytest.approx([400 / 300] * 12)
    assert found[0].spark[12:] == pytest.approx([200 / 300] * 12)


def test_of_what_began_before_the_span_its_share_counts(store: Store) -> None:
    """In the list, of all statements' time, and in one statement's steps alike."""
    _keep(store, 0, query("1", 0, 0), query("2", 0, 0), total_ms=0)
    _keep(store, 60, query("1", 600, 6000), query("2", 600, 3000), total_ms=12_000)
    _keep(store, 65, query("1", 650, 6500), query("2", 600, 3000), total_ms=12_500)
    since, until = T0 + 55 * 60, T0 + 65 * 60
    found = {each.queryid: each for each in store.queries(_only(store), since, until)}
    assert (found["1"].calls, found["1"].total_time_ms) == pytest.approx((100, 1000))
    assert found["1"].share == pytest.approx(1000 / 1500)
    assert found["2"].calls == pytest.approx(50)
    one = store.query(_only(store), "1", since, until)
    assert one is not None
    steps = [(*span, step) for span, step in zip(pairwise(one.times), one.steps, strict=True) if step is not None]
    assert added(steps, since, until)["calls"] == pytest.approx(100)


def test_roles_are_added_up(store: Store) -> None:
    for minute, calls in ((0, 1), (5, 2)):
        others = query("1", 10 * calls, 10 * calls, userid=11, rolname="batch")
        _keep(store, minute, query("1", calls, calls), others)
    (found,) = store.queries(_only(store), T0, T0 + 300)
    assert (found.calls, found.roles, found.share) == (11, ["app", "batch"], 1.0)


def test_of_what_was_told_over_a_longer_time_a_span_has_its_share(store: Store) -> None:
    _keep(store, 0, query("1", 0, 0), total_ms=0)
    _keep(store, 100, query("1", 100, 1000), total_ms=2000)
    (found,) = store.queries(_only(store), T0 + 3000, T0 + 6000)
    assert (found.calls, found.total_time_ms, found.share) == pytest.approx((50, 500, 0.5))


def test_a_reset_gives_no_growth(store: Store) -> None:
    _keep(store, 0, query("1", 100, 100))
    _keep(store, 5, query("1", 3, 3))
    _keep(store, 10, query("1", 5, 5))
    assert _stats(store, 10)["1"].calls == 2


def test_a_reset_that_was_overtaken_is_known_by_stats_since(store: Store) -> None:
    _keep(store, 0, query("1", 100, 100, stats_since=iso(T0 - 900)))
    _keep(store, 5, query("1", 150, 150, stats_since=iso(T0 + 100)))
    assert _stats(store, 10)["1"].calls == 150  # all of it since then


def test_a_new_statement_counts_where_its_beginning_is_known(store: Store) -> None:
    _keep(store, 0, query("1"))
    _keep(store, 5, query("1"), query("2", 7, 7, stats_since=iso(T0 + 60)), query("3", 7, 7))
    assert set(_stats(store, 10)) == {"2"}


def test_who_drops_out_of_the_list_and_comes_back(store: Store) -> None:
    _keep(store, 0, query("1", 1, 1))
    _keep(store, 5, query("2"))
    _keep(store, 10, query("1", 11, 11))
    assert _stats(store, 10)["1"].calls == 10
    found = store.query(_only(store), "1", T0, T0 + 600)
    assert found is not None
    assert [step and step["calls"] for step in found.steps] == [5, 5]


def test_one_reading_in_five_minutes_whatever_the_order(store: Store) -> None:
    for minute in (7, 3, 9, 0, 5, 12):
        _keep(store, minute, query("1", minute, minute))
    kept = store._db.rows("SELECT at FROM reading WHERE kind = 'queries' ORDER BY at")
    assert [(at - T0) / 60 for (at,) in kept] == [0, 5, 12]
    assert store.query(_only(store), "99", T0, T0 + 900) is None


def test_texts_stay_where_later_snapshots_leave_them_out(store: Store) -> None:
    _keep(store, 0, query("1", 1, 1))
    _keep(store, 5, query("1", 2, 2, query=None), query("9", 1, 1, query=None),
          top_queries=[{"fingerprint": "9", "normalized_query": "SELECT nine"}])  # fmt: skip
    _keep(store, 10, query("1", 3, 3, query=None), query("9", 2, 2, query=None))
    assert {key: each.text for key, each in _stats(store, 10).items()} == {"1": "SELECT 1", "9": "SELECT nine"}


def test_a_plan_is_the_newest_one_told(store: Store) -> None:
    _keep(store, 0, query("1", 1, 1), plans=many([{"queryid": "1", "plan": [{"Plan": "old"}]}]))
    _keep(store, 60, query("1", 2, 2), plans=many([{"queryid": "1", "plan": [{"Plan": "new"}]}]))
    _keep(store, 120, query("1", 3, 3), plans=many([{"queryid": "2", "plan": None, "reason": "no"}]))
    found = store.query(_only(store), "1", T0, T0 + 7200)
    assert found is not None
    assert found.plan is not None
    assert found.plan["plan"] == [{"Plan": "new"}]


def test_tables_and_indexes_now_then_and_over_time(store: Store) -> None:
    for hour in range(3):
        tables = many([{"relid": 1, "relname": "t", "n_dead_tup": hour * 10, "reloptions": None}])
        indexes = {"indexes": many([{"indexrelid": 2, "size_bytes": 100 + hour}])} if hour < 2 else {}
        at = T0 + 3600 * hour
        store.keep(snapshot(at, database=counters(1), tables=tables, **indexes), at)
    source = _only(store)
    assert _rows(store, "tables") == [{"relid": 1, "relname": "t", "n_dead_tup": 20, "reloptions": None}]
    assert _rows(store, "tables", T0 + 3700)[0]["n_dead_tup"] == 10
    assert _rows(store, "indexes") == [{"indexrelid": 2, "size_bytes": 101}]  # the newest body has none
    found = store.table_series(source, 1, T0, T0 + 7200)
    assert found is not None
    assert (list(found.times), found.columns["n_dead_tup"]) == ([T0, T0 + 3600, T0 + 7200], [0, 10, 20])
    assert store.table_series(source, 2, T0, T0 + 7200) is not None
    assert store.table_series(source, 3, T0, T0 + 7200) is None
    assert _rows(store, "tables", T0 - 1) == []
    for since, dead in ((T0 - 1, 0), (T0 + 3700, 10)):  # nothing is known of a time before the first reading
        before = store.objects_before(source, "tables", since)
        assert before is not None
        assert before.rows[0]["n_dead_tup"] == dead
    first = store.objects_before(source, "indexes", T0 - 1)
    assert first is not None
    assert (first.at, first.rows) == (T0, [{"indexrelid": 2, "size_bytes": 100}])


def test_what_comes_seldom_is_the_newest_that_was_told(store: Store) -> None:
    for minute in range(0, 16, 5):
        indexes = {"indexes": many([{"indexrelid": 2, "idx_scan": minute}])} if minute < 15 else {}
        at = T0 + 60 * minute
        store.keep(snapshot(at, database=counters(1), **indexes), at)
    found = store.objects(_only(store), "indexes")
    assert found is not None
    assert (found.at, found.rows[0]["idx_scan"]) == (T0 + 600, 10)


def test_what_a_section_left_out_is_told(store: Store) -> None:
    for at, more in ((T0, 9950), (T0 + 7200, 9960)):
        tables = {"rows": [{"relid": 1}], "total": {"count": more + 50}, "more": more}
        store.keep(snapshot(at, database=counters(1), tables=tables), at)
    store.keep(snapshot(T0 + 3600, database=counters(1)), T0 + 3600)  # that body has none, an earlier reading does
    for at, more in ((None, 9960), (T0 + 3600, 9950)):
        found = store.objects(_only(store), "tables", at)
        assert found is not None
        assert (found.more, found.total["count"]) == (more, more + 50)


def test_sections_of_odd_shapes_do_no_harm(store: Store) -> None:
    odd = {"rows": [{"queryid": None, "calls": "x"}, {}, 7], "total": 5}
    for minute in (0, 5):
        _ = store.keep(
            snapshot(T0 + 60 * minute, database=[], queries=odd, tables={"rows": {}}, indexes=odd, plans=odd), T0 + 600
        )
    source = _only(store)
    assert store.queries(source, T0, T0 + 600) == []
    assert _rows(store, "tables") == []
    assert len(_rows(store, "indexes")) == 2


def test_the_first_minutes_are_told_before_there_are_two_readings(store: Store) -> None:
    _keep(store, 0, query("1", 1, 1))
    _keep(store, 1, query("1", 7, 7))
    _keep(store, 2, query("1", 9, 9))
    assert _stats(store, 3)["1"].calls == 8
    assert _stats(store, 1)["1"].calls == 6


def test_a_statement_before_and_after_a_mark_within_five_minutes(store: Store) -> None:
    """There is one reading only: what lies between comes from the snapshots themselves."""
    mark = {"label": "v2", "at": iso(T0 + 150)}
    for minute, calls in enumerate((1, 4, 7, 7, 12)):
        _keep(store, minute, query("1", calls, 10 * calls), query("2", 1, 1), **({"mark": mark} if minute == 3 else {}))
    found = store.query(_only(store), "1", T0, T0 + 300)
    assert found is not None
    assert found.times == [T0 + 60 * minute for minute in range(5)]
    assert [step and step.get("calls") for step in found.steps] == [3, 3, None, 5]


def test_bodies_are_read_next_to_marks_where_readings_are_many(store: Store) -> None:
    mark = {"label": "v2", "at": iso(T0 + 7210)}
    for minute in range(0, 241, 5):
        _keep(store, minute, query("1", minute, minute))
    _keep(store, 121, query("1", 121, 121), mark=mark)
    found = store.query(_only(store), "1", T0, T0 + 14400)
    assert found is not None
    assert T0 + 7260 in found.times
    assert len(found.times) == 50
