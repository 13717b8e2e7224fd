"""Connection strings, right and wrong, with a planted password."""

import random
from dataclasses import dataclass
from urllib.parse import quote

from hypothesis import strategies as st

from tests.faults.garble import CANARY, ODD, dice, mutate

_HOSTS = (
    "h",
    "db.example",
    "[::1]",
    "[fe80::1%25eth0]",
    "10.0.0.1",
    "%2Frun%2Fpg",
    "",
    "a b",
    "[::1",
    "x" * 300,
    "münchen",
)
_PLAIN_HOSTS = ("h", "::1", "/run/pg", "@abstract", "a,b", "a,b,c", "", ",", "h,/run/pg,10.0.0.1")
_PORTS = ("5432", "1,2", "1,2,3", "", "0", "65535", "65536", "-1", "x", " 5 ", "5432,", "９")
_PARAMETERS = (
    *("sslmode=require", "sslmode=maybe", "target_session_attrs=any", "target_session_attrs=prefer-standby"),
    "nonsense=1",
    *("connect_timeout=5", "connect_timeout=1e3", "connect_timeout=-1", "application_name=x", "options=-c%20x%3D1"),
    *("service=nope", "service=", "hostaddr=1.2.3.4", "hostaddr=1.2.3.4,5.6.7.8"),
    *("load_balance_hosts=random", "dbname=x"),
    *("sslpassword=CANARY.ssl~1", "passfile=/dev/null", "keepalives=1", "host=other", "port=1,2"),
    *("requiressl=1", "ssl=true"),
)  # fmt: skip
_WORDS = [
    each.encode() for each in (*ODD, "%", "%0", "%zz", "%00", "@", ":", "/", "?", "&", "=", "[", "]", ",", " ", "\\")
]


@dataclass(frozen=True)
class Bad:
    """A string, and the secrets in it where it is known which they are."""

    text: str
    password: str = ""


def grammatical() -> st.SearchStrategy[Bad]:
    """Both forms, each part from a list of good and bad ones; the password any text."""
    return st.builds(
        _grammatical, dice(), st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)), max_size=12)
    )


def mutated() -> st.SearchStrategy[Bad]:
    """The same with a few changes, so that nobody knows what is the password."""
    return st.builds(_mutated, grammatical(), dice())


def _grammatical(dice: random.Random, tail: str) -> Bad:
    password = f"{CANARY}.pw{tail.replace(chr(10), '').replace(chr(13), '')}"
    text = _url(dice, password) if dice.random() < 0.5 else _keywords(dice, password)
    return Bad(text, password)


def _url(dice: random.Random, password: str) -> str:
    hosts = (
        f"{dice.choice(_HOSTS)}{dice.choice(('', ':5432', ':' + dice.choice(_PORTS)))}"
        for _ in range(dice.choice((1, 1, 2, 3)))
    )
    parameters = "&".join(dice.sample(_PARAMETERS, dice.choice((0, 0, 1, 2))))
    scheme = dice.choice(("postgres", "postgresql"))
    return f"{scheme}://u:{quote(password, safe='')}@{','.join(hosts)}/d{'?' + parameters if parameters else ''}"


def _keywords(dice: random.Random, password: str) -> str:
    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    parts = [f"password='{escaped}'", f"host='{dice.choice(_PLAIN_HOSTS)}'", f"port='{dice.choice(_PORTS)}'", "user=u"]
    parts += dice.sample(_PARAMETERS, dice.choice((0, 1, 2)))
    dice.shuffle(parts)
    return dice.choice((" ", "  ", "\t")).join(parts)


def _mutated(good: Bad, dice: random.Random) -> Bad:
    text = mutate(good.text.encode(), dice, _WORDS)
    return Bad(text.decode("utf-8", dice.choice(("replace", "surrogateescape"))))
