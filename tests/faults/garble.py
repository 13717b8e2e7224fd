"""Bad input by the thousand: what the fuzz tests share. Derandomized: a run tries what the last one tried."""

import random
from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from pgdoctor_lib.secret import printable

CANARY = "CANARY"  # begins every planted secret; nothing that is printed may hold it
ODD = ("\0", "\x1b[31m", "\u202e", "\ufeff", "\u2028", "\x85", "\r", "\t", "\x7f", "é", "\U0001f408", "%00", "'", '"')


def examples(count: int) -> settings:
    """So many examples; failures are shrunk, nothing is kept on disk, none is cut by hypothesis' own deadline."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def is_line(text: str) -> bool:
    """Whether it is fit for a log: not empty, one line, nothing that a terminal acts upon."""
    return bool(text) and "\n" not in text and printable(text) == text


def flip_bits(data: bytes, dice: random.Random, count: int) -> bytes:
    """`count` bits of it turned over."""
    spoiled = bytearray(data)
    for _ in range(count if spoiled else 0):
        spoiled[dice.randrange(len(spoiled))] ^= 1 << dice.randrange(8)
    return bytes(spoiled)


def mutate(data: bytes, dice: random.Random, words: Sequence[bytes]) -> bytes:
    """One to six changes: bits, bytes, lines dropped, doubled, moved; `words` put in; cut off."""
    for _ in range(dice.randint(1, 6)):
        data = dice.choice(_CHANGES)(data, dice, words)
    return data


def dice() -> st.SearchStrategy[random.Random]:
    """A generator of random numbers for each example."""
    return st.integers(0, 2**32).map(random.Random)


def _bits(data: bytes, dice: random.Random, words: Sequence[bytes]) -> bytes:
    return flip_bits(data, dice, dice.randint(1, 3))


def _word(data: bytes, dice: random.Random, words: Sequence[bytes]) -> bytes:
    at = dice.randint(0, len(data))
    return data[:at] + dice.choice(words) + data[at + dice.choice((0, 0, 1, 5)) :]


def _cut(data: bytes, dice: random.Random, words: Sequence[bytes]) -> bytes:
    return data[: dice.randint(0, len(data))] if dice.random() < 0.3 else data


def _drop(data: bytes, dice: random.Random, words: Sequence[bytes]) -> bytes:
    at = dice.randint(0, len(data))
    return data[:at] + data[at + dice.randint(1, 8) :]


def _lines(data: bytes, dice: random.Random, words: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    taken = lines[dice.randrange(len(lines))]
    change = dice.choice(("drop", "double", "move", "indent"))
    if change in ("drop", "move"):
        lines.remove(taken)
    if change in ("double", "move"):
        lines.insert(dice.randint(0, len(lines)), taken)
    if change == "indent":
        lines.insert(dice.randint(0, len(lines)), b"  " * dice.randint(1, 3) + taken.strip())
    return b"\n".join(lines)


_CHANGES = (_bits, _word, _word, _cut, _drop, _lines, _lines)
