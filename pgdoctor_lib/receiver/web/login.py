"""The door for people who come from beyond this machine: the token in, a cookie out."""

from pgdoctor_lib.receiver.web import parts


def view(wrong: bool) -> str:
    """The page. `wrong`: the token that was typed is not the one."""
    told = '<p class="wrong" role="alert">That is not the token.</p>' if wrong else ""
    return parts.frame(
        "Sign in",
        '<h1>Sign in</h1><form method="post" action="/login"><label for="token">Token of this receiver</label>'
        f'<input id="token" name="token" type="password" required autofocus autocomplete="current-password">{told}'
        "<button>Sign in</button></form>",
    )
