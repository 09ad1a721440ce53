"""② Where and how a function answers HTTP requests, checked: options to the plain dict that `hob` reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .spec import size_bytes

_segment = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]+|\{[A-Za-z_][A-Za-z0-9_]*\}")
_methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_largest_body = 64 << 20  # as of any call's arguments


def make_endpoint(kind: str, path: str, methods: Sequence[str] | None, public: bool | None, max_body: str | int | None) -> dict[str, Any]:
    """Raises TypeError or ValueError, with one sentence that quotes the option as it was written."""
    if not isinstance(path, str) or not path.startswith("/"):
        raise ValueError(f'path={path!r} is not a path; write for example "/items/{{id}}"')
    segments = [segment for segment in path.split("/") if segment]
    wrong = next((segment for segment in segments if not _segment.fullmatch(segment)), None)
    if wrong is not None:
        raise ValueError(f'path={path!r}: "{wrong}" cannot be part of a path; parameters are whole parts, as in "/items/{{id}}"')
    if kind != "function" and any(segment.startswith("{") for segment in segments):
        raise ValueError(f"path={path!r}: an app of its own has no parameters in its path")
    if isinstance(methods, str) or not all(method in _methods for method in methods or ()):
        raise ValueError(f'methods={methods!r} is not a list of methods; there are {", ".join(_methods)}; write for example ["GET"]')
    if public is not None and not isinstance(public, bool):
        raise TypeError(f"public={public!r} is not True (everybody) or False (only with a token)")
    body = 0 if max_body is None else size_bytes("max_body", max_body)
    if body > _largest_body:
        raise ValueError(f"max_body={max_body!r} is more than a request can have; give at most 64MiB")
    return {
        "kind": kind,
        "path": "/" + "/".join(segments),
        "methods": sorted(set(methods or ())),
        "access": "" if public is None else "public" if public else "token",
        "max_body_bytes": body,
    }
