"""A home in which a daemon runs whose database and endpoint are down, and what to look at there."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.fix_daemon import Cli

CONFIG = """\
endpoint: http://127.0.0.1:1/api/snapshots
token: not-a-real-token
databases:
  - name: down
    dsn: postgres://monitor:canary-password@127.0.0.1:1/app
"""


@pytest.fixture
def here(cli: Cli) -> Cli:
    """A command line in a folder with a ./pgdoctor.yaml, whose database and endpoint are down."""
    configure(cli)
    return cli


def configure(cli: Cli, text: str = CONFIG) -> None:
    path = cli.cwd / "pgdoctor.yaml"
    path.write_text(text)
    path.chmod(0o600)


def pid_file(cli: Cli) -> Path:
    return cli.runtime / "pgdoctor.pid"


def log(cli: Cli) -> Path:
    return cli.state / "pgdoctor.log"


def pid(cli: Cli) -> int:
    return int(pid_file(cli).read_text())


def check(done: "subprocess.CompletedProcess[str]", code: int, output: str = "", error: str = "") -> re.Match[str]:
    assert done.returncode == code, done
    assert re.fullmatch(error, done.stderr), done
    match = re.fullmatch(output, done.stdout)
    assert match, done
    return match
