"""The table of options: a row here is all that a new option needs.

The parser, the range checks, "did you mean", `config init`'s sample, `config show` and the tables
in docs/configuration.md are made from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

from pgdoctor_lib.config import notify, rules, values
from pgdoctor_lib.config.values import Kind


class Scope(Enum):
    """Where an option may stand: at the file's top, or under a database."""

    AGENT = "at the top level"
    DATABASE = "under databases"


AGENT = (Scope.AGENT,)
DATABASE = (Scope.DATABASE,)
BOTH = (Scope.AGENT, Scope.DATABASE)


@dataclass(frozen=True)
class Option:
    """One key. `default` is written as in the file ("" for none); a dot in `name` is a nested key."""

    name: str
    kind: Kind
    text: str
    default: str = ""
    env: str = ""
    scope: tuple[Scope, ...] = AGENT
    example: str = ""
    required: bool = False

    @property
    def is_secret(self) -> bool:
        """True where the value is never shown."""
        return self.kind is values.TOKEN


OPTIONS = (
    Option("endpoint", values.URL, env="PGDOCTOR_ENDPOINT", required=True,
           example='"https://api.example.com/api/snapshots"',
           text="Where snapshots are sent."),
    Option("token", values.TOKEN, env="PGDOCTOR_TOKEN", required=True,
           example='"${PGDOCTOR_TOKEN}"',
           text="What the endpoint knows this agent by (Authorization: Bearer …)."),
    Option("token_file", values.TOKEN_FILE,
           example="/run/credentials/pgdoctor/token",
           text="A file that holds the token, instead of token; read anew when it changes."),
    Option("ca_file", values.CA_FILE, env="PGDOCTOR_CA_FILE",
           example="/etc/pgdoctor/ca.pem",
           text="Certificates of the authority that signed the endpoint's, where it is a private one."),
    Option("cert_file", values.CERT_FILE,
           example="/etc/pgdoctor/client.pem",
           text="The certificate that this agent shows an endpoint that asks for one; read anew when it changes."),
    Option("key_file", values.KEY_FILE,
           example="/etc/pgdoctor/client.key",
           text="The private key of cert_file, where it is not in that file."),
    Option("insecure_skip_verify", values.FLAG, default="false",
           text="Take whatever certificate the endpoint shows. Anybody in between can then read the token."),
    Option("name", values.NAME, scope=DATABASE, required=True,
           example='"production"',
           text="Its name in lines, snapshots and commands; unique."),
    Option("dsn", values.DSN, env="PGDOCTOR_DSN", scope=DATABASE, required=True,
           example='"postgresql://pgdoctor@localhost:5432/postgres"',
           text="How to connect: all that libpq takes."),
    Option("password_file", values.PATH, env="PGDOCTOR_PASSWORD_FILE", scope=DATABASE,
           example="/run/credentials/pgdoctor/password",
           text="A file that holds the password; read at each connection."),
    Option("password_command", values.COMMAND, env="PGDOCTOR_PASSWORD_COMMAND", scope=DATABASE,
           example="[/usr/local/bin/pg-password, production]",
           text="A command that prints the password; run, without a shell, when a connection needs it."),
    Option("discover", values.DISCOVER, default="false", scope=DATABASE,
           text="true: watch every database of this server. Or those that fit: {include: [app_*], exclude: [*_old]}."),
    Option("interval", values.duration(1, 86_400), default="300", env="PGDOCTOR_INTERVAL", scope=BOTH,
           text="Time between two snapshots: seconds, or 30s, 5m, 1h."),
    Option("limit", values.whole(1, 200), default="20", env="PGDOCTOR_LIMIT", scope=BOTH,
           text="Top queries in a snapshot."),
    Option("query_text", values.choice("full", "masked", "none"), default="masked", scope=BOTH,
           text="Query texts in snapshots: masked (no constants), full (as PostgreSQL shows them, but for passwords) "
                "or none."),
    Option("explain", values.FLAG, default="false", scope=BOTH,
           text="Also collect the plans of the queries that cost most (EXPLAIN, never executed; PostgreSQL 16 and "
                "later)."),
    Option("budget", values.percent(0.1, 100), default="1%",
           text="What the agent may take of a server's time; beyond it, it asks less often by itself."),
    Option("concurrency", values.whole(1, 64), default="10",
           text="How many of one server's databases are collected from at the same time, at most."),
    Option("recorder", values.RECORDER, default="true",
           text="Record each second, for up to a minute, what sessions do while more of them wait for a lock, or work, "
                "than is usual at that server; or than you say: {waiters: 10, active: 50}."),
    Option("mute", rules.MUTE,
           example="[{check: index-unused, database: reports*, until: 2027-01-31, reason: yearly job}]",
           text="Findings that are not told: by check, key (check:object), database (a pattern) or tag, each with an "
                "end and a reason, if you like."),
    Option("thresholds", rules.THRESHOLDS,
           example="[{check: long-transaction, warning_s: 4h, tag: batch}]",
           text="Numbers that a check goes by in place of its own (pgdoctor explain lists them), of all databases, or "
                "of those that fit a pattern or have a tag; the last that fits counts."),
    Option("notify", notify.NOTIFY,
           example='[{webhook: "https://alerts.example.com/pgdoctor", severity: critical}]',
           text="Who is told when a finding opens, is still there, or is gone: by webhook, slack, pagerduty or "
                "command; docs/notify.md has it all."),
    Option("cycle_timeout", values.duration(1, 3600), default="60",
           text="What one cycle may take to collect from a database."),
    Option("shutdown_timeout", values.duration(0, 3600), default="30",
           text="How long a stop waits for the cycles that are at work."),
    Option("request_timeout", values.duration(1, 600), default="30",
           text="What one exchange with the endpoint may take, from the connection to the end of the answer."),
    Option("spool.path", values.PATH,
           example="/var/lib/pgdoctor/spool",
           text="The folder for snapshots that the endpoint has not taken yet; "
                "by default in the user's state folder."),
    Option("spool.max_size", values.size(1024**2, 1024**4), default="256MiB",
           text="What the spool may hold; beyond it the oldest snapshots are dropped."),
    Option("spool.max_age", values.duration(60, 365 * 86_400), default="7d",
           text="How long a snapshot is kept for the endpoint."),
    Option("ha", values.FLAG, default="false",
           text="Share the work with other daemons that have this configuration, on other hosts: "
                "each database is collected by one of them at a time."),
    Option("log.max_size", values.size(64 * 1024, 1024**3), default="10MiB",
           text="At this size the log file (--log-file, daemon start) is put aside as .1 and a new one begun."),
    Option("log.keep", values.whole(0, 100), default="5",
           text="How many log files that were put aside are kept; 0: the log is never put aside."),
    Option("tags", values.TAGS, scope=DATABASE,
           example="[production, critical]",
           text="Words that go into each snapshot; a mapping, too."),
    Option("enabled", values.FLAG, default="true", scope=DATABASE,
           text="false: leave it alone, but keep its lines here."),
)  # fmt: skip


def options(scope: Scope) -> dict[str, Option]:
    """The options that may stand there, by name."""
    return {option.name: option for option in OPTIONS if scope in option.scope}


def did_you_mean(key: str, known: Iterable[str], scope: Scope) -> str:
    """A hint for an unknown key, or "": the nearest known one, or the place where it belongs."""
    near = get_close_matches(key.lower(), list(known), 1, 0.6)
    if near:
        return f"did you mean {near[0]}?"
    elsewhere = [option for option in OPTIONS if option.name == key and scope not in option.scope]
    return f"it belongs {elsewhere[0].scope[0].value}" if elsewhere else ""
