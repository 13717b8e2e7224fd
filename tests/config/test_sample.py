"""What is made from the table: the sample loads, the documentation is what the table says."""

from pathlib import Path

import pytest

from pgdoctor_lib.config import sample
from pgdoctor_lib.config.load import load
from pgdoctor_lib.config.options import OPTIONS, Scope

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def test_sample_loads(folder: Path) -> None:
    (folder / "c.yaml").write_text(sample.sample(), "utf-8")
    config = load("c.yaml", {"PGDOCTOR_TOKEN": "canary", "HOME": str(folder)})
    assert [target.name for target in config.databases] == ["production"]


def test_sample_uncommented_shows_the_defaults(folder: Path) -> None:
    of_files = ("token_file:", "ca_file:", "cert_file:", "key_file:", "password_file:")
    lines = [line for line in sample.sample().splitlines() if not any(key in line for key in of_files)]
    live = [_uncommented(line) for line in lines]
    (folder / "a.yaml").write_text("\n".join(live), "utf-8")
    (folder / "b.yaml").write_text(sample.sample(), "utf-8")
    environ = {"PGDOCTOR_TOKEN": "canary"}
    [mine], [default] = load("a.yaml", environ).databases, load("b.yaml", environ).databases
    assert (mine.interval_s, mine.limit) == (default.interval_s, default.limit)
    assert load("a.yaml", environ).spool.max_bytes == load("b.yaml", environ).spool.max_bytes


@pytest.mark.parametrize("scope", Scope)
def test_documentation_is_the_table(scope: Scope) -> None:
    assert sample.tables()[scope] in DOCUMENT.read_text("utf-8")


def test_every_option_is_explained() -> None:
    assert all(option.text.endswith(".") and (option.example or option.default) for option in OPTIONS)


def _uncommented(line: str) -> str:
    """A line of code taken in: "# key: value", "#   key: value", "    # key: value  # text"."""
    bare = line.replace("# ", "", 1) if line.lstrip().startswith("#") else line
    key = bare.strip().partition(":")[0]
    return bare if key.replace("_", "").isalpha() and key.islower() else line
