"""The daemon's own process: its PID file, its log, and the `daemon start` that waits for its "ok"."""

import contextlib
import os
import stat
from collections.abc import MutableMapping
from dataclasses import replace

from pgdoctor_lib.agent import logfile, supervisor
from pgdoctor_lib.agent.background import READY_FD, Files
from pgdoctor_lib.agent.output import LogFormat
from pgdoctor_lib.agent.pidfile import AlreadyRunning, PidFile
from pgdoctor_lib.config import Config, Target, load
from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.secret import one_line

_DSN_FILES = ("sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir", "passfile")
_FILE_VARIABLES = ("PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR", "PGPASSFILE")


def run(config_path: str | None, log_format: LogFormat, pid_file: str | None, log_file: str | None) -> int:
    """The daemon, in this process, until a signal ends it; the exit status.

    With a PID file (in the foreground only where one is given) it holds that file's lock; with a log
    file it writes there, once nothing is left that the one who started it should read.
    """
    files = Files.chosen(pid_file, log_file, os.environ)
    starter = Starter.from_environ(os.environ)
    lock: PidFile | None = None
    os.umask(0o077)
    try:
        read = _Reader(config_path, os.getcwd(), leaves_folder=starter.waits)
        config = read()
        if pid_file:
            lock = PidFile.acquire(files.pid)
        if log_file:
            logfile.put_in_place(files.log, config.log)
        status_path = files.status if lock else None
        return supervisor.run(config, log_format=log_format, ready=starter.up, status_path=status_path, load=read)
    except PGDoctorError as error:
        starter.failed(error)
        raise
    finally:
        if lock:
            lock.withdraw()


class Starter:
    """The `daemon start` that waits at the other end of a pipe; in the foreground there is none."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> "Starter":
        """Take the pipe that the environment names, so that no process started from here has it too."""
        number = environ.pop(READY_FD, "")
        with contextlib.suppress(OSError, ValueError, OverflowError):
            fd = int(number)
            if fd > 2 and stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.set_inheritable(fd, False)
                return cls(fd)
        return cls(None)

    @property
    def waits(self) -> bool:
        """Whether there is one that has had no answer yet."""
        return self._fd is not None

    def up(self) -> None:
        """Everything runs."""
        self._answer(f"ok {os.getpid()}")

    def failed(self, error: PGDoctorError) -> None:
        """It will not run."""
        if isinstance(error, AlreadyRunning):
            self._answer(f"running {error.pid}")
        else:
            self._answer(f"failed {error.exit_status} {one_line(str(error), 2000)}")

    def _answer(self, line: str) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):  # the starter was killed meanwhile; the daemon does not need it
                os.write(self._fd, f"{line}\n".encode("utf-8", "backslashreplace"))
            os.close(self._fd)
            self._fd = None


class _Reader:
    """Reads the configuration, at the start and at each reload, as from the folder that the daemon was started in.

    In the background the daemon is at / meanwhile, so that no file system is kept busy, and what libpq would look for
    in the old folder is made absolute.
    """

    def __init__(self, path: str | None, folder: str, *, leaves_folder: bool) -> None:
        self._path = path
        self._folder = folder
        self._leaves_folder = leaves_folder

    def __call__(self) -> Config:
        """The configuration in force from now on; ConfigError, or OSError where the folder has gone."""
        if not self._leaves_folder:
            return load.load(self._path, os.environ)
        os.chdir(self._folder)
        try:
            return _with_absolute_paths(load.load(self._path, os.environ), os.environ)
        finally:
            os.chdir("/")


def _with_absolute_paths(config: Config, environ: MutableMapping[str, str]) -> Config:
    for name in _FILE_VARIABLES:
        if name in environ:
            environ[name] = _absolute(environ[name])
    return replace(config, databases=tuple(_absolute_dsn(target) for target in config.databases))


def _absolute_dsn(target: Target) -> Target:
    params = {key: _absolute(value) if key in _DSN_FILES else value for key, value in target.dsn.params.items()}
    return replace(target, dsn=replace(target.dsn, params=params))


def _absolute(path: str) -> str:
    # "system" is libpq's word for the certificates that the system trusts
    return path if path in ("", "system") else os.path.abspath(path)
