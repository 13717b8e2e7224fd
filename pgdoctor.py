#!/usr/bin/env python3
"""PGDoctor: `pgdoctor daemon`. Both ways in, the checkout and the console script, come through here, patched."""

from pgdoctor_lib import startup

startup.prepare()

from gevent import monkey  # noqa: E402

monkey.patch_all()

from gevent.hub import Hub  # noqa: E402
from psycogreen.gevent import patch_psycopg  # noqa: E402

patch_psycopg()
Hub.NOT_ERROR = (*Hub.NOT_ERROR, KeyboardInterrupt)  # Ctrl+C is no error that the hub should print

from pgdoctor_lib.cli import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
