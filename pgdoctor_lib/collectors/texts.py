"""What leaves the server of a query's text: the variables with which the SQL files mask it there.

`TOKENS` takes a text apart, whole or cut: what a capture holds says what becomes of it. First: it stays (names,
parameters, punctuation). Second: a number. Third: a comment. None: a string constant. The longest alternative wins, so
that where a constant's end cannot be told by a pattern (a backslash before the quote, a dollar quote, a comment in a
comment, a quote that nobody closes) all the rest of the text counts as part of it. Characters are given by their codes:
what is a letter must not depend on the database's locale; PostgreSQL takes whatever is beyond ASCII for one.
"""

from pgdoctor_lib.config import QueryText

_LETTER = r"[^\x01-\x40\x5b-\x5e\x60\x7b-\x7f]"
_TAG = r"[^\x01-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
_WORD = r"[^\x01-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
_OTHER = r"[\x01-\x21\x23\x25\x26\x28-\x2c\x2e\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
_IN_COMMENT = r"/[*](?:[^*]|[*]+[^*/])*"

_KEPT = rf'(?:"[^"]*"|{_LETTER}{_WORD}*|[$][0-9]+|{_OTHER})+|[-/$]'
_NUMBER = r"[0-9][0-9A-Za-z_.]*"
_COMMENT = rf"--[^\n\r]*|{_IN_COMMENT}[*]+/|{_IN_COMMENT}(?:[*]*$|/[*].*)"
_STRING = rf"""'[^']*'?|'[^']*\\'.*|[$](?:{_LETTER}{_TAG}*)?[$].*|"[^"]*$"""
TOKENS = f"({_KEPT})|({_NUMBER})|({_COMMENT})|{_STRING}"

SECRETS = "pass|pwd|secret|token|credential|(api|private|access)_?key|crypt|://|program|dblink|connection|user +mapping"
"""A text in which one of these words stands is masked in any mode."""


def variables(query_text: QueryText) -> dict[str, str]:
    """What the SQL files that show query texts ask for, by name."""
    return {"query_text": query_text, "secrets": SECRETS, "tokens": TOKENS}
