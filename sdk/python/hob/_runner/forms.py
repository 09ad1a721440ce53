"""⑥ multipart/form-data (RFC 7578), as browsers and curl send it."""

from __future__ import annotations

import re

from ..http import Upload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_boundary = re.compile(r'boundary=(?:"([^"]{1,200})"|([^;\s]{1,200}))', re.IGNORECASE)
_parameter = re.compile(r';\s*(name|filename)="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_most_parts = 1_000


def read_multipart(content_type: str, body: bytes, refuse: Callable[[str], Exception]) -> dict[str, list[Any]]:
    """Text fields as text, files as uploads, by name; raises what `refuse` makes of a sentence."""
    found = _boundary.search(content_type)
    if not found:
        raise refuse("the form does not say what its parts begin with (boundary)")
    mark = b"--" + (found[1] or found[2]).encode()
    if not body.startswith(mark):
        raise refuse("the form does not begin with its boundary")
    parts = body[len(mark) :].split(b"\r\n" + mark)
    if len(parts) > _most_parts or parts[-1].strip() != b"--":
        raise refuse("the form is not whole, or has more than 1,000 parts")
    fields: dict[str, list[Any]] = {}
    for part in parts[:-1]:
        head, found_end, data = part.partition(b"\r\n\r\n")
        lines = dict(_header(line) for line in head.decode("utf-8", "replace").split("\r\n") if ":" in line)
        names = dict(_parameter.findall(lines.get("content-disposition", "")))
        if not found_end or "name" not in names:
            raise refuse("a part of the form has no name")
        if "filename" in names:
            value: Any = Upload(names["filename"], lines.get("content-type", "application/octet-stream"), data)
        else:
            value = data.decode("utf-8", "replace")
        fields.setdefault(names["name"], []).append(value)
    return fields


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()
