"""Every wrong file gets one line that names file, line and key, and quotes nothing of the file."""

import os
from pathlib import Path

import pytest

from pgdoctor_lib.config.load import load
from pgdoctor_lib.errors import ConfigError

TOP = "endpoint: https://e.example/api\ntoken: canary-token\n"
DATABASE = "databases:\n  - name: a\n    dsn: dbname=a\n"
INTERVAL = "must be a duration from 1 to 86400 seconds, such as 60, 30s, 5m or 1h"
RECORDER = "must be true, false, or a mapping with waiters and active, each a whole number from 1 to 100000"
LIMIT = "must be a whole number from 1 to 200"
NAME = "must be 1 to 100 printable characters"
TAGS = "must be a list of strings, or a mapping of strings to strings"
URL = "must be a URL that begins with http:// or https://"
TOKEN = "must be printable ASCII without spaces"
BAD_REFERENCE = "has a ${ that is not ${NAME} or ${NAME:-default}; a dollar itself is $$"
NO_TAGS = "a tag (!…) that makes an object; only plain values are read"
NO_COLON = 'not valid YAML: a ":" where none can stand; quote the value, or mind the indentation'
NO_ESCAPE = "not valid YAML: a backslash that means nothing within \"…\"; write it twice, or use '…'"
NO_EQUALS = 'the DSN does not parse: neither a URL (postgresql://…) nor keyword=value pairs: a "=" is missing'
NO_HEX = 'the DSN does not parse: a "%" that is not followed by two hexadecimal digits; a "%" itself is %25'
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9)
)


def at_database(line: str, text: str) -> tuple[str, str]:
    """A bad line within the first database."""
    return f"{TOP}{DATABASE}    {line}\n", f"pgdoctor.yaml:6: databases[0].{text}"


def at_name(value: str, text: str) -> tuple[str, str]:
    return f"{TOP}databases:\n  - dsn: dbname=a\n    name: {value}\n", f"pgdoctor.yaml:5: databases[0].name: {text}"


def at_endpoint(value: str, text: str) -> tuple[str, str]:
    return f"endpoint: {value}\ntoken: canary-token\n{DATABASE}", f"pgdoctor.yaml:1: endpoint: {text}"


def at_token(value: str, text: str) -> tuple[str, str]:
    return f"endpoint: https://e.example/\ntoken: {value}\n{DATABASE}", f"pgdoctor.yaml:2: token: {text}"


def at_dsn(value: str, text: str) -> tuple[str, str]:
    return f"{TOP}databases:\n  - name: a\n    dsn: {value}\n", f"pgdoctor.yaml:5: databases[0].dsn: {text}"


STRUCTURE = [
    ("", "pgdoctor.yaml:1: the file is empty"),
    ("# nothing\n", "pgdoctor.yaml:1: the file is empty"),
    ("---\n", 'pgdoctor.yaml:2: must be a mapping of "key: value" lines'),
    ("only words\n", 'pgdoctor.yaml:1: must be a mapping of "key: value" lines'),
    ("token:canary-token\n", 'pgdoctor.yaml:1: must be a mapping of "key: value" lines'),
    ("- a\n", 'pgdoctor.yaml:1: must be a mapping of "key: value" lines'),
    ("---\na: 1\n---\nb: 2\n", "pgdoctor.yaml:3: a second document; only one is read"),
    ("token: a\n\ntoken: canary\n", "pgdoctor.yaml:3: token: given twice"),
    (f"{TOP}{DATABASE}    dsn: canary\n", "pgdoctor.yaml:6: dsn: given twice"),
    ("? [a]\n: b\n", "pgdoctor.yaml:1: a key that is not a string; quote it"),
    ("7: a\n", "pgdoctor.yaml:1: a key that is not a string; quote it"),
    ("a: \x01\n", "pgdoctor.yaml:1: a control character"),
    (BOMB, "pgdoctor.yaml:5: more than 10000 values, aliases counted in full"),
    ("- a\n" * 10_001, "pgdoctor.yaml:10000: more than 10000 values, aliases counted in full"),
    ("a: " + "[" * 5000, "pgdoctor.yaml:1: nested more than 20 deep"),
    ("a: " + "x" * 1024**2, "pgdoctor.yaml: larger than 1 MiB; this is no configuration"),
    ("a: !!python/object/apply:os.system [canary]\n", f"pgdoctor.yaml:1: {NO_TAGS}"),
    ("a: !canary x\n", f"pgdoctor.yaml:1: {NO_TAGS}"),
    ("a: !!timestamp 2024-01-01\n", f"pgdoctor.yaml:1: {NO_TAGS}"),
    ("a: &a [*a]\n", "pgdoctor.yaml:1: not valid YAML: an alias (*name) without its anchor (&name)"),
    ("a: *canary\n", "pgdoctor.yaml:1: not valid YAML: an alias (*name) without its anchor (&name)"),
    ("token: b: canary\n", f"pgdoctor.yaml:1: {NO_COLON}"),
    ('a: 1\ntoken: "canary\nb: 2\n', "pgdoctor.yaml:2: not valid YAML: a quote that is not closed"),
    ("a:\n\ttoken: canary\n", "pgdoctor.yaml:2: not valid YAML: a tab; YAML is indented with spaces"),
    ("a: 1\ntoken: [canary\n", 'pgdoctor.yaml:2: not valid YAML: a list without its "]"'),
    ("token: {canary: 1\n", 'pgdoctor.yaml:1: not valid YAML: a mapping without its "}"'),
    ("a: 1\ncanary\nb: 2\n", 'pgdoctor.yaml:2: not valid YAML: a key without ": "'),
    ("token: @canary\n", "pgdoctor.yaml:1: not valid YAML: a character that no value can begin with; quote the value"),
    ('token: "\\qcanary"\n', f"pgdoctor.yaml:1: {NO_ESCAPE}"),
    ("%YAML 9.0\n---\na: canary\n", "pgdoctor.yaml:1: not valid YAML: it cannot be read"),
    ('token: "\\UFFFFFFFF"\n', "pgdoctor.yaml:1: not valid YAML: it cannot be read"),
    ('endpoint: "\\uD800"\n', "pgdoctor.yaml:1: endpoint: is not UTF-8"),
]

KEYS = [
    at_database("intervall: 60", "intervall: unknown key; did you mean interval?"),
    at_database("token: canary", "token: unknown key; it belongs at the top level"),
    ("dsn: canary\n", "pgdoctor.yaml:1: dsn: unknown key; it belongs under databases"),
    ("databses: []\n", "pgdoctor.yaml:1: databses: unknown key; did you mean databases?"),
    ("spool: {max_sise: 1MiB}\n", "pgdoctor.yaml:1: spool.max_sise: unknown key; did you mean max_size?"),
    ("spool: /var/spool\n", 'pgdoctor.yaml:1: spool: must be a mapping of "key: value" lines'),
    ("canary-0123456789: x\n", "pgdoctor.yaml:1: …: unknown key"),
    ("{Token: CANARYtoken, CANARYtoken: x}\n", "pgdoctor.yaml:1: Token: unknown key; did you mean token?"),
    ("{a: b, CANARYtoken: x, CANARYtoken: y}\n", "pgdoctor.yaml:1: …: given twice"),
    ("postgres://u:canary@h/d: x\n", "pgdoctor.yaml:1: …: unknown key"),
    (TOP, "pgdoctor.yaml:1: databases: list one database at least, with its name and dsn"),
    (f"{TOP}databases: []\n", "pgdoctor.yaml:3: databases: list one database at least, with its name and dsn"),
    (f"{TOP}databases: a\n", 'pgdoctor.yaml:3: databases: must be a list: "- name: …" and "dsn: …" for each database'),
    (f"{TOP}databases:\n", 'pgdoctor.yaml:3: databases: must be a list: "- name: …" and "dsn: …" for each database'),
    (f"{TOP}databases:\n  - a\n", 'pgdoctor.yaml:4: databases[0]: must be a mapping of "key: value" lines'),
    (f"{TOP}databases:\n  - name: a\n", "pgdoctor.yaml:4: databases[0]: dsn is missing"),
    (f"{TOP}databases:\n  - dsn: dbname=a\n", "pgdoctor.yaml:4: databases[0]: name is missing"),
    (
        f"{TOP}{DATABASE}  - name: a\n    dsn: dbname=b\n",
        "pgdoctor.yaml:6: databases[1].name: given before at pgdoctor.yaml:4",
    ),
    (f"{TOP}{DATABASE}    enabled: false\n", "pgdoctor.yaml: databases: none is enabled; nothing would be watched"),
    (f"token: canary\n{DATABASE}", "PGDOCTOR_ENDPOINT is not set, nor endpoint in pgdoctor.yaml"),
    (
        f"endpoint: https://e.example/\n{DATABASE}",
        "PGDOCTOR_TOKEN is not set, nor token or token_file in pgdoctor.yaml",
    ),
]

NUMBERS = [
    *(
        at_database(f"interval: {value}", f"interval: {INTERVAL}")
        for value in (
            "0",
            "0.9",
            "86401",
            "2d",
            "-5",
            "true",
            "yes",
            ".nan",
            ".inf",
            "0123",
            "12:30:45",
            "1_000",
            "0x10",
            "1e3",
            "+5",
            "'5 x'",
            "[5]",
            "{a: 1}",
            "2024-01-01",
            "'²'",
            "9" * 400,
        )
    ),
    at_database("interval:", "interval: has no value; give one, or remove the line"),
    at_database("interval: ''", "interval: is empty"),
    *(
        at_database(f"limit: {value}", f"limit: {LIMIT}")
        for value in ("0", "201", "2.5", "ten", "true", "017", "-1", "[1]")
    ),
    *(at_database(f"enabled: {value}", "enabled: must be true or false") for value in ("yes", "1", "on", "[true]")),
    (
        f"{TOP}spool: {{max_size: 1KB}}\n{DATABASE}",
        "pgdoctor.yaml:3: spool.max_size: must be a size from 1 MiB to 1 TiB, such as 64MiB or 1GiB",
    ),
    *(
        (f"{TOP}{DATABASE}recorder: {value}\n", f"pgdoctor.yaml:6: recorder: {RECORDER}")
        for value in (
            "0",
            "-1",
            "10",
            "often",
            "[waiters]",
            "{}",
            "{waiters: 0}",
            "{waiters: -5}",
            "{active: many}",
            "{active: 100001}",
            "{waiters: 1.5}",
            "{waiters: [3]}",
            "{waiters: 3, sessions: 9}",
        )
    ),
    (f"{TOP}{DATABASE}recorder:\n", "pgdoctor.yaml:6: recorder: has no value; give one, or remove the line"),
    (
        f"{TOP}{DATABASE}    recorder: true\n",
        "pgdoctor.yaml:6: databases[0].recorder: unknown key; it belongs at the top level",
    ),
    (
        f"{TOP}cycle_timeout: 0\n{DATABASE}",
        "pgdoctor.yaml:3: cycle_timeout: must be a duration from 1 to 3600 seconds, such as 60, 30s, 5m or 1h",
    ),
]

STRINGS = [
    at_name("123", "must be a string; quote it"),
    at_name("no", "must be a string; quote it"),
    at_name("null", "has no value; give one, or remove the line"),
    at_name("''", "is empty"),
    *(at_name(value, NAME) for value in ("' a'", '"a\\nb"', '"a\\eb"', '"a\\u202Eb"', "[a]", "a" * 101)),
    *(at_database(f"tags: {value}", f"tags: {TAGS}") for value in ("prod", "[a, [b]]", "{a: {b: c}}", '["a\\nb"]')),
    at_database("tags: [1]", "tags: must hold strings only; quote the others"),
    at_database("tags: {on_call: no}", "tags: must hold strings only; quote the others"),
    *(
        at_endpoint(value, URL)
        for value in (
            "ftp://e/",
            "e.example/api",
            "https://",
            "'https://e /'",
            '"https://e/\\n"',
            "'https://[::1/'",
            "[https://e]",
        )
    ),
    at_endpoint("123", "must be a string; quote it"),
    at_endpoint("https://u:canary@e/", "must not have a user or a password in it; the token goes into token"),
    at_endpoint("https://e/#x", 'must not have a "#" in it'),
    *(at_endpoint(f"https://e:{port}/", "must have a port from 1 to 65535, or none") for port in ("0", "99999", "x")),
    *(
        at_token(value, TOKEN)
        for value in ('"can\\nary"', "'can ary'", "canäry", '"can\\0ary"', "[canary]", '"can\\rary"')
    ),
    at_token("1234567", "must be a string; quote it"),
    at_token("${NOPE}", "NOPE is not set in the environment"),
    at_token("${EMPTY}", "is empty"),
    *(at_token(value, BAD_REFERENCE) for value in ("'canary${NOPE'", "${no-pe}", "'${NOPE:-${A}}'", "'${}'")),
]

FILES = [
    ("token: x\ntoken_file: y\n", "pgdoctor.yaml:2: token_file: token is given as well; keep one of them"),
    ("token_file: nowhere\n", "pgdoctor.yaml:1: token_file: cannot be read: No such file or directory"),
    ("token_file: .\n", "pgdoctor.yaml:1: token_file: cannot be read: Is a directory"),
    (
        "token_file: pgdoctor.yaml\n",
        "pgdoctor.yaml:1: token_file: must name a file with the token alone in it: printable ASCII, without spaces",
    ),
    ("ca_file: pgdoctor.yaml\n", "pgdoctor.yaml:1: ca_file: must name a file with certificates in PEM form"),
]

DSNS = [
    at_dsn("canary", NO_EQUALS),
    at_dsn("postgres://u:can%zzary@h/d", NO_HEX),
    at_dsn(
        "postgres://u:canary@h/d?sslmod=require", "the DSN does not parse: unknown parameter; did you mean sslmode?"
    ),
    at_dsn("postgres://u:canary@h/d?canary", 'the DSN does not parse: a parameter after the "?" has no "="'),
    at_dsn("postgres://u:canary@[::1/d", 'the DSN does not parse: an IPv6 address has no closing "]"'),
    at_dsn('"host=h password=\'canary"', "the DSN does not parse: a quoted value has no closing quote"),
    at_dsn('"host=h\\npassword=canary"', "the DSN has a line break or a NUL in it"),
    at_dsn(
        "postgres://u:can@ary@h/d", 'the DSN\'s host has an "@" in it; in a URL, write the "@" of a password as %40'
    ),
    at_dsn("postgres://u:canary@h:0/d", "the DSN's port must be a number from 1 to 65535"),
    at_dsn(
        "postgres://u:canary@a:1,b:2,c/d?port=1,2", "the DSN has 2 ports for 3 hosts; give one for all, or one for each"
    ),
    at_dsn("host=a,b hostaddr=1.2.3.4", "the DSN has 2 hosts but 1 hostaddrs"),
    at_dsn(
        "host=a sslmode=canary",
        "the DSN's sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full",
    ),
    at_dsn("''", "is empty"),
]


@pytest.mark.parametrize(("text", "line"), STRUCTURE + KEYS + NUMBERS + STRINGS + FILES + DSNS)
def test_bad_file(folder: Path, text: str, line: str) -> None:
    (folder / "pgdoctor.yaml").write_text(text, "utf-8")
    assert error_of({"EMPTY": "", "HOME": str(folder)}) == line
    assert "canary" not in line


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a: 1\nb: \xff\n", "pgdoctor.yaml:2: not UTF-8; save the file in that encoding"),
        ("endpoint: x\n".encode("utf-16"), "pgdoctor.yaml:1: not UTF-8; save the file in that encoding"),
        (b"a: 1\n\0", "pgdoctor.yaml:2: a control character"),
    ],
)
def test_bad_bytes(folder: Path, content: bytes, line: str) -> None:
    (folder / "pgdoctor.yaml").write_bytes(content)
    assert error_of({}) == line


def test_not_a_file(folder: Path) -> None:
    os.mkfifo(folder / "pgdoctor.yaml")
    assert error_of({}) == "pgdoctor.yaml: not a plain file"
    assert error_of({"PGDOCTOR_CONFIG": str(folder)}) == f"{folder}: cannot be read: Is a directory"


def test_belongs_to_another(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    file = folder / "pgdoctor.yaml"
    file.write_text(TOP + DATABASE)
    os.chown(file, 65534, 65534)
    assert error_of({}).startswith("pgdoctor.yaml: belongs to another user")
    assert load("pgdoctor.yaml", {}).source == "pgdoctor.yaml"


FOLDERS = [
    (0, 0o1777, ""),
    (0, 0o755, ""),
    (0, 0o775, ""),
    (0, 0o777, "lies in {}, where other users can write and could exchange it; chmod go-w ., or name it with --config"),
    (65534, 0o755, "lies in {}, a folder of another user, who could exchange it; name it with --config"),
    (65534, 0o1777, "lies in {}, a folder of another user, who could exchange it; name it with --config"),
]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize(("owner", "mode", "why"), FOLDERS)
def test_a_folder_where_others_could_exchange_it(folder: Path, owner: int, mode: int, why: str) -> None:
    (folder / "pgdoctor.yaml").write_text(TOP + DATABASE)
    os.chown(folder, owner, 0)
    folder.chmod(mode)
    if not why:
        assert load(None, {}).source == "./pgdoctor.yaml"
        return
    assert error_of({}) == f"pgdoctor.yaml: {why.format(folder)} pgdoctor.yaml if you trust it"
    assert load("pgdoctor.yaml", {}).source == "pgdoctor.yaml"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_where_a_group_can_write(folder: Path) -> None:
    (folder / "pgdoctor.yaml").write_text(TOP + DATABASE)
    os.chown(folder, 0, 65534)
    folder.chmod(0o775)
    assert "where other users can write" in error_of({})


def test_a_file_that_somebody_may_have_linked_into_a_shared_folder(folder: Path) -> None:
    (folder / "pgdoctor.yaml").write_text(TOP + DATABASE)
    os.link(folder / "pgdoctor.yaml", folder / "another-name")
    assert load(None, {}).source == "./pgdoctor.yaml"
    folder.chmod(0o1777)
    assert error_of({}).startswith("pgdoctor.yaml: has more than one name")


def test_named_but_missing(folder: Path) -> None:
    (folder / "pgdoctor.yaml").write_text(TOP + DATABASE)
    hint = '; "pgdoctor config init" makes one'
    assert error_of({"PGDOCTOR_CONFIG": "/no/such"}) == f"PGDOCTOR_CONFIG: /no/such: no such file{hint}"
    assert error_of({}, "/no/such") == f"--config: /no/such: no such file{hint}"


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        (
            {},
            "no configuration: there is no pgdoctor.yaml, and PGDOCTOR_DSN is not set; "
            'run "pgdoctor config init", or set PGDOCTOR_DSN, PGDOCTOR_ENDPOINT and PGDOCTOR_TOKEN',
        ),
        ({"PGDOCTOR_DSN": "canary"}, f"PGDOCTOR_DSN: {NO_EQUALS}"),
        ({"PGDOCTOR_DSN": "dbname=a"}, "PGDOCTOR_ENDPOINT is not set"),
        ({"PGDOCTOR_DSN": "dbname=a", "PGDOCTOR_ENDPOINT": "https://e/"}, "PGDOCTOR_TOKEN is not set"),
        ({"PGDOCTOR_DSN": "dbname=a", "PGDOCTOR_TOKEN": "can\nary"}, f"PGDOCTOR_TOKEN: {TOKEN}"),
        ({"PGDOCTOR_DSN": "dbname=a", "PGDOCTOR_INTERVAL": "1w"}, f"PGDOCTOR_INTERVAL: {INTERVAL}"),
        ({"PGDOCTOR_DSN": "dbname=a", "PGDOCTOR_LIMIT": "0"}, f"PGDOCTOR_LIMIT: {LIMIT}"),
        ({"PGDOCTOR_DSN": "dbname=a\udcff"}, "PGDOCTOR_DSN: is not UTF-8"),
    ],
)
def test_bad_environment(folder: Path, environ: dict[str, str], line: str) -> None:
    assert error_of({"HOME": str(folder), **environ}) == line


def error_of(environ: dict[str, str], path: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    assert caught.value.exit_status == 2
    return str(caught.value)
