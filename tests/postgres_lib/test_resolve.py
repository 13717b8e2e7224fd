"""Look-ups while the resolver is slow: who waits, and who does not."""

import json
import os
import subprocess
import sys
from collections import Counter

from tests.fix_daemon import ROOT


def test_a_slow_resolver_holds_up_only_those_who_need_it() -> None:
    command = [sys.executable, str(ROOT / "tests/postgres_lib/slow_names.py")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["slow"] == "the look-up of host name db0.slow took longer than 0.3 s"
    assert [found for found, _ in outcome["literals"]] == [["127.0.0.1"], ["::1"], ["fe80::1%lo"]]
    assert max(took_s for _, took_s in outcome["literals"]) < 0.2
    assert outcome["endpoint_s"] < 1
    assert outcome["first"] == outcome["again"] == ["192.0.2.1"]
    assert outcome["flaky"] == [["192.0.2.1"]] * 2
    slow = Counter(name for name in outcome["asked"] if name.endswith(".slow"))
    assert len(slow) == sum(slow.values()) == 6
