"""The door for people who come from beyond this machine: the token in, a cookie out."""

import re
from html import escape

from pgdoctor_lib.receiver.web import frame

_PAGE = re.compile(r"/(?:databases/[0-9a-z/-]{1,100})?(?:\?[\w%&=+.,:~*-]{1,4000})?", re.ASCII)


def view(to: str, *, wrong: bool = False) -> str:
    """The page. `to`: the address that was asked for; `wrong`: the token that was typed is not the one."""
    told = '<p class="wrong" id="wrong" role="alert">That is not the token.</p>' if wrong else ""
    marked = ' aria-invalid="true" aria-describedby="wrong"' if wrong else ""
    return frame.bare(
        "Sign in",
        '<h1>Sign in</h1><form class="login" method="post" action="/login">'
        '<label for="token">Token of this receiver</label>'
        '<input id="token" name="token" type="password" required autofocus autocomplete="current-password"'
        f'{marked}>{told}<input type="hidden" name="to" value="{escape(page(to))}"><button>Sign in</button></form>',
    )


def page(to: str) -> str:
    """The address of the page that was asked for; the first page's, where it is none of ours."""
    return to if _PAGE.fullmatch(to) else "/"
