"""Answers of an endpoint by the thousand: a receipt or one line, in time, without the token."""

import random
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.config import Endpoint
from pgdoctor_lib.deliver.parcel import pack
from pgdoctor_lib.deliver.upload import Uploader
from pgdoctor_lib.errors import Retryable
from pgdoctor_lib.secret import Secret
from pgdoctor_lib.snapshot import Sealed, new_id
from tests.deliver.raw import raw_server, read_request
from tests.faults import many
from tests.faults.bad_answers import GOOD, TOKEN, make
from tests.faults.garble import is_line
from tests.fix_daemon import Cli
from tests.postgres.server import Server
from tests.waiting import wait_for

Amount = Callable[[int, int], int]
Figure = Callable[[str, str], None]

MEMORY_BYTES = 64 * 1024**2
FAMILY = {"Receipt", "DeliveryError", "Retryable", "Refused", "Unauthorized"}


def _examine(lines: list[dict[str, Any]]) -> str:
    """Every outcome is one of ours, in time, fit to print; the figure."""
    *cases, memory = lines
    slowest = max(case["took_s"] / (4 if len(case["said"]) > 1 else 1) for case in cases)
    said = [text for case in cases for text in case["said"]]
    kinds = Counter(case["kind"] for case in cases)
    assert kinds.keys() <= FAMILY
    assert [text for text in said if not is_line(text) or len(text) > 600] == []
    assert [text for text in said if TOKEN in text] == []
    assert slowest < many.UPLOAD_S * 10
    assert memory["grown"] < MEMORY_BYTES
    outcome = f"{kinds['Receipt']} receipts, {len(cases) - kinds['Receipt']} errors of one line, 0 other exceptions"
    time = f"{slowest:.1f} s at most (deadline {many.UPLOAD_S:g} s), memory +{memory['grown'] // 1024**2} MiB"
    return f"{len(cases)} tried: {outcome}, 0 tokens shown; {time}"


def test_answers_of_any_kind(amount: Amount, figure: Figure) -> None:
    count = amount(90, 5000)
    figure("Endpoint's answers", _examine(many.outcomes("upload_many", "random", count, limit_s=60 + count / 5)))


def test_a_good_answer_cut_at_every_byte(amount: Amount, figure: Figure) -> None:
    lines = many.outcomes("upload_many", "cut", amount(40, len(GOOD) * 2), limit_s=120)
    assert {case["kind"] for case in lines[:-1]} <= {"Receipt", "Retryable"}
    figure("Endpoint's answer closed and reset at each byte", _examine(lines))


@pytest.mark.long
def test_the_daemon_outlives_them(cli: Cli, newest_server: Server, amount: Amount, figure: Figure) -> None:
    """One database, an interval of a second, an endpoint that answers anything: it lives, and says so in lines."""
    database = newest_server.new_database()
    wanted, numbers = amount(2, 60), iter(range(10_000, 99_999))
    answered: list[int] = []

    def answer(connection: socket.socket, number: int) -> None:
        while read_request(connection)[0]:
            answered.append(next(numbers))
            bad = make(random.Random(answered[-1]))
            connection.sendall(b"".join(bad.pieces))
            if bad.end != "hold":
                return

    with raw_server(answer) as url:
        environment = {"PGDOCTOR_DSN": database.dsn, "PGDOCTOR_ENDPOINT": f"{url}/x", "PGDOCTOR_TOKEN": TOKEN}
        daemon = cli.start("daemon", env={**environment, "PGDOCTOR_INTERVAL": "1"})
        wait_for(lambda: len(answered) > wanted * 3 or daemon.process.poll() is not None, "requests", 300)
        daemon.send()
        daemon.send()
        done = daemon.finish(60)
    database.drop()
    assert done.returncode == 0, done
    assert "Traceback" not in done.stdout + done.stderr
    assert "internal error" not in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert all(is_line(line) for line in done.stdout.splitlines() if line)
    figure(
        "The daemon before such an endpoint", f"{len(done.stdout.splitlines())} lines, 0 tracebacks, 0 tokens, exit 0"
    )


def test_lengths_that_disagree_are_no_word_about_the_url() -> None:
    """They were told as "the endpoint's URL cannot be used", and not tried again."""

    def answer(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}")

    with raw_server(answer) as url:
        uploader = Uploader(Endpoint(url, token=Secret(TOKEN)))
        with pytest.raises(Retryable, match="^not an HTTP answer$"):
            uploader.post(pack(Sealed(new_id(), "production", b"{}")))
        uploader.close()
