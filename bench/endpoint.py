"""`python -m bench.endpoint`: takes snapshots and counts them.

GET tells how many, and their bytes; GET …/first `at_s`, when the first came (time.monotonic(), which is the same in all
processes of a machine), and `collectors`: what each of them cost when it was first asked, in one of the first few.
"""

import gzip
import json
import threading
import time
from collections import ChainMap
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_lock = threading.Lock()
_taken = {"count": 0, "bytes": 0}
_first: list[tuple[float, bytes]] = []
_FEW = 10  # what takes long is left to the next cycles


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # a thousand databases may knock at once


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        now = time.monotonic()
        self._answer(201, {"id": self.headers["Idempotency-Key"]})
        with _lock:
            if len(_first) < _FEW:
                _first.append((now, body))
            _taken["count"] += 1
            _taken["bytes"] += len(body)

    def do_GET(self) -> None:
        with _lock:
            taken, first = dict(_taken), list(_first)
        if not self.path.endswith("/first"):
            self._answer(200, taken)
        elif first:
            ledgers = [json.loads(gzip.decompress(body))["agent"]["collectors"] for _, body in first]
            self._answer(200, {"at_s": first[0][0], "collectors": dict(ChainMap(*ledgers))})
        else:
            self._answer(404, {})

    def log_message(self, *args: Any) -> None:
        """Nothing on standard error."""

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        payload = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


if __name__ == "__main__":
    server = _Server(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
