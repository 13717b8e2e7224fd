"""What is gathered for a notice. That notices arrive is tested with the daemon, in tests/e2e/test_notify.py."""

import json
from dataclasses import replace
from pathlib import Path

from pgdoctor_lib.agent.notifier import NAME, Notifier
from pgdoctor_lib.agent.told import unreachable
from pgdoctor_lib.clock import SYSTEM
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.config.notify import Channel
from pgdoctor_lib.finding import Severity


def test_one_notice_says_one_thing_of_a_finding(tmp_path: Path) -> None:
    target = Target("app", Dsn.parse("host=db1 dbname=app", {}))
    failed = unreachable(target, "no answer", SYSTEM.wall())
    notifier = Notifier(str(tmp_path), SYSTEM, lambda *_, **__: None, lambda _: None)
    notifier.follow([Channel("webhook", "ops")])
    for finding in (replace(failed, severity=Severity.WARNING), failed, replace(failed, key="else"), failed):
        notifier.hear_failure(target, finding)
    notifier.close()
    [notice] = [json.loads(path.read_text()) for path in (tmp_path / NAME / "webhook.ops").glob("*.notice.json")]
    told = [(event["event"], event["finding"]["severity"], event["dedup_key"]) for event in notice["events"]]
    assert told == [("open", "critical", "pgdoctor/db1:5432/app/unreachable")]
