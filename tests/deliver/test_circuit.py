"""Who may try the endpoint, and when, by outcomes and a clock."""

import pytest

from pgdoctor_lib.deliver.circuit import Circuit, Held, may_be_the_snapshot
from pgdoctor_lib.errors import DeliveryError, Refused, Retryable, Unauthorized

NO_ANSWER = Retryable("connection refused")
DOWN = Retryable("503 Service Unavailable", status=503)
BROKEN = Retryable("500 Internal Server Error", status=500)
TOKEN = Unauthorized("401 Unauthorized")
ELSEWHERE = DeliveryError("301 Moved Permanently", detail="redirect to https://x not followed")


class Scene:
    """A circuit whose time is set by hand, and whose dice always show `dice`."""

    def __init__(self, dice: float = 0.0) -> None:
        self.now = 100.0
        self.circuit = Circuit(lambda: self.now, lambda: dice)

    def held(self) -> str:
        """Why a cycle is not let through, or nothing."""
        try:
            self.circuit.admit()
        except Held as error:
            return str(error)
        return ""


@pytest.mark.parametrize("error", [NO_ANSWER, DOWN, Retryable("429", status=429), TOKEN, ELSEWHERE])
def test_what_tells_of_the_endpoint_opens_it_at_once(error: DeliveryError) -> None:
    scene = Scene()
    scene.circuit.failed("a", error)
    assert scene.circuit.is_open
    assert scene.held() == f"{error} (kept; next try in 5 s)"


def test_a_5xx_of_three_snapshots_in_a_row_opens_it() -> None:
    scene = Scene()
    for snapshot_id in ("a", "a", "a", "b", "b"):
        scene.circuit.failed(snapshot_id, BROKEN)
    assert scene.held() == ""
    scene.circuit.delivered()
    for snapshot_id in ("b", "c"):
        scene.circuit.failed(snapshot_id, BROKEN)
    assert scene.held() == ""
    scene.circuit.failed("d", BROKEN)
    assert scene.held() == "500 Internal Server Error (kept; next try in 5 s)"


def test_a_refusal_or_a_wait_without_a_turn_opens_nothing() -> None:
    scene = Scene()
    for snapshot_id in "abcdef":
        scene.circuit.failed(snapshot_id, Refused("404 Not Found"))
        scene.circuit.failed(snapshot_id, Held("no turn"))
    assert (scene.held(), scene.circuit.wait_s) == ("", 0)


def test_pauses_grow_to_a_minute_and_success_ends_them() -> None:
    scene = Scene()
    scene.circuit.failed("a", DOWN)
    pauses = []
    for _ in range(7):
        pauses.append(scene.circuit.wait_s)
        scene.now += pauses[-1]
        assert scene.circuit.wait_s == 0
        scene.circuit.late_failed("a", DOWN)
    assert pauses == [5, 10, 20, 40, 60, 60, 60]
    scene.circuit.delivered()
    assert (scene.held(), scene.circuit.wait_s) == ("", 0)
    scene.circuit.failed("a", DOWN)
    assert scene.circuit.wait_s == 5


def test_a_quarter_of_a_pause_is_chance() -> None:
    scene = Scene(dice=1.0)
    scene.circuit.failed("a", DOWN)
    assert scene.circuit.wait_s == 3.75


def test_cycles_that_still_fail_do_not_make_the_pause_longer() -> None:
    scene = Scene()
    for moment in range(4):
        scene.now = 100.0 + moment
        scene.circuit.failed(str(moment), DOWN)
    assert scene.held() == "503 Service Unavailable (kept; next try in 2 s)"


def test_what_the_endpoint_asks_for_is_given_where_it_is_longer() -> None:
    scene = Scene()
    scene.circuit.failed("a", Retryable("503", status=503, retry_after_s=30))
    assert scene.circuit.wait_s == 30
    scene.now += 30
    scene.circuit.late_failed("a", Retryable("503", status=503, retry_after_s=2))
    assert scene.circuit.wait_s == 10
    scene.circuit.late_failed("a", Retryable("503", status=503, retry_after_s=50))
    scene.circuit.delivered()
    assert scene.held() == "" and scene.circuit.wait_s == 50, "what waits, waits on; fresh ones go"


def test_the_backlog_pauses_itself_but_opens_nothing() -> None:
    scene = Scene()
    scene.circuit.late_failed("a", DOWN)
    assert (scene.held(), scene.circuit.wait_s) == ("", 5)
    scene.circuit.delivered()
    for snapshot_id in "ab":
        scene.circuit.late_failed(snapshot_id, BROKEN)
    assert scene.circuit.wait_s == 0
    scene.circuit.late_failed("c", Refused("404 Not Found"))
    assert (scene.held(), scene.circuit.wait_s) == ("", 5)


def test_a_reason_to_hope_ends_the_pause_but_not_the_doubt() -> None:
    scene = Scene()
    scene.circuit.failed("a", TOKEN)
    scene.circuit.try_now()
    assert scene.circuit.wait_s == 0
    assert scene.held() == "401 Unauthorized (kept; next try in 1 s)"


def test_whose_fault_it_may_be() -> None:
    assert [may_be_the_snapshot(error) for error in (BROKEN, TOKEN, DOWN, NO_ANSWER, ELSEWHERE)] == [True, True] + [
        False
    ] * 3
