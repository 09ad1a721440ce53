"""② What a decorator declares, checked: options to the plain dict that `hob` reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypedDict

from .image import Image
from .retries import Retries, policy
from .schedule import Cron, Period

_size = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)\s*", re.IGNORECASE)
_factors = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_gpu = re.compile(r"(any|[A-Za-z][A-Za-z0-9._ -]*?)(?::([1-9]\d{0,2}))?")
_networks = ("internet", "none")
_secret = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_smallest_memory = 16 << 20  # below it no interpreter starts
default_memory = "512MiB"


class Options(TypedDict, total=False):
    """What a function or a class may declare. Sizes as text or bytes, times in seconds."""

    image: Image | None
    cpu: float | None  # cores
    memory: str | int  # the container's hard limit: "512MiB", or bytes
    gpu: str | None  # "any", a model ("H100"), each with a count ("H100:2")
    timeout: float | None  # of each attempt
    retries: int | Retries  # attempts beyond the first, and what they wait
    min_containers: int
    max_containers: int | None
    buffer_containers: int  # kept ready beyond those that are busy
    concurrency: int  # calls that one container runs at a time
    idle_timeout: float | None  # a container with nothing to do for so long ends
    network: str  # "internet" or "none"
    secrets: Sequence[str]  # names, found in the environment
    schedule: Cron | Period | None  # when the live deployment calls it by itself


def make_spec(name: str, options: Options) -> dict[str, Any]:
    """Raises TypeError or ValueError, with one sentence that quotes the option as it was written."""
    unknown = next((option for option in options if option not in Options.__annotations__), None)
    if unknown is not None:
        raise TypeError(f"{unknown} is not an option; there are {', '.join(Options.__annotations__)}")
    image, gpu = options.get("image"), options.get("gpu")
    network, secrets = options.get("network", "internet"), options.get("secrets", ())
    if image is not None and not isinstance(image, Image):
        raise TypeError(f"image={image!r} is not an image; write for example hob.Image.host()")
    if gpu is not None and not (isinstance(gpu, str) and _gpu.fullmatch(gpu)):
        raise TypeError(f'gpu={gpu!r} is not a GPU; write for example "any", "H100" or "H100:2"')
    if network not in _networks:
        raise ValueError(f'network={network!r} is not a network; there are "internet" and "none"')
    if isinstance(secrets, str) or not all(isinstance(secret, str) and _secret.fullmatch(secret) for secret in secrets):
        raise TypeError(f'secrets={secrets!r} is not a list of names; write for example ["API_KEY"]')
    schedule = options.get("schedule")
    if schedule is not None and not isinstance(schedule, (Cron, Period)):
        raise TypeError(f'schedule={schedule!r} is no schedule; write hob.Cron("0 3 * * *") or hob.Period(minutes=5)')
    least, most = _count("min_containers", options.get("min_containers", 0)), _count("max_containers", options.get("max_containers") or 0)
    if most and least > most:
        raise ValueError(f"min_containers={least} is more than max_containers={most}; lower the one or raise the other")
    retries, backoff = policy(options.get("retries", 0))
    concurrency = _count("concurrency", options.get("concurrency", 1))
    if not 1 <= concurrency <= 64:
        raise ValueError(f"concurrency={concurrency} is out of range; give 1 to 64 calls at a time")
    return {
        "name": name,
        "image": (image or Image.host()).definition,
        "cpu": _number("cpu", options.get("cpu"), "cores", 0.5),
        "memory_bytes": memory_bytes(options.get("memory", default_memory)),
        "gpu": gpu or "",
        "timeout_ms": round(_number("timeout", options.get("timeout"), "seconds", 30) * 1000),
        "retries": retries,
        "backoff": backoff,
        "min_containers": least,
        "max_containers": most,
        "buffer_containers": _count("buffer_containers", options.get("buffer_containers", 0)),
        "concurrency": concurrency,
        "idle_timeout_ms": round(_number("idle_timeout", options.get("idle_timeout"), "seconds", 300) * 1000),
        "network": network,
        "secrets": sorted(set(secrets)),
        "schedule": schedule.definition if schedule else None,
    }


def size_bytes(option: str, given: str | int) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    if not isinstance(given, str):
        raise TypeError(f'{option}={given!r} is not a size; write for example "512MiB", or a number of bytes')
    match = _size.fullmatch(given)
    if not match:
        raise ValueError(f'{option}="{given}" is not a size; write for example "512MiB"')
    return round(float(match[1]) * _factors[match[2].upper()])


def memory_bytes(memory: str | int) -> int:
    size = size_bytes("memory", memory)
    if size < _smallest_memory:
        raise ValueError(f"memory={memory!r} is {size} bytes, too little for any runtime; give at least 16MiB")
    return size


def _number(option: str, value: float | None, unit: str, example: float) -> float:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{option}={value!r} is not a number of {unit}; write for example {option}={example}")
    if not 0 < value < 1e6:
        raise ValueError(f"{option}={value!r} is out of range; give a positive number of {unit}")
    return value


def _count(option: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{option}={value!r} is not a whole number; write for example {option}=2")
    if value < 0:
        raise ValueError(f"{option}={value} is negative; give 0 or more")
    return value
