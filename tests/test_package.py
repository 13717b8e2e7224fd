"""What pip builds and installs is all of PGDoctor, and says so."""

import re
import zipfile
from pathlib import Path

from pgdoctor_lib import __version__
from tests.fix_daemon import ROOT, Cli
from tests.smoke.run import lowest_versions

SHIPPED = {".py", ".sql", ".md", ".html", ".css", ".js", ".svg", ".json", ".yaml"}


def test_the_wheel_holds_every_file_of_the_tree(wheel: Path) -> None:
    paths = [path for path in (ROOT / "pgdoctor_lib").rglob("*") if path.suffix in SHIPPED]
    wanted = {str(path.relative_to(ROOT)) for path in paths} | {"pgdoctor.py"}
    with zipfile.ZipFile(wheel) as archive:
        assert wanted - set(archive.namelist()) == set()


def test_every_suffix_of_the_tree_is_known_here() -> None:
    files = [path for path in (ROOT / "pgdoctor_lib").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in files} <= SHIPPED


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "pgdoctor_lib").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_wheel_holds_no_tests_and_carries_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "pgdoctor.py",
        "pgdoctor_lib",
        f"pgdoctor-{__version__}.dist-info",
    }
    assert any(name.endswith("LICENSE") for name in names)


def test_every_dependency_has_a_lower_and_an_upper_bound(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"pgdoctor-{__version__}.dist-info/METADATA").decode()
    required = re.findall(r"^Requires-Dist: ([^;\n]+)", metadata, re.MULTILINE)
    assert len(required) > 10
    unbounded = [each for each in required if not (">=" in each and re.search(r"<[0-9]", each))]
    assert unbounded == []


def test_the_lowest_versions_are_those_of_the_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"pgdoctor-{__version__}.dist-info/METADATA").decode()
    required = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*>=([\w.]+)[^;\n]*$", metadata, re.MULTILINE)
    assert sorted(lowest_versions()) == sorted(f"{name}=={version}" for name, version in required)


def test_the_changelog_begins_with_this_version() -> None:
    [heading, *_] = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert __version__ in heading


def test_both_ways_in_say_the_version(each_cli: Cli) -> None:
    done = each_cli.run("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout
