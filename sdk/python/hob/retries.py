"""② When a call that has failed is tried again: the policy that a function declares."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_duration = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)\s*")
_units = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_most_count = 100
_longest_ms = 24 * 3_600_000


@dataclass(frozen=True)
class Retries:
    """So many further attempts. The first waits `delay`, each one after it `backoff` times as long, none longer than `max_delay`.
    Times are seconds, or text: "250ms", "1s", "2m"."""

    count: int
    delay: float | str = 0
    backoff: float = 2.0
    max_delay: float | str = "60s"

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or not 0 <= self.count <= _most_count:
            raise ValueError(f"Retries(count={self.count!r}) is out of range; give 0 to {_most_count} further attempts")
        if isinstance(self.backoff, bool) or not isinstance(self.backoff, (int, float)) or not 1 <= self.backoff <= 100:
            raise ValueError(f"Retries(backoff={self.backoff!r}) is out of range; give 1 (each waits the same) to 100")
        delay, most = duration_ms("delay", self.delay), duration_ms("max_delay", self.max_delay)
        if delay > most:
            raise ValueError(f"Retries(delay={self.delay!r}) is longer than max_delay={self.max_delay!r}; lower the one or raise the other")


def duration_ms(option: str, value: float | str) -> int:
    match = _duration.fullmatch(value) if isinstance(value, str) else None
    if match:
        ms = float(match[1]) * _units[match[2]]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        ms = value * 1_000
    else:
        raise TypeError(f'Retries({option}={value!r}) is not a time; write for example {option}="1s", or a number of seconds')
    if not 0 <= ms <= _longest_ms:
        raise ValueError(f"Retries({option}={value!r}) is out of range; give 0 to 24 hours")
    return round(ms)


def policy(retries: Any) -> tuple[int, dict[str, Any] | None]:
    """(further attempts, what they wait) for what a decorator declares."""
    if not isinstance(retries, Retries):
        if isinstance(retries, bool) or not isinstance(retries, int):
            raise TypeError(f"retries={retries!r} is not a whole number; write for example retries=2")
        if retries < 0:
            raise ValueError(f"retries={retries} is negative; give 0 or more")
        return retries, None
    delay = duration_ms("delay", retries.delay)
    if delay == 0:
        return retries.count, None
    most = duration_ms("max_delay", retries.max_delay)
    return retries.count, {"delay_ms": delay, "factor": retries.backoff, "max_delay_ms": most}
