"""Installs PGDoctor on each Python 3.10 to 3.13 of this machine, and runs what the scripts beside this file do.

Each interpreter gets a venv of its own, `pip install` of a copy of the checkout, `pgdoctor version`,
`pgdoctor --help`, and a run of every other script in this folder with the venv's Python, from another
folder. Exit status 1 when one failed.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MINORS = (10, 11, 12, 13)


def main() -> int:
    """One line an interpreter."""
    pythons = find_pythons()
    failed = [python for python in pythons.values() if not _passes(python)]
    for minor in MINORS:
        if minor not in pythons:
            print(f"Python 3.{minor}: not on this machine", flush=True)
    return 1 if failed else 0


def find_pythons() -> dict[int, str]:
    """A working interpreter a minor version: from PATH, else from pyenv's folder."""
    found = {}
    for minor in MINORS:
        places = [
            shutil.which(f"python3.{minor}"),
            *map(str, Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")),
        ]
        working = [place for place in places if place and _minor(place) == minor]
        if working:
            found[minor] = working[0]
    return found


def _minor(python: str) -> int | None:
    done = subprocess.run(
        [python, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, text=True, check=False
    )
    return int(done.stdout) if done.returncode == 0 else None


def _passes(python: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="pgdoctor-smoke-") as folder:
        try:
            version = _install_and_run(python, Path(folder))
        except subprocess.CalledProcessError as error:
            print(f"{python}: FAILED: {error}\n{error.stdout}{error.stderr}", flush=True)
            return False
    print(f"{python}: {version}", flush=True)
    return True


def _install_and_run(python: str, folder: Path) -> str:
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "checkout", ignore=ignored)
    _run(python, "-m", "venv", str(folder / "venv"), cwd=folder)
    inside = folder / "venv" / "bin"
    _run(
        str(inside / "python"),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        str(folder / "checkout"),
        cwd=folder,
    )
    _run(str(inside / "pgdoctor"), "--help", cwd=folder)
    for script in sorted(Path(__file__).parent.glob("*.py")):
        if script != Path(__file__).resolve():
            _run(str(inside / "python"), str(script), cwd=folder)
    return _run(str(inside / "pgdoctor"), "version", cwd=folder).strip()


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
