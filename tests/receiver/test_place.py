"""Where the receiver's files lie."""

import os
from pathlib import Path

import pytest

from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.receiver.place import state_folder
from tests.fix_daemon import Cli


def test_it_starts_without_a_home(cli: Cli) -> None:
    missing = {"HOME": str(cli.home / "missing"), "XDG_STATE_HOME": None, "STATE_DIRECTORY": str(cli.home / "given")}
    running = cli.start("serve", "--port", "0", env=missing)
    running.wait_for_line(r"^Receiver listening on ")
    assert {path.name for path in (cli.home / "given").iterdir()} >= {"serve.db", "serve.token"}


def test_it_is_made_for_its_user_alone(tmp_path: Path) -> None:
    folder = state_folder({"XDG_STATE_HOME": str(tmp_path)})
    assert folder == str(tmp_path / "pgdoctor")
    assert oct(os.stat(folder).st_mode & 0o777) == "0o700"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "pgdoctor"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with pytest.raises(PGDoctorError, match="belongs to another user"):
        state_folder({"XDG_STATE_HOME": str(tmp_path)})
    theirs.rmdir()
    theirs.symlink_to(tmp_path)
    os.chown(theirs, 65534, 65534, follow_symlinks=False)
    with pytest.raises(PGDoctorError, match="belongs to another user"):
        state_folder({"XDG_STATE_HOME": str(tmp_path)})
