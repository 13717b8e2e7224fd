"""From one configuration to the next: who comes, who goes, who stays. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pgdoctor_lib.config import Config, Target
from pgdoctor_lib.units import counted


@dataclass(frozen=True)
class Changes:
    """What a reload changes: databases by name, in the new file's order, and whether anything else changed."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    settings: bool

    def __str__(self) -> str:
        return ", ".join(self._parts()) or "nothing changed"

    def _parts(self) -> Iterator[str]:
        for names, what in ((self.added, "added"), (self.removed, "removed"), (self.changed, "changed")):
            if names:
                yield f"{counted(len(names), 'database')} {what}"
        if self.settings:
            yield "settings changed"


def changes(old: Config, new: Config) -> Changes:
    """What is different in `new`."""
    before, after = _by_name(old), _by_name(new)
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in after if name in before and after[name] != before[name]),
        settings=_settings(old) != _settings(new),
    )


def _by_name(config: Config) -> dict[str, Target]:
    return {target.name: target for target in config.databases}


def _settings(config: Config) -> Config:
    """All but the databases, what is only said, and what changes at a restart only."""
    spool = replace(config.spool, path="")
    return replace(config, databases=(), warnings=(), source=None, mode="multi", spool=spool, ha=False)
