"""Where PGDoctor's files lie when nobody says otherwise, on Linux and on macOS."""

import os
import sys
from collections.abc import Mapping

_SHARED = "/tmp"  # noqa: S108 - whoever opens a file there looks at links and owners
_APPLICATION_SUPPORT = "Library/Application Support"


def home(environ: Mapping[str, str]) -> str | None:
    """The user's own folder, or None where there is none to write to (a service's user)."""
    folder = environ.get("HOME") or os.path.expanduser("~")
    return folder if os.path.isabs(folder) and os.access(folder, os.W_OK | os.X_OK) else None


def pid_file(environ: Mapping[str, str], platform: str = sys.platform) -> str:
    """The default PID file."""
    if platform == "darwin":
        return _mac(environ, "pgdoctor.pid")
    return os.path.join(_folder(environ.get("XDG_RUNTIME_DIR")) or _SHARED, "pgdoctor.pid")


def log_file(environ: Mapping[str, str], platform: str = sys.platform) -> str:
    """The default log file of the background daemon."""
    if platform == "darwin":
        return _mac(environ, "pgdoctor.log")
    return os.path.join(_state(environ) or _SHARED, "pgdoctor.log")


def spool(environ: Mapping[str, str], platform: str = sys.platform) -> str:
    """The default folder for undelivered snapshots."""
    kept = _kept(environ, platform)
    # one folder in /tmp, not a folder in one: the last of a path is what the spool checks for links and owners
    return os.path.join(kept, "spool") if kept else f"{_SHARED}/pgdoctor-{os.getuid()}-spool"


def receiver(environ: Mapping[str, str], platform: str = sys.platform) -> str:
    """The default folder for what the receiver keeps."""
    return _kept(environ, platform) or f"{_SHARED}/pgdoctor-{os.getuid()}"


def config_files(environ: Mapping[str, str], platform: str = sys.platform) -> tuple[str, ...]:
    """Where a configuration is looked for, in this order, when none is named."""
    return tuple(filter(None, ("./pgdoctor.yaml", _user_config(environ, platform), "/etc/pgdoctor/config.yaml")))


def _user_config(environ: Mapping[str, str], platform: str) -> str | None:
    folder = environ.get("HOME") or os.path.expanduser("~")
    if platform == "darwin":
        return os.path.join(folder, _APPLICATION_SUPPORT, "pgdoctor/config.yaml")
    base = _folder(environ.get("XDG_CONFIG_HOME")) or os.path.join(folder, ".config")
    return os.path.join(base, "pgdoctor/config.yaml") if os.path.isabs(base) else None


def _mac(environ: Mapping[str, str], name: str) -> str:
    return os.path.join(_mac_folder(environ) or _SHARED, name)


def _mac_folder(environ: Mapping[str, str]) -> str | None:
    folder = home(environ)
    return os.path.join(folder, _APPLICATION_SUPPORT) if folder else None


def _kept(environ: Mapping[str, str], platform: str) -> str | None:
    """The folder of our own for what outlives a run; `$STATE_DIRECTORY` is what systemd made for us."""
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return given
    state = _state(environ) if platform != "darwin" else _mac_folder(environ)
    return os.path.join(state, "pgdoctor") if state else None


def _state(environ: Mapping[str, str]) -> str | None:
    given, folder = _folder(environ.get("XDG_STATE_HOME")), home(environ)
    return given or (os.path.join(folder, ".local/state") if folder else None)


def _folder(given: str | None) -> str | None:
    """An XDG variable's value; the specification has relative ones ignored."""
    return given if given and os.path.isabs(given) else None
