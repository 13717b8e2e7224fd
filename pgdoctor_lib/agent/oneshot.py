"""`upload` and `config test`: the daemon's path, walked once in the foreground."""

from collections.abc import Callable

from pgdoctor_lib.agent import cycle
from pgdoctor_lib.agent.diagnosis import examined
from pgdoctor_lib.agent.rules import Rules
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors.lacking import Lacking, lacking
from pgdoctor_lib.collectors.run import Collecting
from pgdoctor_lib.config import Config, Endpoint, Target
from pgdoctor_lib.config.values import shown_url
from pgdoctor_lib.deliver import rejected
from pgdoctor_lib.deliver.answers import Receipt
from pgdoctor_lib.deliver.parcel import Parcel, pack
from pgdoctor_lib.deliver.spool import Spool
from pgdoctor_lib.deliver.upload import OnRetry, Uploader
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded, DeliveryError, PGDoctorError, Refused, SpoolError
from pgdoctor_lib.postgres.connect import IsConsole, connect
from pgdoctor_lib.secret import one_line, printable
from pgdoctor_lib.snapshot import Snapshot
from pgdoctor_lib.units import counted

# `tell(what, how it is, well)`; well: None where it works, and could do better.
Tell = Callable[[str, str, bool | None], None]


def take(target: Target, timeout_s: float, clock: Clock, rules: Rules) -> Snapshot:
    """Collect once, and examine. What goes wrong names the database, and where it was looked for."""
    try:
        return examined(cycle.take(target, _collecting(target), timeout_s, clock), rules)
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
    parcel = pack(take(target, config.cycle_timeout_s, clock, Rules.of(config)).seal())
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


def examine(config: Config, clock: Clock, tell: Tell) -> bool:
    """Connect to every database and to the endpoint: what works, what is told in part alone; whether all went well.

    What a server has in common is told once, with the first of its databases.
    """
    told: set[tuple[object, str]] = set()
    results = [_database(target, config.cycle_timeout_s, clock, tell, told) for target in config.databases]
    results.append(config.endpoint is None or _endpoint(config.endpoint, clock, tell))
    return all(results)


def _database(target: Target, timeout_s: float, clock: Clock, tell: Tell, told: set[tuple[object, str]]) -> bool:
    try:
        collected = cycle.take(target, _collecting(target), timeout_s, clock).collected
        provider, partly = _lacking(target)
    except PGDoctorError as error:
        tell(target.name, f"{error} ({target.dsn})", False)
        return False
    version = f"{collected.db_version} on {provider}" if provider else collected.db_version
    sections = counted(len(collected.sections), "section")
    tell(target.name, f"{version}, database {collected.db_name}, {sections}", True)
    for failure in collected.errors:
        tell(target.name, failure.line, False)
    of_server = {(target.dsn.hosts, line) for line in partly.server}
    for line in (*partly.server, *partly.database):
        if (target.dsn.hosts, line) not in told:
            tell(target.name, line, None)
    told |= of_server
    return True


def _lacking(target: Target) -> tuple[str, Lacking]:
    """Who runs the server, if it tells, and what is told in part alone. PgBouncer's console tells all."""
    provider, nothing = "", Lacking((), ())
    try:
        with connect(target.dsn) as session:
            provider = session.facts.provider
            return provider, lacking(session)
    except IsConsole:
        return provider, nothing
    except PGDoctorError as error:  # what was collected is told all the same
        return provider, Lacking((f"what is told in part is not known: {error}",), ())


def _endpoint(endpoint: Endpoint, clock: Clock, tell: Tell) -> bool:
    try:
        status = Uploader(endpoint, clock).probe()
    except PGDoctorError as error:
        tell("endpoint", f"{error} ({one_line(shown_url(endpoint.url))})", False)
        return False
    tell("endpoint", f"{one_line(shown_url(endpoint.url))} answers ({status}); nothing was uploaded", True)
    return True
