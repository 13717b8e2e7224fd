"""An endpoint and a PostgreSQL server that send back whatever secret they were given, in every form and place."""

import base64
import html
import json
import re
import socket
import struct
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote


def forms(secret: str) -> list[str]:
    """The secret as a server may write it."""
    once = quote(secret, safe="")
    return [
        secret,
        once,
        re.sub("%..", lambda match: match[0].lower(), once),
        quote(once, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        html.escape(secret),
        repr(secret.encode())[2:-1],
        secret.encode().decode("latin-1"),
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(b"u:" + secret.encode()).decode(),
    ]


def needles(secret: str) -> list[str]:
    """What is to be searched for: of base64 the characters that depend on the secret alone."""
    *others, alone, after_user = forms(secret)
    return [*others, alone.rstrip("=")[:-1], after_user.rstrip("=")[3:-1]]


class EchoEndpoint:
    """Answers differently each time: any status, the token in reason, headers and body. `bodies`: what came."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.count = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/snapshots"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        echo = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                echo.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                echo.count += 1
                token = self.headers.get("Authorization", "").partition(" ")[2]
                bad = (503, 401, 400, 302, 307, 422, 500, 599)[echo.count // 2 % 8]
                status = bad if echo.count % 2 else 200  # or the agent would hold back
                said = (forms(token) if token else ["nothing"])[echo.count % 11].replace("\n", " ")
                self._send(
                    status, said, json.dumps({"id": said, "source_id": said, "received_at": token, "error": said})
                )

            do_GET = do_HEAD = do_POST = do_OPTIONS = answer

            def _send(self, status: int, said: str, body: str) -> None:
                reason = said.encode("latin-1", "replace").decode("latin-1")
                with suppress(OSError):
                    self.send_response(status, reason)
                    for name in ("Location", "Retry-After", "X-Echo", "WWW-Authenticate", "Content-Type"):
                        self.send_header(name, f"http://127.0.0.1/{reason}" if name == "Location" else reason)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(body.encode())

            def log_message(self, *args: Any) -> None:
                """Nothing on the test's standard error."""

        return Handler


class EchoPostgres:
    """Asks for the password in clear, and refuses with it in the message: another form each time. `passwords`: seen."""

    def __init__(self) -> None:
        self.passwords: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def end(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                connection.settimeout(5)
                with connection, suppress(OSError, struct.error):
                    self._refuse(connection)

    def _refuse(self, connection: socket.socket) -> None:
        while connection.recv(65536)[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # SSL, GSS
            connection.sendall(b"N")
        connection.sendall(b"R" + struct.pack("!ii", 8, 3))
        password = connection.recv(65536)[5:-1].decode("utf-8", "replace")
        self.passwords.append(password)
        said = forms(password)[len(self.passwords) % 11]
        notice = f"SNOTICE\0VNOTICE\0C01000\0Mwelcome {said}\0\0".encode()
        fields = f"SFATAL\0VFATAL\0C28P01\0Mno {said} for you\0D{said}\0H{said}\0\0".encode()
        if len(self.passwords) % 2:  # let in first: a notice may only come then
            connection.sendall(b"R" + struct.pack("!ii", 8, 0) + b"N" + struct.pack("!i", len(notice) + 4) + notice)
        connection.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)
