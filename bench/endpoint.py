"""`python -m bench.endpoint`: takes snapshots and counts them. GET tells how many, and their bytes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_lock = threading.Lock()
_taken = {"count": 0, "bytes": 0}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201, {"id": self.headers["Idempotency-Key"]})
        with _lock:
            _taken["count"] += 1
            _taken["bytes"] += len(body)

    def do_GET(self) -> None:
        with _lock:
            taken = dict(_taken)
        self._answer(200, taken)

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
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
