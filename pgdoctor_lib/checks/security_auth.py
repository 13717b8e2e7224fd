"""Who is let in, and how: lines of pg_hba.conf that ask for nothing, MD5 hashes, connections in the clear."""

from collections.abc import Iterable

from pgdoctor_lib.checks.altering import alter_system, on_primary, provider
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, Unexamined, check, graded, info, warning
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.quoting import identifier, relation_name
from pgdoctor_lib.secret import one_line
from pgdoctor_lib.units import counted

_MOST_NAMED = 5
_WORDS = ("all", "samenet", "samehost")


@check(category="security", scope="server", reads=("settings", "security", "server"))
def security_auth(now: Document, before: Document) -> Said:
    """The server lets in whom it should not, or in the clear (pg_hba.conf, ssl, password_encryption, MD5 hashes)."""
    yield from _encryption(now)
    yield from _ssl(now)
    yield from _superusers(now)
    yield from _passwords(now)
    yield from _rules(now)


def _encryption(now: Document) -> Said:
    if now.setting("password_encryption") not in ("md5", "on"):
        return
    yield warning(
        "password_encryption",
        "password_encryption is md5: each new password is kept as an MD5 hash, with which whoever reads it can log in",
        subject="password_encryption",
        threshold="password_encryption = md5 (PostgreSQL comes with scram-sha-256 from 14 on)",
        evidence={"setting": now.setting("password_encryption")},
        remedy=alter_system(now, {"password_encryption": "scram-sha-256"}),
        caution="for passwords set from then on; clients older than PostgreSQL 10 do not know SCRAM. Lines with md5 in "
        "pg_hba.conf take both",
    )


def _ssl(now: Document) -> Said:
    listen = now.setting("listen_addresses")
    if now.setting("ssl") != "off" or provider(now) or listen is None or _only_local(listen):
        return
    yield warning(
        "ssl",
        f"ssl is off, and the server listens at {listen}: queries, rows and passwords being set travel in the clear",
        subject="ssl",
        threshold="ssl = off, with addresses in listen_addresses that are not the machine's own loopback",
        evidence={"ssl": "off", "listen_addresses": listen},
        remedy="-- first a certificate and its key, server.crt and server.key (0600), into the data directory:\n"
        "-- without them the server does not start again. When they are there:\n"
        + _comments(line.removeprefix("-- ") for line in alter_system(now, {"ssl": "on"}).splitlines())
        + "-- hostssl in place of host in pg_hba.conf then keeps out who does not encrypt\n",
        caution="without the two files the server does not start again; clients encrypt by themselves where they can",
    )


def _superusers(now: Document) -> Said:
    section = now.one("security")
    count, names = section.get("superuser_count") or 0, section.get("superusers") or []
    if not count or provider(now):
        return
    yield info(
        "superusers",
        f"{counted(count, 'role')} beside the cluster's own may log in as superuser: {_listed(names, count)}",
        subject=str(names[0]) if names else "",
        threshold="pg_roles.rolsuper with rolcanlogin, beside the role that made the cluster",
        evidence={"superuser_count": count, "superusers": names},
        remedy=on_primary(now)
        + "-- those that do not need it; pg_monitor, pg_read_all_data or CREATEROLE is often all they do:\n"
        + _comments(f"ALTER ROLE {identifier(str(name))} NOSUPERUSER;" for name in names),
        caution="what they own stays theirs; what they may do beyond that is gone, and must be granted",
    )


def _passwords(now: Document) -> Said:
    section = now.one("security")
    count, names = section.get("md5_password_count"), section.get("md5_password_roles") or []
    if count is None:
        yield Unexamined("which passwords are MD5 hashes: only a superuser may read pg_authid", ("md5",))
    if not count:
        return
    yield warning(
        "md5",
        f"the password of {counted(count, 'role')} is kept as an MD5 hash, with which whoever reads it can log in: "
        f"{_listed(names, count)}",
        subject=str(names[0]) if names else "",
        threshold="pg_authid.rolpassword begins with md5",
        evidence={"md5_password_count": count, "md5_password_roles": names},
        remedy=on_primary(now)
        + "-- in psql, where the password is asked for and does not get into a log; the same one will do:\n"
        + "SET password_encryption = 'scram-sha-256';\n"
        + _comments("\\password " + relation_name(str(name)) for name in names),
        caution="clients older than PostgreSQL 10 do not know SCRAM; what has the hash itself (PgBouncer's userlist) "
        "needs the new one",
        because_of="security-auth:password_encryption",
    )


def _rules(now: Document) -> Said:
    section = now.one("security")
    if section.get("hba_rule_count") is None:
        if not provider(now):  # a service's own file
            why = "pg_hba.conf: only a superuser may read it; GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO the role"
            yield Unexamined(why, ("trust", "hba"))
        return
    open_lines, wrong_lines = section.get("hba_trust") or [], section.get("hba_errors") or []
    if open_lines:
        yield _trust(now, open_lines, section.get("hba_trust_count") or len(open_lines))
    if wrong_lines:
        yield _wrong(wrong_lines, section.get("hba_error_count") or len(wrong_lines))


def _trust(now: Document, lines: list[Row], count: int) -> Finding:
    first, more = lines[0], f", and {counted(count - 1, 'line')} more" if count > 1 else ""
    listen = now.setting("listen_addresses")
    is_closed = listen is not None and _only_local(listen)
    closed = "; the server listens at loopback alone, and until that changes nobody gets so far" if is_closed else ""
    return graded(
        Severity.WARNING if is_closed else Severity.CRITICAL,
        "trust",
        f"pg_hba.conf lets in from {_address(first)}, without a password, whoever names a role ({_line(first)})"
        f"{more}{closed}",
        subject=_place(first),
        threshold="method trust for other addresses than loopback, without a certificate asked for",
        evidence={"hba_trust_count": count, "hba_trust": lines[:_MOST_NAMED]},
        remedy="-- scram-sha-256 in place of trust in these lines, then a reload:\n"
        + _comments(f"{_place(line)}: {_line(line)}" for line in lines)
        + "SELECT pg_reload_conf();\n",
        caution="who comes in by these lines needs a password from then on: a role without one is locked out",
    )


def _wrong(lines: list[Row], count: int) -> Finding:
    first, more = lines[0], f", and {counted(count - 1, 'line')} more" if count > 1 else ""
    return warning(
        "hba",
        f"pg_hba.conf does not parse ({_place(first)}: {first.get('error')}{more}): no change in it is taken in, and "
        "the server would not start again",
        subject=_place(first),
        threshold="pg_hba_file_rules.error",
        evidence={"hba_error_count": count, "hba_errors": lines[:_MOST_NAMED]},
        remedy="-- mend these lines, then a reload:\n"
        + _comments(f"{_place(line)}: {line.get('error')}" for line in lines)
        + "SELECT pg_reload_conf();\n",
        caution="what was changed in the file since it last parsed is in force from then on, too",
    )


def _comments(lines: Iterable[str]) -> str:
    """Names are anybody's: none ends its comment."""
    return "".join(f"-- {one_line(line)}\n" for line in lines)


def _only_local(listen: str) -> bool:
    addresses = [each.strip() for each in listen.split(",")]
    return all(each in ("", "localhost", "::1") or each.startswith("127.") for each in addresses)


def _place(line: Row) -> str:
    return f"{line.get('file_name') or 'pg_hba.conf'} line {line.get('line_number')}"


def _line(line: Row) -> str:
    who = (",".join(map(str, line.get(each) or ())) for each in ("database", "user_name"))
    return " ".join([str(line.get("type")), *who, _address(line), "trust"])


def _address(line: Row) -> str:
    address, netmask = str(line.get("address")), line.get("netmask")
    return address if address in _WORDS or not netmask else f"{address}/{netmask}"


def _listed(names: list[object], count: int) -> str:
    more = f" and {count - _MOST_NAMED} more" if count > _MOST_NAMED else ""
    return ", ".join(map(str, names[:_MOST_NAMED])) + more
