"""Look-ups while the resolver is slow: who waits, and who does not."""

import json
import os
import subprocess
import sys

from tests.fix_daemon import ROOT


def test_a_slow_resolver_holds_up_only_those_who_need_it() -> None:
    command = [sys.executable, str(ROOT / "tests/postgres_lib/slow_names.py")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["slow"] == "the look-up of host name db0.slow took longer than 0.3 s"
    assert outcome["literals"] == [["127.0.0.1"], ["::1"], ["fe80::1%lo"]]
    assert outcome["first"] == ["192.0.2.1"]
    assert outcome["flaky"] == [["192.0.2.1"]] * 2
    *found, took_s = outcome["again"]
    assert found == [["192.0.2.1"]] * 2
    assert took_s < 30  # a quarter of a second once, not each of the 200 times, nor the minute of a new name
    assert outcome["new"][0] == ["192.0.2.1"]
    assert outcome["at_once"] < outcome["threads"][0]
    assert outcome["threads"][0] == outcome["threads"][1]
