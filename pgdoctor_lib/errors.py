"""The family of errors. Each knows what happened, the detail, the remedy and the exit status.

    PGDoctorError (1)
    ├── UsageError (2)              a command line that makes no sense
    ├── ConfigError (2)             a configuration that makes no sense
    ├── DeadlineExceeded            something took longer than it was given
    ├── DatabaseError               the server could not be reached, or refused
    │   ├── UnsupportedServer       a server older than PostgreSQL 12
    │   ├── connect.IsConsole       PgBouncer's admin console, where a database is wanted
    │   └── lease.Pooled            a pooler in between, where a session of one's own is needed
    ├── DeliveryError               the endpoint could not be reached, or refused
    │   ├── Retryable               408, 425, 429, 5xx, and the network, certificates apart
    │   ├── Unauthorized            401 and 403: the token is not accepted
    │   ├── Refused                 any other answer: this snapshot will never be taken
    │   └── circuit.Held            not sent, for the endpoint is known to be down: it is kept
    ├── SpoolError                  a snapshot could not be kept on disk
    ├── model.StoreError            the receiver's store could not be read or written
    │   └── model.Unreadable        one row of it is damaged
    └── DaemonError                 not running (3 for status), not up
        └── pidfile.AlreadyRunning  another process holds the lock

Messages are one line, without secrets and without control characters: whoever raises one from
text that came from outside passes it through `secret.one_line` first.
"""


class PGDoctorError(Exception):
    """What went wrong (`message`), more of it (`detail`), what to do (`hint`)."""

    exit_status = 1

    def __init__(self, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        """One line: the message, then the detail, then the hint."""
        text = f"{self.message}: {self.detail}" if self.detail else self.message
        return f"{text}; {self.hint}" if self.hint else text


class UsageError(PGDoctorError):
    """A command line that makes no sense."""

    exit_status = 2


class ConfigError(PGDoctorError):
    """A configuration that makes no sense: file, line and key are in the message."""

    exit_status = 2


class DeadlineExceeded(PGDoctorError):
    """Something took longer than it was given."""


class DatabaseError(PGDoctorError):
    """The server could not be reached, or refused what was asked. `sqlstate` where it gave one."""

    def __init__(self, message: str, *, detail: str = "", hint: str = "", sqlstate: str = "") -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.sqlstate = sqlstate


class UnsupportedServer(DatabaseError):
    """A server older than the oldest supported major."""


class DeliveryError(PGDoctorError):
    """The endpoint could not be reached, or did not take the snapshot."""


class Retryable(DeliveryError):
    """The next attempt may succeed.

    `retry_after_s`: what the endpoint asked for, or 0. `status`: of its HTTP answer, 0 where none came.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0, status: int = 0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.status = status


class Unauthorized(DeliveryError):
    """The endpoint does not accept the token (401, 403)."""


class Refused(DeliveryError):
    """The endpoint will never take this snapshot."""


class SpoolError(PGDoctorError):
    """A snapshot could not be kept on disk."""


class DaemonError(PGDoctorError):
    """The background daemon is not in the state that the command needs."""

    def __init__(self, message: str, *, hint: str = "", exit_status: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.exit_status = exit_status
