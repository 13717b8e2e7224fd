"""Notices that wait: in their order, across restarts, bounded, whatever the disk says."""

from dataclasses import replace
from pathlib import Path

import pytest

from pgdoctor_lib.clock import SYSTEM
from pgdoctor_lib.deliver import postbox as module
from pgdoctor_lib.deliver.folder import Folder
from pgdoctor_lib.deliver.notices import Notice
from pgdoctor_lib.deliver.postbox import OLD_S, Postbox
from pgdoctor_lib.deliver.spool import _here

AT = 1_800_000_000.0


def notice(number: int) -> Notice:
    return Notice(f"id{number}", f'{{"id":"id{number}","events":["é"]}}')


def opened(path: Path, at: float = AT) -> Postbox:
    return Postbox(Folder(str(path)), replace(SYSTEM, wall=lambda: at), _here)


def taken(box: Postbox) -> list[str]:
    ids = []
    while found := box.oldest():
        ids.append(found.id)
        box.taken()
    return ids


def test_in_their_order_and_after_a_restart(tmp_path: Path) -> None:
    box = opened(tmp_path / "box")
    for number in range(12):
        box.put(notice(number))
    box.keep()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "box").iterdir()} == {0o600}
    assert box.oldest() == notice(0)
    box.taken()
    again = opened(tmp_path / "box", AT + 5)
    again.put(notice(12))
    assert taken(again) == [f"id{number}" for number in range(1, 13)]
    assert (len(again), list((tmp_path / "box").iterdir())) == (0, [])


def test_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    box = opened(tmp_path / "box")
    for number in range(4):
        box.put(notice(number))
    box.keep()
    assert box.given_up == 2
    late = opened(tmp_path / "box", AT + OLD_S + 1)
    late.put(notice(4))
    late.keep()
    assert (taken(late), late.given_up) == (["id4"], 2)


def test_what_the_disk_does_not_take_waits_in_memory(tmp_path: Path) -> None:
    box = opened(tmp_path / "box")
    (tmp_path / "box").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rmdir()
    box.put(notice(0))
    with pytest.raises(OSError, match="No such file"):
        box.keep()
    assert taken(box) == ["id0"]


def test_files_that_are_none(tmp_path: Path) -> None:
    box = opened(tmp_path / "box")
    for name, content in (("1", b"{"), ("2", b"[]"), ("3", b"\xff"), ("4", b'{"id": "good"}')):
        (tmp_path / "box" / f"{AT * 1000:.0f}-{name}.notice.json").write_bytes(content)
    (tmp_path / "box" / "told.json").write_bytes(b"{}")
    box = opened(tmp_path / "box")
    assert len(box) == 4
    assert (taken(box), box.given_up) == (["good"], 3)
    assert [path.name for path in (tmp_path / "box").iterdir()] == ["told.json"]
