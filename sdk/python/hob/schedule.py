"""② When a deployed function is called by itself. What the texts mean is checked by `hob`, which has the calendar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_policies = ("skip", "once", "all")


@dataclass(frozen=True)
class Cron:
    """
    Five fields, "minute hour day month weekday" (six: seconds first), in a time zone: `hob.Cron("0 3 * * *", tz="Europe/Berlin")`. A time that a
    change of daylight saving skips is made up for right after it, one that comes twice counts once. `missed` says what becomes of firings
    while nobody could make them: "skip" them, make "once" for all of them, or "all".
    """

    text: str
    tz: str = "UTC"
    missed: str = "skip"

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not isinstance(self.tz, str):
            raise TypeError(f'Cron({self.text!r}, tz={self.tz!r}) takes texts; write for example hob.Cron("0 3 * * *", tz="Europe/Berlin")')
        _check_missed(self.missed)

    @property
    def definition(self) -> dict[str, Any]:
        return {"cron": self.text, "time_zone": self.tz, "period_ms": 0, "missed": self.missed}


@dataclass(frozen=True)
class Period:
    """Every so often, from the first deployment that has it on: `hob.Period(minutes=5)`. `missed` as for Cron."""

    days: float = 0
    hours: float = 0
    minutes: float = 0
    seconds: float = 0
    missed: str = "skip"

    def __post_init__(self) -> None:
        for name in ("days", "hours", "minutes", "seconds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise ValueError(f"Period({name}={value!r}) is no length of time; write for example hob.Period(minutes=5)")
        if self._ms < 1_000:
            raise ValueError("Period(...) is at least a second long; write for example hob.Period(minutes=5)")
        _check_missed(self.missed)

    @property
    def _ms(self) -> int:
        return round((((self.days * 24 + self.hours) * 60 + self.minutes) * 60 + self.seconds) * 1_000)

    @property
    def definition(self) -> dict[str, Any]:
        return {"cron": "", "time_zone": "", "period_ms": self._ms, "missed": self.missed}


def _check_missed(missed: Any) -> None:
    if missed not in _policies:
        raise ValueError(f'missed={missed!r} is no policy; there are {", ".join(map(repr, _policies))}')
