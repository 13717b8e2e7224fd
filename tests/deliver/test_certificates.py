"""Real TLS: an endpoint that wants to see a certificate, files that change, and files that are none."""

import os
import re
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme

from pgdoctor_lib import config
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.deliver.circuit import Circuit, may_be_the_snapshot
from pgdoctor_lib.deliver.parcel import Parcel, pack
from pgdoctor_lib.deliver.upload import Uploader
from pgdoctor_lib.errors import DeliveryError, Retryable
from pgdoctor_lib.secret import Secret
from pgdoctor_lib.snapshot import Sealed, new_id
from tests.fix_endpoint import Answer, Endpoint

TOKEN = "CANARY-token-certs-01"


@dataclass
class Shown:
    """The agent's certificate on disk, and the endpoint that wants to see it."""

    ca: trustme.CA
    cert_file: Path
    key_file: Path
    endpoint: Endpoint

    def issue(self, ca: trustme.CA | None = None) -> None:
        """Write a new certificate with its key."""
        made = (ca or self.ca).issue_cert("agent.example")
        made.cert_chain_pems[0].write_to_path(str(self.cert_file))
        self.key_file.write_bytes(made.private_key_pem.bytes())

    def uploader(self, **options: object) -> Uploader:
        """One that shows it."""
        given = {"cert_file": str(self.cert_file), "key_file": str(self.key_file), "ca_file": self.endpoint.ca_file}
        settings = config.Endpoint(self.endpoint.url, token=Secret(TOKEN), **{**given, **options})  # type: ignore[arg-type]
        return Uploader(settings, Clock(sleep=lambda _: None))


@pytest.fixture
def shown(private_ca: tuple[trustme.CA, Path], tmp_path: Path) -> Iterator[Shown]:
    ca, ca_file = private_ca
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    endpoint = Endpoint(context, str(ca_file))
    made = Shown(ca, tmp_path / "agent.pem", tmp_path / "agent.key", endpoint)
    made.issue()
    yield made
    endpoint.down()


def parcel() -> Parcel:
    return pack(Sealed(new_id(), "app", b'{"snapshot_id":"x","database":{"name":"app"}}'))


def refusal(uploader: Uploader, family: type[DeliveryError] = DeliveryError) -> str:
    with pytest.raises(DeliveryError) as raised:
        uploader.post(parcel())
    assert type(raised.value) is family, raised.value
    assert TOKEN not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("bundle", [None, "/nowhere/bundle.pem"])
def test_an_endpoint_that_wants_a_certificate_sees_it(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, bundle: str | None
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, bundle) if bundle else monkeypatch.delenv(name, raising=False)
    uploader = shown.uploader()
    assert [uploader.post(parcel()).id for _ in range(3)] == ["abc123"] * 3
    assert len({request.connection for request in shown.endpoint.requests}) == 1
    uploader.close()


def test_certificate_and_key_may_be_one_file(shown: Shown) -> None:
    shown.cert_file.write_bytes(shown.key_file.read_bytes() + shown.cert_file.read_bytes())
    uploader = shown.uploader(key_file=None)
    assert uploader.post(parcel()).id == "abc123"
    uploader.close()


def test_without_one_or_with_a_strangers_the_endpoint_is_not_reached(shown: Shown) -> None:
    bare = shown.uploader(cert_file=None, key_file=None)
    refusal(bare, Retryable)
    shown.issue(trustme.CA())
    stranger = shown.uploader()
    refusal(stranger, Retryable)
    assert shown.endpoint.requests == []
    bare.close()
    stranger.close()


def test_a_new_certificate_is_shown_from_the_next_exchange_on(shown: Shown) -> None:
    uploader = shown.uploader()
    uploader.post(parcel())
    assert not uploader.files_changed()
    shown.issue()
    assert uploader.files_changed()
    uploader.post(parcel())
    assert not uploader.files_changed()
    first, second = shown.endpoint.requests
    assert first.connection != second.connection
    uploader.close()


def test_a_new_ca_counts_from_the_next_exchange_on(tls_endpoint: Endpoint, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    uploader = Uploader(config.Endpoint(tls_endpoint.url, token=Secret(TOKEN), ca_file=str(path)))
    assert refusal(uploader).startswith("certificate verify failed: ")
    path.write_bytes(Path(tls_endpoint.ca_file).read_bytes())
    assert uploader.post(parcel()).id == "abc123"
    uploader.close()


class Delivery:
    """An uploader whose waits are recorded, not slept; `failure()` is what a delivery came to."""

    def __init__(self, endpoint: Endpoint, ca_file: str | None) -> None:
        self.waits: list[float] = []
        self.uploader = Uploader(
            config.Endpoint(endpoint.url, token=Secret(TOKEN), ca_file=ca_file), Clock(sleep=self.waits.append)
        )

    def failure(self) -> DeliveryError:
        with pytest.raises(DeliveryError) as raised:
            self.uploader.deliver(parcel(), lambda *_: None)
        self.uploader.close()
        return raised.value


def test_a_certificate_that_does_not_verify_is_told_at_once_and_opens_the_circuit(tls_endpoint: Endpoint) -> None:
    delivery = Delivery(tls_endpoint, None)
    error = delivery.failure()
    assert type(error) is DeliveryError
    assert str(error).startswith("certificate verify failed: ")
    assert str(error).endswith("; ca_file names the certificates of a private authority")
    assert (delivery.waits, tls_endpoint.requests) == ([], [])
    circuit = Circuit(Clock().monotonic, lambda: 0.0)
    circuit.failed("a", error)
    assert circuit.is_open
    assert circuit.wait_s > 0
    assert not may_be_the_snapshot(error)


@pytest.mark.parametrize(
    ("name", "days", "told"),
    [
        ("example.org", 9, r"Hostname mismatch, .*; the URL must have the name that the certificate is for"),
        ("localhost", -1, r"certificate has expired; look at this machine's clock, or have the certificate renewed"),
    ],
)
def test_a_certificate_for_another_name_or_time(
    private_ca: tuple[trustme.CA, Path], name: str, days: int, told: str
) -> None:
    ca, ca_file = private_ca
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name, not_after=datetime.now(timezone.utc) + timedelta(days=days)).configure_cert(context)
    endpoint = Endpoint(context, str(ca_file))
    delivery = Delivery(endpoint, endpoint.ca_file)
    assert re.fullmatch(f"certificate verify failed: {told}", str(delivery.failure()))
    assert (delivery.waits, endpoint.requests) == ([], [])
    endpoint.down()


def test_files_that_cannot_be_used_are_one_clear_line_and_a_mended_one_counts(shown: Shown, tmp_path: Path) -> None:
    uploader = shown.uploader()
    good = shown.cert_file.read_bytes(), shown.key_file.read_bytes()
    pair = f"cert_file {shown.cert_file} and key_file {shown.key_file}"
    shown.key_file.write_bytes(trustme.CA().issue_cert("agent.example").private_key_pem.bytes())
    assert refusal(uploader) == f"{pair}: the key does not belong to the certificate"
    shown.key_file.write_text("no key")
    assert refusal(uploader) == f"{pair}: no certificate with its key (PEM)"
    shown.key_file.write_bytes(encrypted(good[1]))
    assert refusal(uploader) == f"{pair}: the key has a passphrase, which nobody can enter here"
    shown.key_file.unlink()
    assert refusal(uploader) == f"key_file {shown.key_file}: No such file or directory"
    os.mkfifo(shown.key_file)
    assert refusal(uploader) == f"key_file {shown.key_file} is not a regular file"
    shown.key_file.unlink()
    shown.key_file.write_bytes(good[1])
    shown.cert_file.write_text("half a certific")
    assert refusal(uploader) == f"{pair}: no certificate with its key (PEM)"
    assert shown.endpoint.requests == []
    shown.cert_file.write_bytes(good[0])
    assert uploader.post(parcel()).id == "abc123"
    uploader.close()


def encrypted(key: bytes) -> bytes:
    command = ["openssl", "pkcs8", "-topk8", "-passout", "pass:secret-phrase"]
    return subprocess.run(command, input=key, capture_output=True, check=True).stdout


@pytest.mark.parametrize("bundle", [None, "/nowhere/bundle.pem"])
def test_verification_that_is_off_is_off_and_says_nothing_itself(
    tls_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, bundle: str | None
) -> None:
    if bundle:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    uploader = Uploader(config.Endpoint(tls_endpoint.url, token=Secret(TOKEN), verify=False))
    with warnings.catch_warnings(record=True) as told:
        assert uploader.post(parcel()).id == "abc123"
    assert told == []
    uploader.close()


def test_a_delivery_at_work_finishes_on_the_old_certificate(shown: Shown) -> None:
    import threading

    uploader = shown.uploader()
    shown.endpoint.script([Answer(wait_s=0.5, body={"id": "old"})])
    got: list[str | None] = []
    at_work = threading.Thread(target=lambda: got.append(uploader.post(parcel()).id))
    at_work.start()
    shown.endpoint.wait_for(1)
    shown.issue()
    assert uploader.post(parcel()).id == "abc123"
    at_work.join()
    assert got == ["old"]
    uploader.close()
