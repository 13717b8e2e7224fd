"""Whether what a server sent as JSON is JSON: it goes into the snapshot as it came, and must not spoil the whole.

Nothing is built of it (each object is thrown away as it is read), so that 1 MB costs about 9 ms and no memory.
"""

from json import JSONDecoder
from typing import NoReturn

NO_JSON = "what the server sent is no JSON"
MAX_CHARS = 16 * 1024**2
"""More than any section has: what is longer is not looked at, and counts as none."""
MAX_DIGITS = 300
"""Of a whole number: more are no float, and from 4,300 on Python reads none at all."""


def is_json(text: str, begins: str) -> bool:
    """Whether `text` is one JSON value whose first character is one of `begins`."""
    if len(text) > MAX_CHARS or text[:1] not in tuple(begins):
        return False
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(digits[:MAX_DIGITS])
    return 0


_DECODER = JSONDecoder(object_pairs_hook=lambda pairs: None, parse_int=_whole, parse_float=len, parse_constant=_refuse)
