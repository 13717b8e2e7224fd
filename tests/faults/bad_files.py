"""Configuration files that are nearly right, and environments that are not."""

import random

from hypothesis import strategies as st

from pgdoctor_lib.config.options import OPTIONS, Scope, options
from tests.faults.garble import CANARY, ODD, dice, mutate

TOKEN = f"{CANARY}-tok-0123456789"
PASSWORD = f"{CANARY}.pw~x9"
ENVIRONMENT = {"PGDOCTOR_TOKEN": f"{CANARY}-env-0123456789", "PW": f"{CANARY}.env~7", "EMPTY": ""}

FILES = (
    f"""endpoint: https://e.example/api
token: "{TOKEN}"
interval: 60
limit: 20
spool: {{path: /var/lib/pgdoctor, max_size: 64MiB, max_age: 7d}}
databases:
  - name: production
    dsn: "postgres://user:{PASSWORD}@db.example:5432/app?sslmode=require"
    interval: 5m
    tags: [production, critical]
  - &second
    name: "staging é"
    dsn: host=a,b port=1,2 user=u password='{PASSWORD}' dbname=app
    tags: {{team: x, tier: "1"}}
    enabled: false
""",
    f"""# comment
endpoint: "https://e.example:8443/api?key=${{EMPTY:-none}}"
token: ${{PGDOCTOR_TOKEN}}
request_timeout: 10s
log: {{max_size: 1MiB, keep: 3}}
ha: true
query_text: none
databases:
- name: |-
    one
  dsn: postgresql://u:${{PW}}@[::1]/x
- {{name: two, dsn: 'user=u password={PASSWORD} host=/run/pg'}}
""",
)
_WORDS = [
    *(each.encode() for each in (*ODD, TOKEN, PASSWORD, *ENVIRONMENT.values())),
    *(f"{option.name}: ".encode() for option in OPTIONS),
    *(b"${", b"${PW}", b"${NOT_SET}", b"${PW:-${PW}}", b"$$", b"${PW:-", b"}", b"&a ", b"*a", b"*second"),
    b"<<: *second",
    *(b"[" * 50, b"{" * 50, b"- " * 30, b"[" * 5000, b"!!python/object:os.system ", b"!x ", b"!!binary ", b"!!int "),
    *(b"? ", b": ", b"---\n", b"...\n", b"%YAML 9.9\n", b"%TAG ! x\n", b"|\n", b">-\n", b"# ", b"\r\n"),
    *(b"\t", b"\\", b"\\x"),
    *(b"9" * 5000, b"1e999", b"-1", b"0x10", b".nan", b".inf", b"0123", b"12:30:45", b"null", b"~", b"yes"),
    b"2024-01-01",
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc0\x80", b'"', b"'", b"@", b"`", b"\xe2\x80\xa8"),
    b"\xf4\x90\x80\x80",
]  # fmt: skip


def mutated() -> st.SearchStrategy[bytes]:
    """A good file with a few changes."""
    return st.builds(_mutated, dice())


def structured() -> st.SearchStrategy[bytes]:
    """A file made from the table of options: the keys are right, their values anything."""
    return st.builds(_structured, dice())


def environments() -> st.SearchStrategy[dict[str, str]]:
    """PGDOCTOR_*, PG* and the folders' variables with any values that an environment can have."""
    names = [*sorted({option.env for option in OPTIONS if option.env}), *_OTHERS]
    bad = st.lists(st.sampled_from(names).flatmap(_pair), max_size=5).map(dict)
    return st.builds(lambda good, bad: {**good, **bad}, st.sampled_from(_COMPLETE), bad)


_COMPLETE: tuple[dict[str, str], ...] = (
    {},
    {"PGDOCTOR_DSN": f"postgres://u:{PASSWORD}@h/d", "PGDOCTOR_ENDPOINT": "https://e.example/"}
    | {"PGDOCTOR_TOKEN": TOKEN},
)
_OTHERS = (
    *("PGDOCTOR_DSN", "PGDOCTOR_DSN", "PGDOCTOR_CONFIG", "PGDOCTOR_DEBUG", "PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER"),
    *("PGDATABASE", "PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGPASSWORD", "PGTARGETSESSIONATTRS", "PGSSLMODE"),
    *("PGCONNECT_TIMEOUT", "HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "STATE_DIRECTORY"),
)
_FOR_SECRETS = ("PGDOCTOR_DSN", "PGDOCTOR_TOKEN", "PGPASSWORD")
_GOOD = (
    *("postgres://u@h/d", "host=a,b port=1", "https://e.example/", "60", "5m", "a-token", "", " ", "0", "1,2"),
    *("/dev/null", "/", ".", "/proc/self/mem", "/dev/zero", "x" * 100_000, "/" + "y" * 5000, "~", "${HOME}", "true"),
)


def _pair(name: str) -> st.SearchStrategy[tuple[str, str]]:
    """A variable and its value; a secret only where one belongs."""
    secrets = st.sampled_from((TOKEN, f"postgres://u:{PASSWORD}@h/d", f"host=a,b port=1 password={PASSWORD}"))
    values = st.one_of(_values(), secrets) if name in _FOR_SECRETS else _values()
    return st.tuples(st.just(name), values)


def _values() -> st.SearchStrategy[str]:
    anything = st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)), max_size=40)
    undecodable = st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
    return st.one_of(st.sampled_from(_GOOD), st.sampled_from(ODD[1:]), anything, undecodable)


def _mutated(dice: random.Random) -> bytes:
    data = mutate(dice.choice(FILES).encode(), dice, _WORDS)
    if dice.random() < 0.1:
        data = data.replace(b"\n", b"\r\n")
    if dice.random() < 0.05:
        data = data.decode("utf-8", "replace").encode(dice.choice(("utf-16", "latin-1", "utf-32")), "replace")
    return data


def _structured(dice: random.Random) -> bytes:
    lines = [f"{name}: {_value(name, dice)}" for name in _some(Scope.AGENT, dice)]
    lines.append(dice.choice((*["databases:"] * 9, "databases: &d", "databases: []")))
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
        pairs = [f"{name}: {_value(name, dice)}" for name in _some(Scope.DATABASE, dice)]
        lines += ["  - " + "\n    ".join(pairs)] if pairs else ["  -"]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _some(scope: Scope, dice: random.Random) -> list[str]:
    names = [name.partition(".")[0] for name in options(scope)]
    needed = [name for name in ("endpoint", "token", "name", "dsn") if name in names and dice.random() < 0.97]
    return [*needed, *dice.sample(sorted(set(names) - set(needed)), dice.choice((0, 1, 2, 5)))]


def _value(name: str, dice: random.Random) -> str:
    if name in _RIGHT and dice.random() < 0.8:
        return dice.choice(_RIGHT[name])
    text = dice.choice(_VALUES)
    if dice.random() < 0.15:
        text = f'"{text}"'
    if dice.random() < 0.1:
        at = dice.randint(0, len(text))
        text = text[:at] + dice.choice(ODD) + text[at:]
    return text


_RIGHT: dict[str, tuple[str, ...]] = {
    "endpoint": ("https://e.example/api", "http://localhost:80/x?key=y"),
    "token": (TOKEN, "${PGDOCTOR_TOKEN}"),
    "name": ("one", "two", "three", '"four é"', "'5'"),
    "dsn": (f"postgres://u:{PASSWORD}@h/d", f"host=h password='{PASSWORD}'", "dbname=x", "postgres://u:${PW}@h"),
    "interval": ("60", "5m", "1h"),
    "limit": ("1", "200"),
    "spool": ("{max_size: 1MiB}", "{path: ~/x, max_age: 1d}"),
    "log": ("{keep: 0}", "{max_size: 64KiB}"),
    "tags": ("[a, b]", "{a: b}", "[]"),
    "enabled": ("true", "TRUE", "false"),
    "query_text": ("full", "none"),
}
_VALUES = (
    *("https://e.example/", "http://[::1", "https://u:p@h/", "https://h:99999/", "https://h/#x", "ftp://x", "https://"),
    *(TOKEN, f"postgres://u:{PASSWORD}@h/d", f"host=h password={PASSWORD}", "host=a,b port=1,2,3"),
    *("service=nope", "a=b"),
    *("production", "x" * 101, "'  '", "[a, b]", "{a: b}", "{max_size: 1MiB}", "{keep: -1}", "[[[]]]"),
    *("[1, 2]", "{1: 2}"),
    *("1", "0", "-1", "60", "86401", "1e5", "9" * 400, "5m", "5 fortnights", "1TiB", "true", "no", "~", ""),
    *("null", "0x1F"),
    *("full", "masked", "/dev/zero", "/etc/shadow", "/", "~/x", "../../x", "${PW}", "${EMPTY:-}", "${NOPE}"),
    *("${", "$${", "*d"),
    *("|\n  block\n  of text", ">-\n  folded", "!!str 5", "!!set {a}", "'it''s'", "&a [*a]", "2024-01-01"),
    *("1_000", "१२"),
)  # fmt: skip
