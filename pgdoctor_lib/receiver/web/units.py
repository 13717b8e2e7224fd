"""Numbers with the unit of what they measure, as people write them. The script does the same for its charts."""

import math

from pgdoctor_lib.receiver.web import parts

_PER_SECOND = "/s"
_LEAST, _MOST = 1e-12, 1e24
_ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def told(value: float | None, unit: str) -> str:
    """ "12.3 MiB/s", "1.2k/s", "45 ms", "98.1 %", "3 min"; a dash for None. As HTML."""
    if value is None:
        return parts.NOTHING
    if value == 0:
        return "0"
    bare = unit.removesuffix(_PER_SECOND)
    rate = _PER_SECOND if bare != unit else ""
    if bare in ("bytes", "ms", "s"):
        return (
            parts.size(value) if bare == "bytes" else parts.milliseconds(value * (1000 if bare == "s" else 1))
        ) + rate
    if bare == "%":
        return f"{value:.4g}\u202f%"
    return parts.short(value) + (rate or (f"\u202f{bare}" if bare else ""))


def ceiling(highest: float, unit: str) -> float:
    """A round number, not under the highest: where an axis ends. Of what is beyond all measure, where measure ends."""
    if math.isnan(highest) or highest < _LEAST:
        return 1.0
    highest = min(highest, _MOST)
    if unit == "%" and highest > 50:
        return 100.0
    power = 1.0
    base = 1024.0 if unit.startswith("bytes") else 10.0
    while power * base <= highest:
        power *= base
    while base == 10.0 and power > highest:
        power /= base
    steps = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if base == 1024.0 else _ROUND_STEPS
    return next(power * step for step in steps if power * step >= highest)
