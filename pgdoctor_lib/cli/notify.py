"""`notify test`: whether each channel takes what it would be told."""

import os
import socket

from argh import arg

from pgdoctor_lib.errors import DeliveryError, UsageError
from pgdoctor_lib.secret import one_line


@arg("channel", nargs="?", help="one channel of notify, by its name; all of them unless given")
def test(channel: str | None = None, *, config: str | None = None) -> int:
    """Send each channel a test notice now, and say what came of it. PagerDuty gets an incident that ends at once."""
    from pgdoctor_lib import __version__
    from pgdoctor_lib.clock import SYSTEM
    from pgdoctor_lib.config import load
    from pgdoctor_lib.deliver.channels import send
    from pgdoctor_lib.deliver.notices import ended, notices, trial
    from pgdoctor_lib.snapshot import Agent

    channels = load.load(config, os.environ, need_endpoint=False).notify
    if not channels:
        raise UsageError("no channel is configured", hint="notify, in the configuration, names who is told")
    wanted = [each for each in channels if channel in (None, each.name)]
    if not wanted:
        names = ", ".join(each.name for each in channels)
        raise UsageError(f"no channel is called {one_line(str(channel), 100)}", hint=f"there is {names}")
    agent, failed = Agent(__version__, socket.gethostname(), os.getpid()), False
    for each in wanted:
        event = trial(agent, SYSTEM.wall())
        events = [event, ended(event)] if each.form == "pagerduty" else [event]
        try:
            said = [send(each, notice, SYSTEM.wall()) for notice in notices(each.form, events, agent, SYSTEM.wall())]
            print(f"✓ {each.name}: {said[0]}")
        except DeliveryError as error:
            failed = True
            print(f"✗ {each.name}: {one_line(str(error))}")
    return 1 if failed else 0
