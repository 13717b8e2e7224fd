"""Databases of which their agent tells, in the snapshots of others, that it cannot collect anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgdoctor_lib.receiver.store.model import Source
from pgdoctor_lib.receiver.web import parts
from pgdoctor_lib.receiver.web.state import state


@dataclass(frozen=True)
class Down:
    """Since when (epoch seconds, None where that is not told), why, and the host of the agent that tells so."""

    project: str
    name: str
    since: float | None
    error: str
    hostname: str

    def words(self, now: float) -> str:
        """Why there are no data, in plain text."""
        lasting = "" if self.since is None else f", for {parts.span(max(0.0, now - self.since))}"
        return f"its agent{f' on {self.hostname}' if self.hostname else ''} tells: {self.error}{lasting}"


def told(sources: Sequence[Source], now: float) -> Mapping[tuple[str, str], Down]:
    """By project and name, as the newest snapshots that still come tell; not what has sent data since."""
    newest = {(source.project, source.name): source.collected_at for source in sources}
    found = {}
    for source in sorted(sources, key=lambda source: source.collected_at):
        if state(source, now)[0] == "stale":
            continue
        for each in source.summary.get("unreachable") or ():
            key = source.project, each["name"]
            if newest.get(key, 0.0) < (each["since"] or source.collected_at):
                found[key] = Down(*key, each["since"], each["error"], source.hostname)
    return found
