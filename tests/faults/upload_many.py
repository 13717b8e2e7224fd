"""Run as the product runs, patched: uploads to endpoints that answer badly, many at once. argv: which, how many.

Each has a server of its own here, in greenlets. One JSON line a case: what came of it, and how long it took.
"""

from gevent import monkey

monkey.patch_all()

import contextlib  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import socket  # noqa: E402
import struct  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402
from gevent.pool import Pool  # noqa: E402

from pgdoctor_lib.clock import Clock  # noqa: E402
from pgdoctor_lib.config import Endpoint  # noqa: E402
from pgdoctor_lib.deliver.answers import Receipt  # noqa: E402
from pgdoctor_lib.deliver.parcel import pack  # noqa: E402
from pgdoctor_lib.deliver.upload import Uploader  # noqa: E402
from pgdoctor_lib.errors import DeliveryError  # noqa: E402
from pgdoctor_lib.secret import Secret  # noqa: E402
from pgdoctor_lib.snapshot import Sealed, new_id  # noqa: E402
from tests.deliver.raw import read_request  # noqa: E402
from tests.faults import bad_answers, many  # noqa: E402
from tests.faults.bad_answers import GOOD, TOKEN, BadAnswer  # noqa: E402

AT_ONCE = 30


def main(which: str, count: int) -> None:
    """Every case; the memory before and after at the end."""
    cases = [bad_answers.make(random.Random(number)) for number in range(count)]
    if which == "cut":
        every = range(0, len(GOOD), max(1, len(GOOD) * 2 // count))
        cases = [bad_answers.cut(at, end) for at in every for end in ("close", "reset")]
    pool = Pool(AT_ONCE)
    pool.map(_case, enumerate(cases[:AT_ONCE]))
    before = many.memory_bytes()
    pool.map(_case, enumerate(cases[AT_ONCE:], AT_ONCE))
    print(json.dumps({"grown": many.memory_bytes() - before}))


def _case(numbered: tuple[int, BadAnswer]) -> None:
    number, answer = numbered
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = gevent.spawn(_accept, listener, answer)
        started = time.monotonic()
        told = _outcome(f"http://127.0.0.1:{listener.getsockname()[1]}/api?key=1", number)
        took = time.monotonic() - started
        serving.kill()
    print(json.dumps({"case": number, "took_s": took, **told}), flush=True)


def _outcome(url: str, number: int) -> dict[str, object]:
    uploader = Uploader(Endpoint(url, token=Secret(TOKEN), timeout_s=many.UPLOAD_S), Clock(sleep=lambda _: None))
    parcel = pack(Sealed(new_id(), "production", b'{"snapshot_id": "x"}' * 100))
    said: list[str] = []
    try:
        if number % 10:
            receipt = uploader.post(parcel)
        else:
            receipt = uploader.deliver(parcel, lambda *retry: said.append(retry[3]))
    except DeliveryError as error:
        return {"kind": type(error).__name__, "said": [*said, str(error)]}
    finally:
        uploader.close()
    assert isinstance(receipt, Receipt)
    return {"kind": "Receipt", "said": [*said, *filter(None, (receipt.id, receipt.source_id, receipt.received_at))]}


def _accept(listener: socket.socket, answer: BadAnswer) -> None:
    while True:
        connection, _ = listener.accept()
        gevent.spawn(_serve, connection, answer)


def _serve(connection: socket.socket, answer: BadAnswer) -> None:
    connection.settimeout(10)
    with connection, contextlib.suppress(OSError, ValueError):
        while read_request(connection)[0]:
            for piece in answer.pieces:
                connection.sendall(piece)
                gevent.sleep(answer.pause_s)
            if answer.end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if answer.end == "half":
                connection.shutdown(socket.SHUT_WR)
            if answer.end in ("close", "reset"):
                return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
