"""What the configuration says of checks: which findings are muted, and which numbers count, of which database."""

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from pgdoctor_lib.checks.diagnose import Limits
from pgdoctor_lib.checks.registry import checks
from pgdoctor_lib.config import Config
from pgdoctor_lib.config.rules import Mute, Thresholds
from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.secret import one_line

UNREACHABLE = "unreachable"  # no check, but told and muted as one: nothing can be collected
Tags = Iterable[str] | Mapping[str, str]


@dataclass(frozen=True)
class Rules:
    """All of them. `Rules.of(config)` raises `ConfigError` where one names a check or a threshold that there is not."""

    mutes: tuple[Mute, ...] = ()
    thresholds: tuple[Thresholds, ...] = ()

    @classmethod
    def of(cls, config: Config) -> "Rules":
        """Those of a configuration, every name known."""
        for mute in config.mutes:
            for name in filter(None, (mute.check, mute.key.partition(":")[0])):
                _expect(name, [*checks(), UNREACHABLE], f"{config.source}: mute: no check is called")
        for rule in config.thresholds:
            _expect(rule.check, checks(), f"{config.source}: thresholds: no check is called")
            known = checks()[rule.check].limits
            for name in rule.limits:
                _expect(name, known, f"{config.source}: thresholds: {rule.check} has no threshold")
        return cls(config.mutes, config.thresholds)

    def limits(self, name: str, tags: Tags) -> Limits:
        """The thresholds of a database that are not the checks' own."""
        found: dict[str, dict[str, float]] = {}
        for rule in self.thresholds:
            if rule.where.fits(name, tags):
                found.setdefault(rule.check, {}).update(rule.limits)
        return found

    def muted(self, name: str, tags: Tags, now: float) -> Callable[[Finding], bool]:
        """Whether a finding of that database is not to be told."""
        mutes = [mute for mute in self.mutes if mute.where.fits(name, tags)]
        return lambda finding: any(mute.covers(finding.check, finding.id, now) for mute in mutes)


def _expect(name: str, known: Collection[str], otherwise: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        raise ConfigError(
            f"{otherwise} {one_line(name)}", hint=f"did you mean {near[0]}?" if near else 'see "pgdoctor explain"'
        )
