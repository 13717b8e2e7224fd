"""Where passwords come from, which databases are watched, and what may be taken: the newer keys."""

from pathlib import Path

import pytest

from pgdoctor_lib.config import Config, Target, listing
from pgdoctor_lib.config.dsn import Command, PasswordSource
from pgdoctor_lib.config.load import load, read
from pgdoctor_lib.config.values import Discover
from pgdoctor_lib.errors import ConfigError

TOP = "endpoint: https://e/\ntoken: abc\n"
COMMAND = "must be a command: a list of strings, or one string"
DISCOVER = "must be true, false, or a mapping with include and exclude, each a list of patterns"
BUDGET = "must be a percentage from 0.1% to 100%"
SINGLE = {"PGDOCTOR_DSN": "dbname=app", "PGDOCTOR_ENDPOINT": "https://e/", "PGDOCTOR_TOKEN": "t"}


def loaded(folder: Path, *lines: str, top: str = "", dsn: str = "host=h dbname=a", **environ: str) -> Config:
    rows = "".join(f"    {line}\n" for line in lines)
    (folder / "c.yaml").write_text(f"{TOP}{top}databases:\n  - name: a\n    dsn: {dsn}\n{rows}")
    return load("c.yaml", {"HOME": str(folder), **environ})


def target(folder: Path, *lines: str, **environ: str) -> Target:
    return loaded(folder, *lines, **environ).databases[0]


def refused(folder: Path, *lines: str, **given: str) -> str:
    with pytest.raises(ConfigError) as raised:
        loaded(folder, *lines, **given)
    assert "canary" not in str(raised.value)
    return str(raised.value)


def test_defaults(folder: Path) -> None:
    config = loaded(folder)
    [a] = config.databases
    assert (a.explain, a.discover, a.dsn.password_from) == (False, None, None)
    assert (config.budget, config.concurrency) == (0.01, 10)


def test_a_password_file_need_not_be_there_yet(folder: Path) -> None:
    a = target(folder, "password_file: secrets/pw")
    assert a.dsn.password_from == PasswordSource(file=str(folder / "secrets/pw"))
    assert target(folder, "password_file: ~/pw").dsn.password_from == PasswordSource(file=str(folder / "pw"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("pass show db", ("pass", "show", "db")),
        ("\"vault read 'a b' -x=$$1\"", ("vault", "read", "a b", "-x=$1")),
        ('[vault, "two words", "", "55x"]', ("vault", "two words", "", "55x")),
        ('["/bin/x", "${WHO}"]', ("/bin/x", "me; you")),
        ('"ask ${WHO:-x}"', ("ask", "me;", "you")),
    ],
)
def test_a_password_command(folder: Path, value: str, words: tuple[str, ...]) -> None:
    a = target(folder, f"password_command: {value}", WHO="me; you")
    assert a.dsn.password_from == PasswordSource(command=Command(words))
    assert words[-1] not in repr(a)


def test_a_program_lies_where_paths_begin(folder: Path) -> None:
    for value, path in (("./ask me", folder / "ask"), ("[~/ask, me]", folder / "ask"), ("bin/ask me", "bin/ask")):
        source = target(folder, f"password_command: {value}").dsn.password_from
        assert source and source.command == Command((str(folder / path), "me"))


@pytest.mark.parametrize("value", ["[]", "[[a]]", "{a: b}", '["", canary]', '"canary \\0x"', '["a", "\\0"]'])
def test_what_is_no_command(folder: Path, value: str) -> None:
    assert refused(folder, f"password_command: {value}").startswith("c.yaml:")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("[canary, 5]", "must hold strings only; quote the others"),
        ("5", "must be a string; quote it"),
        ("{a: canary}", COMMAND),
        ('"canary \'x"', "has a quote that is not closed, or ends in a backslash"),
        ('" "', "is empty"),
    ],
)
def test_why_it_is_no_command(folder: Path, value: str, why: str) -> None:
    assert refused(folder, f"password_command: {value}") == f"c.yaml:6: databases[0].password_command: {why}"


def test_a_password_comes_from_one_place(folder: Path) -> None:
    both = refused(folder, "password_file: f", "password_command: c")
    assert both == "c.yaml:6: databases[0].password_file: password_command is given as well; keep one of them"
    for dsn in ("postgres://u:canary@h/d", "host=h password=canary"):
        for key in ("password_file", "password_command"):
            assert refused(folder, f"{key}: x", dsn=dsn) == (
                f"c.yaml:6: databases[0].{key}: the DSN, or its service, has a password as well; keep one of them"
            )
    (folder / "services").write_text("[s]\nhost=h\npassword=canary\n")
    services = {"PGSERVICEFILE": str(folder / "services")}
    assert "or its service" in refused(folder, "password_file: x", dsn="service=s", **services)


def test_in_the_environment(folder: Path) -> None:
    [a] = load(None, {**SINGLE, "PGDOCTOR_PASSWORD_FILE": "pw"}).databases
    assert a.dsn.password_from == PasswordSource(file=str(folder / "pw"))
    [a] = load(None, {**SINGLE, "PGDOCTOR_PASSWORD_COMMAND": "ask 'the vault'"}).databases
    assert a.dsn.password_from == PasswordSource(command=Command(("ask", "the vault")))
    with pytest.raises(ConfigError, match=r"^PGDOCTOR_PASSWORD_FILE: password_command is given as well; keep one"):
        load(None, {**SINGLE, "PGDOCTOR_PASSWORD_FILE": "pw", "PGDOCTOR_PASSWORD_COMMAND": "ask"})
    with pytest.raises(ConfigError, match=r"^PGDOCTOR_PASSWORD_FILE: the DSN, or its service, has a password as well"):
        load(None, {**SINGLE, "PGDOCTOR_DSN": "password=canary", "PGDOCTOR_PASSWORD_FILE": "pw"})


def test_a_file_s_databases_do_not_share_the_variable_of_one(folder: Path) -> None:
    assert target(folder, PGDOCTOR_PASSWORD_FILE="pw", PGDOCTOR_PASSWORD_COMMAND="x").dsn.password_from is None


@pytest.mark.parametrize(
    ("value", "discover"),
    [
        ("true", Discover()),
        ("false", None),
        ("{include: [app_*, 'b?']}", Discover(("app_*", "b?"))),
        ("{exclude: [postgres, '*_old']}", Discover(("*",), ("postgres", "*_old"))),
        ("{include: 2024, exclude: [no]}", Discover(("2024",), ("no",))),
    ],
)
def test_discover(folder: Path, value: str, discover: Discover | None) -> None:
    assert target(folder, f"discover: {value}").discover == discover


@pytest.mark.parametrize(
    "value",
    ["yes", "1", "[app]", "{}", "{include: []}", "{include: [a], exclud: [b]}", "{include: {a: b}}", "{include: ['']}"],
)
def test_what_is_no_discover(folder: Path, value: str) -> None:
    assert refused(folder, f"discover: {value}") == f"c.yaml:6: databases[0].discover: {DISCOVER}"


@pytest.mark.parametrize(
    ("discover", "taken"),
    [
        (Discover(), ["app", "App", "app_old", "[x]", "a*"]),
        (Discover(("app*",)), ["app", "app_old"]),
        (Discover(("a?p", "[[]x]")), ["app", "[x]"]),
        (Discover(exclude=("*_old", "A*")), ["app", "[x]", "a*"]),
        (Discover(("app",), ("app",)), []),
    ],
)
def test_which_databases_are_taken(discover: Discover, taken: list[str]) -> None:
    assert [name for name in ("app", "App", "app_old", "[x]", "a*") if discover.takes(name)] == taken


@pytest.mark.parametrize(
    ("text", "budget"), [("1%", 0.01), ("0.1", 0.001), ("'2.5 %'", 0.025), ("100%", 1.0), ("7", 0.07)]
)
def test_budget(folder: Path, text: str, budget: float) -> None:
    assert loaded(folder, top=f"budget: {text}\n").budget == pytest.approx(budget)


@pytest.mark.parametrize("text", ["0", "0.09%", "100.1", "1 percent", "-1", "1e1", "01%", "'%'", "nan", "101%"])
def test_no_budget(folder: Path, text: str) -> None:
    assert refused(folder, top=f"budget: {text}\n") == f"c.yaml:3: budget: {BUDGET}"


def test_concurrency_and_explain(folder: Path) -> None:
    config = loaded(folder, "explain: false", top="concurrency: 64\nexplain: true\n")
    assert (config.concurrency, config.databases[0].explain) == (64, False)
    assert target(folder, "explain: true").explain is True
    for bad in ("0", "65", "ten"):
        assert refused(folder, top=f"concurrency: {bad}\n").endswith("must be a whole number from 1 to 64")
    assert refused(folder, "budget: 1%").endswith("budget: unknown key; it belongs at the top level")


def test_what_is_shown_of_them(folder: Path) -> None:
    lines = ("password_command: [/bin/ask, canary-argument]", "discover: {exclude: [x]}")
    loaded(folder, *lines, top="budget: 2.5%\n")
    settings = read("c.yaml", {"HOME": str(folder)})
    shown = listing.as_json(settings)
    assert shown["settings"]["budget"] == {"value": 2.5, "origin": "c.yaml:3"}
    [a] = shown["databases"]
    assert a["password_command"] == {"value": ["/bin/ask", "***"], "origin": "c.yaml:7"}
    assert a["discover"] == {"value": {"include": ("*",), "exclude": ("x",)}, "origin": "c.yaml:8"}
    text = "\n".join(listing.lines(settings))
    assert 'password_command: ["/bin/ask", "***"]' in text and "canary" not in text
