"""`config init`, `show` and `path` in real processes."""

import json
import re
import stat
from pathlib import Path

from tests.fix_daemon import Cli

DSN = "postgres://u:canary-word@h/d?options=-c%20my.token%3Dcanary-option"
FILE = f'endpoint: https://e/\ntoken: "canary-token"\ndatabases:\n  - {{name: a, dsn: "{DSN}"}}\n'


def test_init(cli: Cli) -> None:
    done = cli.run("config", "init")
    assert (done.returncode, done.stdout, done.stderr) == (0, "pgdoctor.yaml\n", "")
    assert stat.S_IMODE((cli.cwd / "pgdoctor.yaml").stat().st_mode) == 0o600
    again = cli.run("config", "init")
    assert (again.returncode, again.stderr) == (
        2,
        "pgdoctor: pgdoctor.yaml: exists already; name another file, or remove it\n",
    )
    assert cli.run("config", "show", env={"PGDOCTOR_TOKEN": "canary"}).returncode == 0


def test_init_elsewhere(cli: Cli) -> None:
    assert cli.run("config", "init", "other.yaml").stdout == "other.yaml\n"
    done = cli.run("config", "init", "no/such/folder.yaml")
    assert (done.returncode, done.stderr) == (
        2,
        "pgdoctor: no/such/folder.yaml: cannot be written: No such file or directory\n",
    )
    (cli.cwd / "link.yaml").symlink_to("target.yaml")
    assert cli.run("config", "init", "link.yaml").returncode == 2
    assert not (cli.cwd / "target.yaml").exists()


def test_show(cli: Cli) -> None:
    (cli.cwd / "pgdoctor.yaml").write_text(FILE)
    done = cli.run("config", "show")
    assert "# from ./pgdoctor.yaml\n" in done.stdout
    assert 'dsn: "postgresql://u:***@h:5432/d?options=***"' in done.stdout
    shown = json.loads(cli.run("config", "show", "--json").stdout)
    assert (shown["mode"], shown["databases"][0]["name"]["origin"]) == ("multi", "pgdoctor.yaml:4")
    assert "canary" not in done.stdout + json.dumps(shown)


def test_show_a_bad_file(cli: Cli) -> None:
    (cli.cwd / "pgdoctor.yaml").write_text(FILE + "    intervall: 5\n")
    done = cli.run("config", "show", "--debug")
    assert done.returncode == 2
    assert "canary" not in done.stdout + done.stderr


def test_path(cli: Cli) -> None:
    lines = cli.run("config", "path").stdout.splitlines()
    assert lines[0] == "  ./pgdoctor.yaml"
    assert lines[-1].startswith("none of these is there")
    assert cli.run("config", "path", env={"PGDOCTOR_DSN": "x"}).stdout.splitlines()[-1].startswith("* the environment")
    (cli.cwd / "pgdoctor.yaml").write_text(FILE)
    assert cli.run("config", "path").stdout.splitlines()[0] == "* ./pgdoctor.yaml"
    assert cli.run("config", "path", "--config", "pgdoctor.yaml").stdout == "* pgdoctor.yaml\n"


def test_path_tells_what_would_be_refused(cli: Cli) -> None:
    path = cli.cwd / "pgdoctor.yaml"
    path.write_text(FILE)
    path.chmod(0o666)
    done = cli.run("config", "path")
    assert (done.returncode, done.stderr) == (2, "")
    assert re.fullmatch(r"✗ \./pgdoctor\.yaml: refused: can be changed by .*chmod go-w .*", done.stdout.splitlines()[0])
    assert all(line.startswith("  /") for line in done.stdout.splitlines()[1:])
    named = cli.run("config", "path", "--config", "pgdoctor.yaml")
    assert (named.returncode, named.stdout) == (0, "* pgdoctor.yaml\n")
    path.unlink()
    path.mkdir()
    assert cli.run("config", "path").stdout.startswith("✗ ./pgdoctor.yaml: refused: cannot be read: Is a directory\n")


def test_path_named_but_missing(cli: Cli, tmp_path: Path) -> None:
    done = cli.run("config", "path", env={"PGDOCTOR_CONFIG": "/no/such"})
    assert (done.returncode, done.stdout) == (2, "  /no/such\n")
    assert done.stderr == 'pgdoctor: PGDOCTOR_CONFIG: /no/such: no such file; "pgdoctor config init" makes one\n'
    named = cli.run("config", "path", "--config", "nope.yaml")
    assert (named.returncode, named.stderr) == (
        2,
        'pgdoctor: --config: nope.yaml: no such file; "pgdoctor config init" makes one\n',
    )


def test_show_refuses_what_every_start_refuses(cli: Cli) -> None:
    path = cli.cwd / "pgdoctor.yaml"
    path.touch(0o600)
    path.write_text("databases:\n  - {name: a, dsn: host=h}\n  - {name: a, dsn: host=h}\n")
    done = cli.run("config", "show")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pgdoctor: pgdoctor.yaml:3: databases[1].name: given before at pgdoctor.yaml:2\n"
