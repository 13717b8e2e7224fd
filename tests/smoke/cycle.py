"""One cycle of the installed daemon, from a real server to an endpoint, with the Python that runs this file."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from tests.postgres.fetch import installed
from tests.postgres.server import Server

PGDOCTOR = Path(sys.executable).with_name("pgdoctor")


class Taker(BaseHTTPRequestHandler):
    """Takes every snapshot."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.end_headers()
        self.wfile.write(b'{"id": "smoke"}')

    def log_message(self, *args: object) -> None:
        pass


def main() -> None:
    """Exits with a message when no cycle was delivered, or the daemon did not end well."""
    majors = installed()
    if not majors:
        sys.exit("no PostgreSQL server: run python tests/postgres/fetch.py")
    server = Server.create(max(majors), str(majors[max(majors)]))
    endpoint = HTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        url = f"http://127.0.0.1:{endpoint.server_address[1]}/"
        wanted = {"PGDOCTOR_DSN": server.new_database().dsn, "PGDOCTOR_ENDPOINT": url, "PGDOCTOR_TOKEN": "smoke-token"}
        run_daemon({"PATH": os.environ["PATH"], "HOME": home, "XDG_RUNTIME_DIR": home, "LANG": "C.UTF-8", **wanted})


def run_daemon(environment: dict[str, str]) -> None:
    """Up, one cycle, SIGTERM, exit status 0, nothing on standard error."""
    daemon = subprocess.Popen(
        [PGDOCTOR, "daemon"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    watchdog = threading.Timer(60, daemon.kill)
    watchdog.start()
    assert daemon.stdout
    lines = [next((line for line in daemon.stdout if "#1" in line), "no cycle")]
    daemon.send_signal(signal.SIGTERM)
    output, errors = daemon.communicate()
    watchdog.cancel()
    if "✓ (id=smoke)" not in lines[0] or daemon.returncode or errors:
        sys.exit(f"exit status {daemon.returncode}\n{lines[0]}{output}{errors}")


if __name__ == "__main__":
    main()
