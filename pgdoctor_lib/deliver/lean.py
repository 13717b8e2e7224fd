"""Imported before requests: what requests would load for texts that are never read here, 3 MB of it, stays out.

requests guesses at the encoding of an answer without one by charset_normalizer (or chardet), and does without where
neither is installed; `None` in `sys.modules` is Python's own way of saying so.
"""

import sys
import warnings

_GUESSERS = [name for name in ("chardet", "charset_normalizer") if name not in sys.modules]

sys.modules.update(dict.fromkeys(_GUESSERS))  # type: ignore[arg-type]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says that it found neither
    import requests  # noqa: F401
for _name in _GUESSERS:
    del sys.modules[_name]
