"""Installs PGDoctor on each Python 3.10 to 3.13 of this machine, and runs what the scripts beside this file do.

Each interpreter gets a venv of its own, `pip install` of a copy of the checkout, `pgdoctor version`,
`pgdoctor --help`, and a run of every other script in this folder with the venv's Python, from another
folder; the oldest of them a second time with every dependency at its lower bound. Exit status 1 when one failed.
"""

import ast
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MINORS = (10, 11, 12, 13)


def main() -> int:
    """One line an interpreter, and one for the oldest with the lowest versions."""
    pythons = find_pythons()
    failed = [python for python in pythons.values() if not _passes(python)]
    if pythons and not _passes(pythons[min(pythons)], lowest=True):
        failed.append("lowest")
    for minor in MINORS:
        if minor not in pythons:
            print(f"Python 3.{minor}: not on this machine", flush=True)
    return 1 if failed else 0


def requirements() -> list[str]:
    """What setup.py requires, such as "argh>=0.31,<1"."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text("utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "install_requires":
            return list(ast.literal_eval(node.value))
    raise SystemExit("setup.py has no install_requires")


def lowest_versions() -> list[str]:
    """The lower bound of each as pip's constraint: "argh==0.31"."""
    return [re.sub(r"^([\w.-]+)>=([\w.]+),<.*", r"\1==\2", requirement) for requirement in requirements()]


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


def _passes(python: str, *, lowest: bool = False) -> bool:
    which = "lowest" if lowest else "newest"
    with tempfile.TemporaryDirectory(prefix="pgdoctor-smoke-") as folder:
        try:
            version, installed = _install_and_run(python, Path(folder), lowest_versions() if lowest else [])
        except subprocess.CalledProcessError as error:
            print(f"{python}: FAILED with the {which} versions: {error}\n{error.stdout}{error.stderr}", flush=True)
            return False
    print(f"{python}: {version} with the {which} versions: {installed}", flush=True)
    return True


def _install_and_run(python: str, folder: Path, constraints: list[str]) -> tuple[str, str]:
    """What `pgdoctor version` says, and the versions that pip chose."""
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "checkout", ignore=ignored)
    (folder / "constraints.txt").write_text("\n".join(constraints))
    _run(python, "-m", "venv", str(folder / "venv"), cwd=folder)
    inside = folder / "venv" / "bin"
    pip = (str(inside / "python"), "-m", "pip", "--disable-pip-version-check")
    _run(*pip, "install", "-q", "-c", str(folder / "constraints.txt"), str(folder / "checkout"), cwd=folder)
    _run(str(inside / "pgdoctor"), "--help", cwd=folder)
    for script in sorted(Path(__file__).parent.glob("*.py")):
        if script != Path(__file__).resolve():
            _run(str(inside / "python"), str(script), cwd=folder)
    version = _run(str(inside / "pgdoctor"), "version", cwd=folder).strip()
    return version, ", ".join(_direct(_run(*pip, "list", "--format=freeze", cwd=folder)))


def _direct(freeze: str) -> list[str]:
    """The lines of the packages that setup.py names."""
    ours = {re.split(r"[>=<]", requirement)[0].lower() for requirement in requirements()}
    return [line for line in freeze.splitlines() if line.partition("==")[0].lower() in ours]


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
