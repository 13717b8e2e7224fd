"""A password on the command line, which every user of the machine may read: out of it, into the environment."""

import os
import sys

from pgdoctor_lib import startup
from pgdoctor_lib.config.dsn import without_password
from pgdoctor_lib.errors import ConfigError


def hide_password(dsn: str) -> None:
    """Where `dsn`, an argument of this process, has a `password`: begin anew without it, with it in `PGPASSWORD`.

    The same process goes on (PID, standard streams, exit status) by the same command line, the one argument apart. An
    environment is readable by its own user and root only. What remains is the moment until here: tenths of a second;
    and for good `sslpassword` and `options`, for which libpq has no variable of that kind.
    """
    try:
        parted = without_password(dsn)
    except ConfigError:
        return  # whoever reads it next says what is wrong
    here = (dsn, f"--store={dsn}", f"--to={dsn}")
    if parted and sys.executable and any(each in here for each in sys.orig_argv):
        shown, password = parted
        arguments = [each.replace(dsn, shown) if each in here else each for each in sys.orig_argv[1:]]
        startup.prepare()  # a signal waits until there is somebody again to take it
        os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, "PGPASSWORD": password})  # noqa: S606
