"""From a file or the environment to a `Config`: found, read, checked, complete."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from pgdoctor_lib.config import Config, Endpoint, Log, Spool, Target, paths
from pgdoctor_lib.config.dsn import Dsn, PasswordSource
from pgdoctor_lib.config.settings import ENDPOINT, Setting, Settings, from_environment, from_file, single_name
from pgdoctor_lib.config.tree import Malformed, parse
from pgdoctor_lib.config.trust import CHANGED, others_write, require_trusted
from pgdoctor_lib.config.values import Around, is_loopback, is_loopback_host
from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.secret import one_line

MAX_BYTES = 1024 * 1024


def load(path: str | None = None, environ: Mapping[str, str] = os.environ, *, need_endpoint: bool = True) -> Config:
    """The configuration in force; ConfigError says in one line what is wrong, where, and what to do.

    Without `need_endpoint` the endpoint's keys are not looked at, and `Config.endpoint` is None.
    """
    settings = read(path, environ, need_endpoint=need_endpoint)
    targets = tuple(_target(each) for each in settings.databases if each["enabled"].value)
    if not targets:
        raise ConfigError(f"{_file(settings)}: databases: none is enabled", hint="nothing would be watched")
    return Config(
        mode="multi" if settings.source else "single",
        source=settings.source,
        endpoint=_endpoint(settings) if need_endpoint else None,
        databases=targets,
        spool=_spool(settings),
        cycle_timeout_s=settings.agent["cycle_timeout"].value,
        shutdown_timeout_s=settings.agent["shutdown_timeout"].value,
        ha=settings.agent["ha"].value,
        budget=settings.agent["budget"].value / 100,
        concurrency=settings.agent["concurrency"].value,
        recorder=settings.agent["recorder"].value or None,
        log=Log(int(settings.agent["log.max_size"].value), settings.agent["log.keep"].value),
        mutes=settings.agent["mute"].value or (),
        thresholds=settings.agent["thresholds"].value or (),
        notify=settings.agent["notify"].value or (),
        warnings=tuple(warnings(settings)),
    )


def target_of(text: str, environ: Mapping[str, str]) -> Target:
    """The database behind a DSN that the command line gave: no configuration is needed."""
    dsn = Dsn.parse(text, environ)
    return Target(single_name(dsn), dsn)


def read(path: str | None = None, environ: Mapping[str, str] = os.environ, *, need_endpoint: bool = True) -> Settings:
    """The settings with their origins, as `config show` lists them; nothing need be complete yet."""
    source = find(path, environ)
    skipped = () if need_endpoint else ENDPOINT
    if source is not None:
        settings = _read_file(source, environ, skipped, is_found=_is_found(source, path, environ))
        _check_names(settings)
        for index, database in enumerate(settings.databases):
            _check_password(database, f"databases[{index}].")
        return settings
    if not environ.get("PGDOCTOR_DSN"):
        raise ConfigError(
            "no configuration: there is no pgdoctor.yaml, and PGDOCTOR_DSN is not set",
            hint='run "pgdoctor config init", or set PGDOCTOR_DSN, PGDOCTOR_ENDPOINT and PGDOCTOR_TOKEN',
        )
    settings = from_environment(Around(environ, os.getcwd()), skipped)
    _check_password(settings.databases[0], "")
    return settings


def find(path: str | None, environ: Mapping[str, str]) -> str | None:
    """The file to read, or None for single-database mode; a file that was named must be there."""
    for name, named in (("--config", path), ("PGDOCTOR_CONFIG", environ.get("PGDOCTOR_CONFIG") or None)):
        if named is not None:
            if not os.path.exists(named):
                raise ConfigError(f"{name}: {one_line(named)}: no such file", hint='"pgdoctor config init" makes one')
            return named
    return next((each for each in paths.config_files(environ) if os.path.exists(each)), None)


def refusal(path: str | None, environ: Mapping[str, str]) -> str:
    """Why the file to read is not opened, or not believed, and what to do; else "". What is in it is not judged."""
    source = find(path, environ)
    file = one_line((source or "").removeprefix("./"))
    try:
        if source is not None:
            _text(source, file, is_found=_is_found(source, path, environ))
    except ConfigError as error:
        return str(error).removeprefix(f"{file}: ")
    return ""


def search_order(path: str | None, environ: Mapping[str, str]) -> list[tuple[str, bool]]:
    """Where a file is looked for, in order, and whether it is the one in use."""
    named = path or environ.get("PGDOCTOR_CONFIG")
    candidates = (named,) if named else paths.config_files(environ)
    used = next((each for each in candidates if os.path.exists(each)), None)
    return [(each, each == used) for each in candidates]


def warnings(settings: Settings) -> Iterator[str]:
    """What is allowed but should not stay so."""
    if settings.source:
        yield from _warn_of_mode(settings, settings.source)
    url = settings.agent["endpoint"].value
    if url and url.startswith("http:") and not is_loopback(url):
        yield f"{settings.agent['endpoint'].origin}: endpoint: http:// sends the token in the clear; use https://"
    if settings.agent["insecure_skip_verify"].value:
        origin = settings.agent["insecure_skip_verify"].origin
        yield f"{origin}: insecure_skip_verify: anybody between here and the endpoint can read the token; use ca_file"
    for channel in settings.agent["notify"].value or ():
        if channel.url and channel.url.reveal().startswith("http:") and not is_loopback(channel.url.reveal()):
            yield f"{settings.agent['notify'].origin}: notify: {channel.name}: http:// is sent in the clear; use https://"
    if settings.agent["ha"].value:
        yield from _warn_of_own_servers(settings)


def _warn_of_mode(settings: Settings, source: str) -> Iterator[str]:
    with suppress(OSError):
        status = os.stat(source)
        if others_write(status):
            yield f"{_file(settings)} {CHANGED}; chmod go-w it"
        if status.st_mode & stat.S_IROTH and _holds_secrets(settings):
            yield f"{_file(settings)} holds secrets and every user can read it; chmod 600 it"


def _warn_of_own_servers(settings: Settings) -> Iterator[str]:
    """With ha the daemons must mean the same server: "this machine" is another one on each host."""
    for database in settings.databases:
        dsn: Dsn = database["dsn"].value
        if all(host.is_socket or is_loopback_host(host.hostaddr or host.host) for host in dsn.hosts):
            yield (
                f"{database['dsn'].origin}: dsn: with ha every daemon must reach the same server, "
                "and this machine is another one on each host; name the server by its own name"
            )
            return


def _is_found(source: str, path: str | None, environ: Mapping[str, str]) -> bool:
    """Whether it was come upon in the working folder, and nobody named it."""
    return path is None and not environ.get("PGDOCTOR_CONFIG") and source.startswith("./")


def _read_file(source: str, environ: Mapping[str, str], skipped: tuple[str, ...], *, is_found: bool) -> Settings:
    file = one_line(source.removeprefix("./"))
    try:
        root = parse(_text(source, file, is_found=is_found))
    except Malformed as error:
        raise ConfigError(f"{file}:{error.line}: {error.what}") from None
    return from_file(root, source, Around(environ, os.path.dirname(os.path.abspath(source))), skipped)


def _text(path: str, file: str, *, is_found: bool) -> str:
    try:
        content = _content(path, file, is_found=is_found)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{file}: larger than 1 MiB; this is no configuration")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{line}: not UTF-8; save the file in that encoding") from None


def _content(path: str, file: str, *, is_found: bool) -> bytes:
    """The bytes of a plain file; a pipe is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{file}: not a plain file")
        if is_found:
            require_trusted(path, file, status)
        return opened.read(MAX_BYTES + 1)


def _file(settings: Settings) -> str:
    return one_line((settings.source or "").removeprefix("./"))


def _check_names(settings: Settings) -> None:
    seen: dict[str, str] = {}
    for index, database in enumerate(settings.databases):
        name: Setting = database["name"]
        if name.value in seen:
            raise ConfigError(f"{name.origin}: databases[{index}].name: given before at {seen[name.value]}")
        seen[name.value] = name.origin


def _check_password(database: dict[str, Setting], path: str) -> None:
    """It comes from one place."""
    given = [key for key in ("password_file", "password_command") if database[key].value]
    for key in given:
        where = f"{database[key].origin}: {path}{key}" if path else database[key].origin
        if database["dsn"].value.password:
            raise ConfigError(f"{where}: the DSN, or its service, has a password as well; keep one of them")
        if len(given) > 1:
            raise ConfigError(f"{where}: {given[1]} is given as well; keep one of them")


def _target(database: dict[str, Setting]) -> Target:
    return Target(
        name=database["name"].value,
        dsn=replace(database["dsn"].value, password_from=_password_source(database)),
        interval_s=database["interval"].value,
        limit=database["limit"].value,
        tags=database["tags"].value or (),
        query_text=database["query_text"].value,
        explain=database["explain"].value,
        discover=database["discover"].value or None,
    )


def _password_source(database: dict[str, Setting]) -> PasswordSource | None:
    file, command = database["password_file"].value, database["password_command"].value
    return PasswordSource(file or "", command) if file or command else None


def _endpoint(settings: Settings) -> Endpoint:
    value = {name: setting.value for name, setting in settings.agent.items()}
    if not value["endpoint"]:
        raise _missing(settings, "PGDOCTOR_ENDPOINT", "endpoint")
    if not value["token"] and not value["token_file"]:
        raise _missing(settings, "PGDOCTOR_TOKEN", "token or token_file")
    if value["key_file"] and not value["cert_file"]:
        raise ConfigError(f"{settings.agent['key_file'].origin}: key_file: cert_file, which it belongs to, is not set")
    return Endpoint(
        url=value["endpoint"],
        token=value["token"],
        token_file=value["token_file"],
        ca_file=value["ca_file"],
        cert_file=value["cert_file"],
        key_file=value["key_file"],
        verify=not value["insecure_skip_verify"],
        timeout_s=value["request_timeout"],
    )


def _missing(settings: Settings, variable: str, keys: str) -> ConfigError:
    elsewhere = f", nor {keys} in {_file(settings)}" if settings.source else ""
    return ConfigError(f"{variable} is not set{elsewhere}")


def _spool(settings: Settings) -> Spool:
    path, max_size, max_age = (settings.agent[f"spool.{key}"].value for key in ("path", "max_size", "max_age"))
    return Spool(path, int(max_size), max_age)


def _holds_secrets(settings: Settings) -> bool:
    token = settings.agent["token"]
    dsns = [database["dsn"] for database in settings.databases]
    if any(setting.is_literal and setting.value is not None for setting in (token, settings.agent["notify"])):
        return True
    return any(dsn.is_literal and dsn.value.secrets for dsn in dsns)
