"""Another user, in processes of its own: what it plants in a shared folder nobody takes for a configuration."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_daemon import Cli

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("runuser"), reason="only root can be another user"
)
PLANTED = "endpoint: http://localhost:1/\ntoken: evil\ndatabases: [{name: evil, dsn: dbname=evil}]\n"


def as_nobody(script: str, folder: Path) -> None:
    user = pwd.getpwuid(65534).pw_name
    subprocess.run(["runuser", "-u", user, "--", "sh", "-c", script], cwd=folder, check=True)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder such as /tmp, which another user can reach."""
    folder = Path(f"/tmp/pgdoctor-shared-{os.getpid()}")
    folder.mkdir()
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "script",
    [
        "cat > pgdoctor.yaml",
        "umask 0; cat > theirs; ln -s theirs pgdoctor.yaml",
        "ln -s /etc/hostname pgdoctor.yaml",
    ],
)
@pytest.mark.parametrize("command", ["daemon", "snapshot", "upload", "config show"])
def test_planted_in_a_shared_folder(shared: Path, cli: Cli, script: str, command: str) -> None:
    as_nobody(f"printf '%s' '{PLANTED}' | ({script})", shared)
    done = cli.run(*command.split(), cwd=shared)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pgdoctor: pgdoctor.yaml: belongs to another user")
    assert "evil" not in done.stderr
    shown = cli.run("config", "path", cwd=shared)
    assert (shown.returncode, shown.stderr) == (2, "")
    assert shown.stdout.splitlines()[0].startswith("✗ ./pgdoctor.yaml: refused: belongs to another user")


def test_exchanged_in_a_folder_of_another_user(shared: Path, cli: Cli) -> None:
    as_nobody("mkdir own", shared)
    folder = shared / "own"
    (folder / "pgdoctor.yaml").write_text(PLANTED)
    done = cli.run("config", "show", cwd=folder)
    assert done.returncode == 2
    assert "a folder of another user" in done.stderr
    assert cli.run("config", "show", "--config", "./pgdoctor.yaml", cwd=folder).returncode == 0
