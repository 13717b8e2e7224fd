#!/usr/bin/env python3
"""PGDoctor: `pgdoctor daemon`. Both ways in, the checkout and the console script, come through here, patched."""

import sys

from pgdoctor_lib import startup

startup.prepare()

try:
    from gevent import events, monkey
except ModuleNotFoundError as missing:
    raise SystemExit(f'pgdoctor: {missing.name} is not installed for {sys.executable}; run "pip install ."') from None

# It would ask every installed package for plugins, once for each module that it patches: 50 ms of each start.
events.notify_and_call_entry_points = events.notify
monkey.patch_all()

from gevent.hub import Hub  # noqa: E402
from psycogreen.gevent import patch_psycopg  # noqa: E402

patch_psycopg()
Hub.NOT_ERROR = (*Hub.NOT_ERROR, KeyboardInterrupt)  # Ctrl+C is no error that the hub should print
Hub.threadpool_size = 48  # threads for look-ups, made as they are needed: postgres/resolve.py says how many

from pgdoctor_lib.cli import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
