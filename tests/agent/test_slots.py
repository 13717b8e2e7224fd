"""Slots are the same everywhere, and none is given twice."""

import random
import uuid
from dataclasses import replace

import pytest

from pgdoctor_lib.agent.slots import Slots
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.dsn import Dsn

NOON = 1_750_000_000.0


def target(name: str = "app", dsn: str = "postgres://u@db1/app", interval_s: float = 60.0) -> Target:
    return Target(name, Dsn.parse(dsn, {}), interval_s)


def test_every_daemon_takes_the_same_slot_within_an_interval() -> None:
    first = Slots(target()).take(NOON)
    assert first.start <= NOON < first.start + 60
    for wall in (first.start, first.start + 0.001, first.start + 59.999):
        assert Slots(replace(target(), limit=7, tags=("x",))).take(wall) == first
    assert Slots(target()).take(first.start + 60.001).number == first.number + 1


def test_the_id_is_a_uuid_of_version_7_whose_time_is_the_slots() -> None:
    slot = Slots(target()).take(NOON)
    made = uuid.UUID(slot.snapshot_id)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(slot.start * 1000)


@pytest.mark.parametrize(
    "other",
    [
        target("other"),
        target(dsn="postgres://u@db2/app"),
        target(dsn="postgres://u@db1:5433/app"),
        target(dsn="postgres://u@db1,db2/app"),
        target(dsn="postgres://u@db1/other"),
        target(interval_s=30),
    ],
)
def test_another_source_has_another_id(other: Target) -> None:
    assert Slots(other).take(NOON).snapshot_id[-17:] != Slots(target()).take(NOON).snapshot_id[-17:]


def test_the_id_does_not_hang_on_who_comes_in_or_how() -> None:
    plain, other = target(), target(dsn="postgres://v:not-a-secret@db1/app?sslmode=require")
    assert Slots(other).take(NOON) == Slots(plain).take(NOON)


def test_ids_of_a_year_are_distinct_and_ordered() -> None:
    slots = Slots(target(interval_s=60))
    taken = [slots.take(NOON + 60 * number) for number in range(525_600 // 10)]
    ids = [slot.snapshot_id for slot in taken]
    assert len(set(ids)) == len(ids) and ids == sorted(ids)


def test_a_slot_is_given_once_whatever_the_clock_does() -> None:
    slots, dice = Slots(target()), random.Random(4)
    numbers = [slots.take(NOON + dice.uniform(-90_000, 90_000)).number for _ in range(1000)]
    assert numbers == sorted(set(numbers))


def test_a_clock_that_jumped_back_goes_on_one_by_one_and_one_that_jumped_ahead_skips() -> None:
    slots = Slots(target())
    first = slots.take(NOON).number
    assert [slots.take(NOON - 3600 + 60 * each).number - first for each in (1, 2, 3)] == [1, 2, 3]
    assert slots.take(NOON + 600).number - first == 10


def test_a_sleeper_that_wakes_early_takes_the_slot_that_it_slept_for() -> None:
    slots = Slots(target())
    first = slots.take(NOON)
    early = first.start + 60 - 0.002
    assert slots.take(early).number == first.number + 1
    assert slots.until_next(early) == pytest.approx(60.002, abs=1e-4)
    assert slots.take(first.start + 120 + 0.002).number == first.number + 2


@pytest.mark.parametrize("interval_s", [1.0, 2.5, 60.0, 86_400.0])
def test_the_next_boundary_is_ahead_and_within_an_interval(interval_s: float) -> None:
    slots, dice = Slots(target(interval_s=interval_s)), random.Random(7)
    for wall in [NOON, 0.0, *(dice.uniform(0, 4e9) for _ in range(1000))]:
        wait_s = slots.until_next(wall)
        assert 0 < wait_s <= interval_s + 0.001
    start = Slots(target(interval_s=interval_s)).take(NOON).start
    assert start + interval_s == pytest.approx(NOON + slots.until_next(NOON), abs=1e-3)


def test_a_hundred_databases_are_not_due_at_once() -> None:
    starts = [Slots(target(f"db{number}")).take(NOON).start % 60 // 6 for number in range(100)]
    assert max(starts.count(tenth) for tenth in range(10)) < 25
