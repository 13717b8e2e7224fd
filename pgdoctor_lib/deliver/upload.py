"""One snapshot to the endpoint, and what came of it.

Safe for many greenlets at once. Each exchange (redirects and the plain resend included) has one
total deadline; the token goes to the endpoint's own origin and nowhere else.
"""

import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from pgdoctor_lib.deliver import lean  # noqa: F401  (before requests)

# isort: split
import requests
import urllib3

from pgdoctor_lib.clock import SYSTEM, Clock
from pgdoctor_lib.config import Endpoint
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.deliver.answers import MAX_RETRY_AFTER_S, Answer, Receipt, judge, status_line
from pgdoctor_lib.deliver.causes import explain
from pgdoctor_lib.deliver.certificates import Certificates
from pgdoctor_lib.deliver.parcel import Parcel
from pgdoctor_lib.deliver.session import Bearer, open_session
from pgdoctor_lib.deliver.token import TokenSource
from pgdoctor_lib.errors import DeadlineExceeded, DeliveryError, Retryable, Unauthorized
from pgdoctor_lib.secret import one_line

RETRY_PAUSES_S = (1.0, 2.0, 4.0)
MAX_ANSWER_BYTES = 65536
MAX_REDIRECTS = 5
JITTER = 0.25  # of a pause, on top of it, as far as the longest allows

OnRetry = Callable[[int, int, float, str], None]
"""(attempt, of how many, whole seconds until it, cause), called before each wait."""

DICE = random.SystemRandom().random

_PORTS = {"http": 80, "https": 443}


def with_retries(attempt: Callable[[], Receipt], on_retry: OnRetry, clock: Clock) -> Receipt:
    """What `attempt` returns, after up to 3 more where it raises `Retryable`."""
    for number, pause_s in enumerate(RETRY_PAUSES_S, 1):
        try:
            return attempt()
        except Retryable as error:
            wait_s = min(max(pause_s, error.retry_after_s) * (1 + JITTER * DICE()), MAX_RETRY_AFTER_S)
            on_retry(number, len(RETRY_PAUSES_S), int(wait_s), str(error))
        clock.sleep(wait_s)
    return attempt()


class Uploader:
    """Delivers parcels to one endpoint. Waits between attempts go through `clock.sleep`.

    `shared_ids`: others may send a snapshot under the same id, so an endpoint that has one of them says 422 to the
    rest (the IETF's idempotency-key draft), which is as good as delivered.
    """

    def __init__(self, endpoint: Endpoint, clock: Clock = SYSTEM, *, shared_ids: bool = False) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._shared_ids = shared_ids
        self._token = TokenSource(endpoint)
        self._certificates = Certificates(endpoint)
        self._session = open_session(verify=endpoint.verify)
        self._tried_with = self._stamp()
        self._gzip_taken = False
        self._plain_only = False

    def deliver(self, parcel: Parcel, on_retry: OnRetry) -> Receipt:
        """The endpoint's receipt, after up to 3 retry attempts. Raises a `DeliveryError`.

        `Retryable`: all attempts failed; `Unauthorized`, or `DeliveryError` itself: no use trying
        now; the snapshot is to be kept. `Refused`: it is to be set aside.
        """
        return with_retries(lambda: self.post(parcel), on_retry, self._clock)

    def post(self, parcel: Parcel) -> Receipt:
        """One exchange, within the endpoint's `timeout_s`. Raises a `DeliveryError`."""
        self._tried_with = self._stamp()
        with _total(self._endpoint.timeout_s):
            return self._post(parcel)

    def files_changed(self) -> bool:
        """Whether the token or a certificate in force now is another than at the last exchange."""
        return self._stamp() != self._tried_with

    def probe(self) -> str:
        """Ask the endpoint something harmless (GET) and tell its status: "405 Method Not Allowed".

        `Unauthorized`: it does not take the token; another `DeliveryError`: it cannot be reached, fails, or is not
        there. Whatever else it answers to a GET tells nothing against it. Nothing is stored by it.
        """
        with _total(self._endpoint.timeout_s):
            answer = self._once("GET", self._endpoint.url, None, {})
        if answer.status in (401, 403):
            raise Unauthorized(status_line(answer.status))
        if answer.status in (404, 410) or 300 <= answer.status < 400 or answer.status >= 500:
            raise DeliveryError(status_line(answer.status))
        return status_line(answer.status)

    def close(self) -> None:
        """Close the connections that are kept alive."""
        self._session.close()

    def _post(self, parcel: Parcel) -> Receipt:
        headers = {"Content-Type": "application/json", "Idempotency-Key": parcel.snapshot_id}
        if not self._plain_only:
            answer = self._send(parcel.data, {**headers, "Content-Encoding": "gzip"})
            if answer.status != 415 and (answer.status != 400 or self._gzip_taken):
                receipt = self._judge(answer)
                self._gzip_taken = True
                return receipt
            self._plain_only = True
        return self._judge(self._send(parcel.plain(), headers))

    def _judge(self, answer: Answer) -> Receipt:
        return judge(answer, self._clock.wall(), shared_ids=self._shared_ids)

    def _send(self, body: bytes, headers: dict[str, str]) -> Answer:
        """One POST, following 307 and 308 within the origin."""
        url = self._endpoint.url
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._once("POST", url, body, headers)
            if not 300 <= answer.status < 400:
                return answer
            url = _next_url(urlsplit(self._endpoint.url), url, answer)
        raise DeliveryError("too many redirects")

    def _once(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        try:
            response = self._renewed_session().request(
                method,
                url,
                data=body,
                headers=headers,
                auth=Bearer(self._token.current()),
                cert=self._certificates.cert,
                verify=self._certificates.verify,  # here, since REQUESTS_CA_BUNDLE beats session.verify
                timeout=self._endpoint.timeout_s,
                allow_redirects=False,  # requests would turn a POST into a GET, and carry it anywhere
                stream=True,
            )
            try:
                return _answer(response)
            finally:
                response.close()  # a body read to its end has given the connection back already
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise explain(error, self._endpoint.timeout_s) from None

    def _renewed_session(self) -> requests.Session:
        """One that knows today's certificates; what is at work on the one before finishes there."""
        if self._certificates.renewed():
            self._session.close()
            self._session = open_session(verify=self._endpoint.verify)
        return self._session

    def _stamp(self) -> object:
        return self._token.stamp(), self._certificates.stamp()


@contextmanager
def _total(seconds: float) -> Iterator[None]:
    """The deadline of an exchange, told in the words of the network's other failures."""
    try:
        with deadline(seconds, "the exchange"):
            yield
    except DeadlineExceeded:
        raise Retryable(f"timed out after {seconds:g} s") from None


def _answer(response: requests.Response) -> Answer:
    headers = response.headers
    raw = b""
    while piece := response.raw.read(MAX_ANSWER_BYTES - len(raw), decode_content=False):
        raw += piece
    body = _inflated(raw) if headers.get("Content-Encoding", "").strip().lower() in ("gzip", "deflate") else raw
    return Answer(response.status_code, body, headers.get("Retry-After", ""), headers.get("Location", ""))


def _inflated(raw: bytes) -> bytes:
    """Of a compressed answer, the first 64 KiB of its text; nothing of one that is no such thing."""
    try:
        return zlib.decompressobj(wbits=47).decompress(raw, MAX_ANSWER_BYTES)
    except zlib.error:
        return b""


def _next_url(home: SplitResult, url: str, answer: Answer) -> str:
    """Where a redirect leads. DeliveryError for one that is not followed."""
    try:
        target = urlsplit(urljoin(url, answer.location))
        same = bool(answer.location) and "@" not in target.netloc and _origin(target) == _origin(home)
    except ValueError:
        same = False
    if answer.status not in (307, 308) or not same:
        raise DeliveryError(status_line(answer.status), detail=_not_followed(url, answer))
    # Put on the endpoint's own host again, so that no two readers of a URL can disagree about it.
    return urlunsplit((home.scheme, home.netloc, target.path, target.query, ""))


def _origin(url: SplitResult) -> tuple[str, str, int | None]:
    return url.scheme, url.hostname or "", url.port or _PORTS.get(url.scheme)


def _not_followed(url: str, answer: Answer) -> str:
    """Scheme and host only: a query may hold a secret."""
    try:
        target = urlsplit(urljoin(url, answer.location))
    except ValueError:
        return "redirect not followed"
    return one_line(f"redirect to {target.scheme}://{target.netloc.rpartition('@')[2]} not followed", 200)
