"""`upload` and `config test`: the daemon's path, walked once in the foreground."""

from collections.abc import Callable

from pgdoctor_lib.agent import cycle
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors.run import Collecting
from pgdoctor_lib.config import Config, Endpoint, Target
from pgdoctor_lib.deliver import rejected
from pgdoctor_lib.deliver.answers import Receipt
from pgdoctor_lib.deliver.parcel import Parcel, pack
from pgdoctor_lib.deliver.spool import Spool
from pgdoctor_lib.deliver.upload import OnRetry, Uploader
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded, DeliveryError, PGDoctorError, Refused, SpoolError
from pgdoctor_lib.secret import one_line, printable
from pgdoctor_lib.snapshot import Snapshot


def take(target: Target, timeout_s: float, clock: Clock) -> Snapshot:
    """Collect once. What goes wrong names the database, and where it was looked for."""
    try:
        return cycle.take(target, _collecting(target), timeout_s, clock)
    except (DatabaseError, DeadlineExceeded) as error:
        where = ", ".join(map(str, target.dsn.hosts))
        hint = error.hint or 'see "pgdoctor config test"'
        raise DatabaseError(
            f"{printable(target.name)}: {error.message} ({where})", detail=error.detail, hint=hint
        ) from None


def _collecting(target: Target) -> Collecting:
    return Collecting(target.dsn, target.limit, target.query_text, explain=target.explain)


def upload(config: Config, target: Target, clock: Clock, on_retry: OnRetry) -> Receipt:
    """Collect once and deliver. What the endpoint does not take now stays in the spool, for the daemon."""
    assert config.endpoint is not None
    parcel = pack(take(target, config.cycle_timeout_s, clock).seal())
    try:
        return Uploader(config.endpoint, clock).deliver(parcel, on_retry)
    except DeliveryError as error:
        kept = _keep(config, parcel, clock, refused=isinstance(error, Refused))
        hint = f"{error.hint}; {kept}" if error.hint else kept
        raise DeliveryError(f"upload failed: {error.message}", detail=error.detail, hint=hint) from None


def _keep(config: Config, parcel: Parcel, clock: Clock, *, refused: bool) -> str:
    """What became of a snapshot that was not taken."""
    path = one_line(config.spool.path)
    try:
        spool = Spool(config.spool.path, config.spool.max_bytes, config.spool.max_age_s, clock)
    except SpoolError as error:
        return f"the snapshot is lost ({error})"
    try:
        spool.keep(parcel)
        if refused:
            spool.reject(parcel)
            return f"the endpoint will never take this snapshot, which is set aside in {path}/{rejected.NAME}"
    except SpoolError as error:
        return f"the snapshot is lost ({error})"
    finally:
        spool.close()
    return f"the snapshot is kept in {path}, and the daemon will deliver it"


def examine(config: Config, clock: Clock, tell: Callable[[str, str, bool], None]) -> bool:
    """Connect to every database and to the endpoint: `tell(what, how it went, well)` of each; whether all went well."""
    results = [_database(target, config.cycle_timeout_s, clock, tell) for target in config.databases]
    results.append(config.endpoint is None or _endpoint(config.endpoint, clock, tell))
    return all(results)


def _database(target: Target, timeout_s: float, clock: Clock, tell: Callable[[str, str, bool], None]) -> bool:
    try:
        collected = cycle.take(target, _collecting(target), timeout_s, clock).collected
    except PGDoctorError as error:
        tell(target.name, f"{error} ({target.dsn})", False)
        return False
    tell(target.name, f"{collected.db_version}, database {collected.db_name}, {len(collected.sections)} sections", True)
    for lacking in collected.errors:
        tell(target.name, lacking.line, False)
    return True


def _endpoint(endpoint: Endpoint, clock: Clock, tell: Callable[[str, str, bool], None]) -> bool:
    try:
        status = Uploader(endpoint, clock).probe()
    except PGDoctorError as error:
        tell("endpoint", f"{error} ({one_line(endpoint.url)})", False)
        return False
    tell("endpoint", f"{one_line(endpoint.url)} answers ({status}); nothing was uploaded", True)
    return True
