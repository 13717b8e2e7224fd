"""Sections that few snapshots bring are there for `diff`, as they last were."""

import os
from pathlib import Path

import pytest

from pgdoctor_lib.collectors.registry import CADENCES_S, query
from pgdoctor_lib.deliver import last, seldom
from pgdoctor_lib.deliver.seldom import Kept
from pgdoctor_lib.report.compare import SECTIONS


def test_each_is_kept_until_a_later_one_comes(tmp_path: Path) -> None:
    spool = str(tmp_path / "spool")
    assert seldom.load(spool, "app") == {}
    assert not os.path.exists(spool)
    odd = '{"a":"\\u00e9\\ud800\ud800"}'
    seldom.keep(spool, "app", {"schema": Kept(1.0, odd), "settings": Kept(1.0, "{}")})
    seldom.keep(spool, "app", {"settings": Kept(2.0, '{"b":1}')})
    seldom.keep(spool, "a/b", {"settings": Kept(3.0, "{}")})
    assert seldom.load(spool, "app") == {
        "schema": Kept(1.0, odd),
        "settings": Kept(2.0, '{"b":1}'),
    }
    assert seldom.load(spool, "a/b") == {"settings": Kept(3.0, "{}")}
    assert os.stat(tmp_path / "spool/seldom").st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damaged", [b"", b"\x1f\x8bnot", b"[]", b'{"a":1}'])
def test_what_is_damaged_is_missing_until_it_is_kept_anew(tmp_path: Path, damaged: bytes) -> None:
    spool = str(tmp_path)
    seldom.keep(spool, "app", {"schema": Kept(1.0, "{}")})
    file = tmp_path / "seldom" / last.file_name("app")
    file.write_bytes(damaged)
    (file.parent / f".{file.name}").write_bytes(b"half")
    assert seldom.load(spool, "app") == {}
    seldom.keep(spool, "app", {"settings": Kept(2.0, "{}")})
    assert seldom.load(spool, "app") == {"settings": Kept(2.0, "{}")}


def test_those_of_databases_that_are_gone_go_in_time(tmp_path: Path) -> None:
    spool = str(tmp_path)
    seldom.forget_old(spool)
    for name in ("gone", "app"):
        seldom.keep(spool, name, {"schema": Kept(1.0, "{}")})
    os.utime(tmp_path / "seldom" / last.file_name("gone"), (0, 0))
    seldom.forget_old(spool)
    assert os.listdir(tmp_path / "seldom") == [last.file_name("app")]


def test_a_folder_that_cannot_be_used_costs_nothing_but_that(tmp_path: Path) -> None:
    (tmp_path / "seldom").write_text("a file")
    seldom.keep(str(tmp_path), "app", {"schema": Kept(1.0, "{}")})
    seldom.forget_old(str(tmp_path))
    assert seldom.load(str(tmp_path), "app") == {}


def test_they_are_what_a_comparison_reads_and_not_each_snapshot_brings() -> None:
    paces = {name: query(name).meta.get("cadence", "cycle") for name in SECTIONS.values()}
    assert {name for name, pace in paces.items() if CADENCES_S[pace]} == seldom.SECTIONS
