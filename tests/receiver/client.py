"""A receiver in a process of its own, talked to over real HTTP, politely or in raw bytes."""

import gzip
import json
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from pgdoctor_lib.snapshot import Agent, Collected, CollectorError, Section, Snapshot, Unreachable, new_id
from tests.fix_daemon import Cli, Running

TOKEN = "a-token-for-the-tests-0123456789"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def exchange(
    connection: HTTPConnection, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> Answer:
    """One request on a connection that is closed then; header names with _ for -."""
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


class Client:
    """A started receiver and the requests that tests send it."""

    def __init__(self, cli: Cli, *args: str, env: Mapping[str, str | None] | None = None) -> None:
        self.running: Running = cli.start("serve", "--port", "0", *args, env={"PGDOCTOR_TOKEN": TOKEN, **(env or {})})
        found = self.running.wait_for_line(r"^Receiver listening on http://(\[?[^/]*?\]?):(\d+)/$")
        self.host, self.port = found[1], int(found[2])

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; header names with _ for -."""
        return exchange(HTTPConnection("127.0.0.1", self.port, timeout=30), method, path, body, headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, body: bytes, **headers: str) -> Answer:
        """A snapshot as the agent sends it: gzip, bearer token."""
        given = {"Authorization": f"Bearer {TOKEN}", "Content_Encoding": "gzip", "Content_Type": "application/json"}
        return self.ask("POST", "/api/snapshots", gzip.compress(body), **{**given, **headers})

    def post_plain(self, body: bytes, **headers: str) -> Answer:
        return self.ask("POST", "/api/snapshots", body, **{"Authorization": f"Bearer {TOKEN}", **headers})

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def raw(self, request: bytes) -> bytes:
        """What comes back for these bytes, to the end of the connection."""
        with self.connect() as connection:
            connection.sendall(request)
            return everything(connection)


def everything(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def status_of(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert found, answer[:200]
    return int(found[1])


def head(length: str = "", extra: str = "", host: str = "localhost") -> bytes:
    """The head of an upload, to which tests add what they like."""
    lines = ["POST /api/snapshots HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {TOKEN}", "Connection: close"]
    lines += [f"Content-Length: {length}"] if length else []
    lines += [extra] if extra else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def snapshot(
    name: str = "production",
    *,
    ago_s: float = 0,
    size_bytes: int = 4_200_000_000,
    query: str = "SELECT $1",
    errors: tuple[CollectorError, ...] = (),
    tags: tuple[str, ...] | dict[str, str] = ("critical",),
    unreachable: tuple[Unreachable, ...] = (),
) -> Snapshot:
    at = time.time() - ago_s
    top = [{"fingerprint": "1", "normalized_query": query, "calls": 1523, "total_exec_time_ms": 45_100.5,
            "mean_exec_time_ms": 29.61, "rows": 30_460}]  # fmt: skip
    activity = {"rows": [], "total": {"count": 9, "by_state": {"active": 3, "idle": 6}}, "more": 0}
    sections = (Section("database", json.dumps({"size_bytes": size_bytes})), Section("activity", json.dumps(activity)))
    collected = Collected("app", "PostgreSQL 15.18", sections, json.dumps(top), errors)
    return Snapshot(
        new_id(at), at, 14.2, Agent("1.0.0", "mon-1", 4711, unreachable=unreachable), name, tags, 60, collected
    )
