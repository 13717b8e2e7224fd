#!/usr/bin/env python3
"""PGDoctor: `pgdoctor daemon`. Both ways in, the checkout and the console script, come through here, patched."""

from gevent import monkey

monkey.patch_all()

from psycogreen.gevent import patch_psycopg  # noqa: E402

patch_psycopg()

from pgdoctor_lib.cli import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
