"""Run as the product runs, patched by gevent: deliver once to argv[1] within argv[2] seconds, tell it as JSON.

A second greenlet measures how long the hub stood still; descriptors are counted before and after.
"""

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402

from pgdoctor_lib.config import Endpoint  # noqa: E402
from pgdoctor_lib.deliver.parcel import pack  # noqa: E402
from pgdoctor_lib.deliver.upload import Uploader  # noqa: E402
from pgdoctor_lib.errors import PGDoctorError  # noqa: E402
from pgdoctor_lib.secret import Secret  # noqa: E402
from pgdoctor_lib.snapshot import Sealed, new_id  # noqa: E402


def main(url: str, timeout_s: float) -> None:
    """Post until the outcome is known, in one exchange; five of them at once."""
    uploader = Uploader(Endpoint(url, token=Secret("CANARY-token-0123456789"), timeout_s=timeout_s))
    gaps: list[float] = []
    watcher = gevent.spawn(watch, gaps)
    gevent.sleep(0.05)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    started = time.monotonic()
    jobs = [gevent.spawn(outcome, uploader) for _ in range(5)]
    gevent.joinall(jobs)
    took = time.monotonic() - started
    watcher.kill()
    uploader.close()
    gc.collect()
    after = len(os.listdir("/proc/self/fd")) if before else 0
    told = {"outcomes": [job.value for job in jobs], "took_s": took, "gap_s": max(gaps), "leaked": after - before}
    print(json.dumps(told))


def outcome(uploader: Uploader) -> str:
    """The receipt's id, or the error: its family and text."""
    try:
        return str(uploader.post(pack(Sealed(new_id(), "production", b'{"snapshot_id": "x"}' * 1000))).id)
    except PGDoctorError as error:
        return f"{type(error).__name__}: {error}"


def watch(gaps: list[float]) -> None:
    """How late a greenlet that sleeps 10 ms wakes."""
    while True:
        asleep = time.monotonic()
        gevent.sleep(0.01)
        gaps.append(time.monotonic() - asleep - 0.01)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
