"""contrib/nginx.conf in a real nginx before real receivers: uploads, pages, bounds, a receiver that dies."""

import gzip
import os
import re
import shutil
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from html import unescape
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import pytest
import trustme

from tests.fix_daemon import ROOT, Cli
from tests.postgres.server import Database, Server, free_port
from tests.receiver.client import TOKEN, Answer, Client, exchange, snapshot
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="no nginx here")
BEARER = {"Authorization": f"Bearer {TOKEN}"}
_MAIN = """
daemon off; {user} pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/pgdoctor.conf;
}}
"""


class Nginx:
    """It runs with contrib's file, in which nothing but addresses and the certificate's files is changed."""

    def __init__(self, folder: Path, ca: trustme.CA, ca_file: Path, ports: list[int]) -> None:
        self.folder, self.ca_file = folder, ca_file
        self.tls_port, self.plain_port = free_port(), free_port()
        self._context = ssl.create_default_context(cafile=str(ca_file))
        certificate = ca.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
        for part in certificate.cert_chain_pems:
            part.write_to_path(str(folder / "crt.pem"), append=True)
        (folder / "pgdoctor.conf").write_text(self._conf(ports))
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
        command = ["nginx", "-e", str(folder / "start.log"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=30, check=False)
        assert (checked.returncode, "warn" in checked.stderr) == (0, False), checked.stderr
        self.process = subprocess.Popen(command)
        wait_for(self._answers, "nginx answers", 30)

    def _answers(self) -> bool:
        with suppress(OSError):
            return self.get("/healthz").status == 200
        return False

    def _conf(self, ports: list[int]) -> str:
        text = (ROOT / "contrib" / "nginx.conf").read_text()
        for before, after in (
            (r"listen 443 ssl;", f"listen 127.0.0.1:{self.tls_port} ssl;"),
            (r"listen 80;", f"listen 127.0.0.1:{self.plain_port};"),
            (r"listen \[::\]:.*\n", "\n"),
            (r"/etc/nginx/pgdoctor.crt", f"{self.folder}/crt.pem"),
            (r"/etc/nginx/pgdoctor.key", f"{self.folder}/key.pem"),
            (r"server 127.0.0.1:8432;", " ".join(f"server 127.0.0.1:{port};" for port in ports)),
        ):
            text, times = re.subn(before, after, text)
            assert times, f"{before} is not in contrib/nginx.conf"
        return text

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request, on a connection of its own."""
        connection = HTTPSConnection("localhost", self.tls_port, timeout=60, context=self._context)
        return exchange(connection, method, path, body, headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, body: bytes) -> Answer:
        return self.ask("POST", "/api/snapshots", gzip.compress(body), Content_Encoding="gzip", **BEARER)

    def errors(self) -> str:
        """What nginx has logged."""
        return (self.folder / "error.log").read_text()[-4000:]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def nginx(tmp_path: Path, private_ca: tuple[trustme.CA, Path]) -> Iterator[Callable[..., Nginx]]:
    """`nginx(client, …)`: before these receivers."""
    made: list[Nginx] = []

    def start(*receivers: Client) -> Nginx:
        folder = tmp_path / "nginx"
        folder.mkdir(mode=0o700)
        made.append(Nginx(folder, *private_ca, [each.port for each in receivers]))
        return made[-1]

    yield start
    for each in made:
        each.stop()


@pytest.fixture
def store(newest_server: Server) -> Iterator[Database]:
    made = newest_server.new_database()
    yield made
    made.drop()


def test_the_agent_uploads_through_it(cli: Cli, nginx: Callable[..., Nginx], newest_server: Server) -> None:
    proxy = nginx(Client(cli, "--sign-in"))
    env = {
        "PGDOCTOR_DSN": newest_server.dsn(), "PGDOCTOR_TOKEN": TOKEN, "PGDOCTOR_CA_FILE": str(proxy.ca_file),
        "PGDOCTOR_ENDPOINT": f"https://localhost:{proxy.tls_port}/api/snapshots",
    }  # fmt: skip
    done = cli.run("upload", env=env)
    assert (done.returncode, done.stderr) == (0, ""), done
    (found,) = proxy.get("/api/databases", **BEARER).json["databases"]
    assert f"id={found['snapshot_id']}" in done.stdout
    plain = f"http://localhost:{proxy.plain_port}/api/snapshots"
    done = cli.run("upload", env={**env, "PGDOCTOR_ENDPOINT": plain})
    assert done.returncode == 1
    assert "301" in done.stderr, done


def test_people_sign_in_and_read_through_it(cli: Cli, nginx: Callable[..., Nginx]) -> None:
    receiver = Client(cli)  # even without --sign-in: the file says where requests come from
    proxy = nginx(receiver)
    assert proxy.post(snapshot().body()).status == 201
    for path in ("/", "/api/databases", "/metrics"):
        assert proxy.get(path).status == 401
    signed_in = proxy.ask("POST", "/login", f"token={TOKEN}".encode())
    cookie, *attributes = signed_in.headers["set-cookie"].split("; ")
    assert (signed_in.status, signed_in.headers["location"]) == (303, "/")
    assert "Secure" in attributes
    page = proxy.get("/", Cookie=cookie)
    found = re.search(r'href="(/databases/[0-9a-f]{12}[^"]*)"', page.text)
    assert (page.status, bool(found)) == (200, True)
    view = proxy.get(unescape(found[1]) if found else "", Cookie=cookie, Accept_Encoding="gzip")
    assert (view.status, view.headers["content-encoding"]) == (200, "gzip")
    assert "production" in gzip.decompress(view.body).decode()
    assert "max-age=" in page.headers["strict-transport-security"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert proxy.get("/metrics", **BEARER).status == 200
    assert receiver.get("/api/databases").status == 200, "on the machine itself it is open, then"


def test_its_bounds_are_the_receivers(cli: Cli, nginx: Callable[..., Nginx]) -> None:
    proxy = nginx(Client(cli))
    most = 8 * 1024**2
    within = proxy.ask("POST", "/api/snapshots", b"\xff" * most, **BEARER)
    assert (within.status, within.json["error"]) == (400, "the body is not JSON in UTF-8")
    assert proxy.ask("POST", "/api/snapshots", os.urandom(most + 1), **BEARER).status == 413


def test_a_receiver_that_is_killed_is_seen_by_nobody(cli: Cli, nginx: Callable[..., Nginx], store: Database) -> None:
    receivers = [Client(cli, "--store", store.server.dsn(store.name)) for _ in range(2)]
    proxy = nginx(*receivers)
    waiting = [snapshot(f"db{number % 5}", ago_s=number).body() for number in range(400)]
    answers: list[int | str] = []

    def send() -> None:
        while waiting:
            try:
                answers.append(proxy.post(waiting.pop()).status)
            except IndexError:
                return
            except (OSError, HTTPException) as error:
                answers.append(repr(error))

    senders = [threading.Thread(target=send) for _ in range(6)]
    for sender in senders:
        sender.start()
    try:
        wait_for(lambda: len(answers) >= 100, lambda: f"{Counter(answers)} so far; {proxy.errors()}", 60)
        receivers[0].running.kill()
        wait_for(lambda: len(answers) == 400, lambda: f"{Counter(answers)} so far; {proxy.errors()}", 120)
    finally:
        waiting.clear()
        for sender in senders:
            sender.join()
    assert set(answers) <= {201, 409}, f"{Counter(answers)}; {proxy.errors()}"
    for table in ("snapshot", "body", "point"):
        assert store.sql(f"SELECT count(*) FROM pgdoctor.{table}") == [(400,)]
    assert proxy.get("/readyz").status == 200
