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
    assert [found for found, _ in outcome["literals"]] == [["127.0.0.1"], ["::1"], ["fe80::1%lo"]]
    assert max(took_s for _, took_s in outcome["literals"]) < 0.2
    assert outcome["endpoint_s"] < 1
    assert outcome["first"] == ["192.0.2.1"]
    assert outcome["flaky"] == [["192.0.2.1"]] * 2
    assert [found for found, _ in outcome["again"]] == [["192.0.2.1"]] * 2
    assert outcome["again"][0][1] < 1.5  # a quarter of a second, not the five that a new name would be given
    assert outcome["again"][1][1] < 0.2  # still under way: no wait at all
    assert outcome["new"][0] == ["192.0.2.1"]
    assert outcome["at_once"] < outcome["threads"][0]
    assert outcome["threads"][0] == outcome["threads"][1]
