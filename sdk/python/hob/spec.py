"""② What a decorator declares, checked: options to the plain dict that `hob` reads."""

from __future__ import annotations

import re
from typing import Any

from .image import Image

_size = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)\s*", re.IGNORECASE)
_factors = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_smallest_memory = 16 << 20  # below it no interpreter starts
default_memory = "512MiB"


def make_spec(
    name: str,
    image: Image | None,
    cpu: float | None,
    memory: str | int,
    gpu: str | None,
    timeout: float | None,
    retries: int,
    min_containers: int,
    max_containers: int | None,
) -> dict[str, Any]:
    """Raises TypeError or ValueError, with one sentence that quotes the option as it was written."""
    if image is not None and not isinstance(image, Image):
        raise TypeError(f"image={image!r} is not an image; write for example hob.Image.host()")
    if gpu is not None and not isinstance(gpu, str):
        raise TypeError(f'gpu={gpu!r} is not the name of a GPU; write for example "any"')
    least, most = _count("min_containers", min_containers), _count("max_containers", max_containers or 0)
    if most and least > most:
        raise ValueError(f"min_containers={least} is more than max_containers={most}; lower the one or raise the other")
    return {
        "name": name,
        "image": {"source": (image or Image.host()).source},
        "cpu": _number("cpu", cpu, "cores", 0.5),
        "memory_bytes": memory_bytes(memory),
        "gpu": gpu or "",
        "timeout_ms": round(_number("timeout", timeout, "seconds", 30) * 1000),
        "retries": _count("retries", retries),
        "min_containers": least,
        "max_containers": most,
    }


def memory_bytes(memory: str | int) -> int:
    if isinstance(memory, int) and not isinstance(memory, bool):
        size = memory
    elif isinstance(memory, str):
        match = _size.fullmatch(memory)
        if not match:
            raise ValueError(f'memory="{memory}" is not a size; write for example "512MiB"')
        size = round(float(match[1]) * _factors[match[2].upper()])
    else:
        raise TypeError(f'memory={memory!r} is not a size; write for example "512MiB", or a number of bytes')
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
