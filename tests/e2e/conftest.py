"""What the end-to-end tests share: a daemon's environment and a configuration file."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Server

TOKEN = "tok-e2e-5f1c0a"
STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]"


@pytest.fixture
def sick(make_server: Callable[..., Server]) -> Server:
    """A server one of whose slots has lost its WAL."""
    server = make_server(max_slot_wal_keep_size="1MB", max_wal_size="32MB", min_wal_size="32MB")
    server.sql("SELECT pg_create_physical_replication_slot('gone', true)")
    for _ in range(4):
        server.sql("CREATE TABLE filler AS SELECT g FROM generate_series(1, 1000) g; DROP TABLE filler")
        server.sql("SELECT pg_switch_wal()")
    server.sql("CHECKPOINT")
    return server


@pytest.fixture
def single(endpoint: Endpoint) -> Callable[..., dict[str, str]]:
    """`single(dsn, interval=1)`: the environment of single-database mode, uploading to `endpoint`."""

    def make(dsn: str, interval: float = 1) -> dict[str, str]:
        return {
            "PGDOCTOR_DSN": dsn,
            "PGDOCTOR_ENDPOINT": endpoint.url,
            "PGDOCTOR_TOKEN": TOKEN,
            "PGDOCTOR_INTERVAL": str(interval),
        }

    return make


@pytest.fixture
def multi(cli: Cli, endpoint: Endpoint) -> Callable[..., Path]:
    """`multi({"production": {"dsn": …, "interval": 1}}, shutdown_timeout=2)`: writes ./pgdoctor.yaml."""

    def make(databases: dict[str, dict[str, Any]], **settings: object) -> Path:
        rows = [{"name": name, **options} for name, options in databases.items()]
        document = {"endpoint": endpoint.url, "token": TOKEN, **settings, "databases": rows}
        path = cli.cwd / "pgdoctor.yaml"
        path.touch(0o600)
        path.write_text(json.dumps(document))  # JSON is YAML
        return path

    return make


def shape(lines: list[str]) -> list[str]:
    """Lines with the times replaced: what SPEC's samples say, whenever they were written."""
    return [re.sub(STAMP, "[time]", line) for line in lines]
