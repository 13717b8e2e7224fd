"""Marks on disk: bounded, apart for every database, read by the daemon when they changed."""

from pathlib import Path

import pytest

from pgdoctor_lib.agent.marks import MOST, Marks, checked_label, folder_name
from pgdoctor_lib.errors import SpoolError, UsageError
from pgdoctor_lib.snapshot import Mark

HOSTILE = ["../../etc", "a/b", "", ".", "x" * 5000, "a\0b", "ä\ud800"]


def test_the_oldest_go(tmp_path: Path) -> None:
    marks = Marks(str(tmp_path / "spool"), "app")
    assert (marks.latest(), marks.all()) == (None, [])
    for number in range(MOST + 3):
        marks.keep(Mark(f"v{number}", float(number)), f"body {number}".encode())
        assert marks.latest() == Mark(f"v{number}", float(number))
    assert [mark.label for mark in marks.all()] == [f"v{number}" for number in range(3, MOST + 3)]
    assert marks.snapshot(marks.all()[0]) == b"body 3"
    with pytest.raises(SpoolError):
        marks.snapshot(Mark("v0", 0.0))
    assert len(list((tmp_path / "spool/marks" / folder_name("app")).iterdir())) == MOST + 1
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def test_names_do_not_meet(tmp_path: Path) -> None:
    for number, name in enumerate(HOSTILE):
        Marks(str(tmp_path / "spool"), name).keep(Mark(str(number), 1.0), b"{}")
    for number, name in enumerate(HOSTILE):
        assert Marks(str(tmp_path / "spool"), name).latest() == Mark(str(number), 1.0)
    assert [each.name for each in tmp_path.iterdir()] == ["spool"]


def test_what_cannot_be_read_is_no_mark_to_the_daemon(tmp_path: Path) -> None:
    marks = Marks(str(tmp_path / "spool"), "app")
    marks.keep(Mark("v1", 1.0), b"{}")
    index = tmp_path / "spool/marks" / folder_name("app") / "index.json"
    index.write_text("[{}]")
    assert marks.latest() is None
    with pytest.raises(SpoolError):
        marks.all()
    index.unlink()
    assert marks.latest() is None


def test_one_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    marks = Marks(str(tmp_path / "spool"), "app")
    marks.keep(Mark("v1", 1.0), b"{}")
    (tmp_path / "spool/marks" / folder_name("app") / ".index.json").write_text("[")
    marks.keep(Mark("v2", 2.0), b"{}")
    assert marks.latest() == Mark("v2", 2.0)


def test_labels() -> None:
    assert checked_label(" v1.2 ") == "v1.2"
    for label in ("", "  ", "a\nb", "\x1b[31m", "x" * 101):
        with pytest.raises(UsageError):
            checked_label(label)
