"""One notice to one channel: an HTTP request, or a command that gets it on its standard input.

An exchange has one total deadline, and follows no redirect. What goes wrong is told without the URL, which is a secret,
and without what a command printed.
"""

import os
import select
import subprocess
import time
from contextlib import suppress

from pgdoctor_lib.deliver import lean  # noqa: F401  (before requests)

# isort: split
import requests
import urllib3

from pgdoctor_lib import programs
from pgdoctor_lib.config import Endpoint
from pgdoctor_lib.config.dsn import Command
from pgdoctor_lib.config.notify import Channel
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.deliver.answers import Answer, judge, status_line
from pgdoctor_lib.deliver.causes import explain
from pgdoctor_lib.deliver.notices import Notice, body
from pgdoctor_lib.deliver.session import Bearer, open_session
from pgdoctor_lib.deliver.token import TokenSource
from pgdoctor_lib.errors import DeadlineExceeded, DeliveryError, Refused, Retryable

TOTAL_S = 30.0
_MAX_BODY_BYTES = 65536
_REFUSALS = (400, 413, 415, 422)  # nothing but this notice is wrong; any other status may be mended


def send(channel: Channel, notice: Notice, wall: float, total_s: float = TOTAL_S) -> str:
    """Tell it; what it answered, for people. DeliveryError where it was not taken; `Refused`: it never will be."""
    try:
        content = body(channel, notice)
    except (KeyError, TypeError, ValueError, AttributeError):  # kept by another version
        raise Refused("what was kept is no notice") from None
    if channel.command:
        return _run(channel.command, content, total_s)
    try:
        with deadline(total_s, "the exchange"):
            return _post(channel, notice.id, content, wall, total_s)
    except DeadlineExceeded:
        raise Retryable(f"timed out after {total_s:g} s") from None


def _post(channel: Channel, key: str, content: bytes, wall: float, total_s: float) -> str:
    assert channel.url
    headers = {name: value.reveal() for name, value in channel.headers.items()}
    headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
    auth = _auth(channel)
    with open_session(verify=True) as session:
        try:
            response = session.request(
                "POST",
                channel.url.reveal(),
                data=content,
                headers=headers,
                auth=auth,
                verify=channel.ca_file,  # None: what the environment or the system says
                timeout=total_s,
                allow_redirects=False,
                stream=True,
            )
            with response:
                response.raw.read(_MAX_BODY_BYTES, decode_content=False)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _told(error, total_s) from None
    _judge(Answer(response.status_code, b"", response.headers.get("Retry-After", "")), wall)
    return status_line(response.status_code)


def _auth(channel: Channel) -> Bearer | None:
    """DeliveryError where the token's file cannot be read."""
    if not channel.token and not channel.token_file:
        return None
    return Bearer(TokenSource(Endpoint("", channel.token, channel.token_file)).current())


def _told(error: Exception, total_s: float) -> DeliveryError:
    told = explain(error, total_s)
    return DeliveryError("its URL, or the proxy's, cannot be used") if isinstance(error, ValueError) else told


def _judge(answer: Answer, wall: float) -> None:
    try:
        judge(answer, wall)
    except Refused as error:
        if answer.status in _REFUSALS:
            raise
        raise DeliveryError(str(error)) from None


def _run(command: Command, content: bytes, total_s: float) -> str:
    """It has nothing of ours but the notice, and its output goes nowhere."""
    try:
        process = programs.start(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    except programs.CannotRun as why:
        reason = str(why)
        raise DeliveryError(reason[:1].lower() + reason[1:]) from None
    until = time.monotonic() + total_s
    try:
        _write(process, content, until)
        code = process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        programs.end(process)
        raise Retryable(f"not done within {total_s:g} s") from None
    except BaseException:
        programs.end(process)
        raise
    if code:
        raise Retryable(programs.how_it_ended(code))
    return "exit status 0"


def _write(process: "subprocess.Popen[bytes]", content: bytes, until: float) -> None:
    """To its standard input, as fast as it reads; gevent's `communicate` has no deadline for that."""
    assert process.stdin
    with process.stdin, suppress(BrokenPipeError):  # it need not read all of it
        os.set_blocking(process.stdin.fileno(), False)
        ready = select.poll()
        ready.register(process.stdin.fileno(), select.POLLOUT)
        left = memoryview(content)
        while left:
            wait_s = until - time.monotonic()
            if wait_s <= 0 or not ready.poll(wait_s * 1000):
                raise subprocess.TimeoutExpired(process.args, wait_s)
            with suppress(BlockingIOError):
                left = left[os.write(process.stdin.fileno(), left) :]
