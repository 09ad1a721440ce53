"""⑥ Values on their way: Python objects to the JSON of proto Value and back, naming what does not fit and where."""

from __future__ import annotations

import binascii
import json
import math
import sys
from collections.abc import Iterator, KeysView, Mapping, Set, ValuesView

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_reserved = ("$bytes", "$float")
_fast = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
_ascii = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class EncodingError(TypeError):
    """A value that JSON and its two tags cannot carry; the message says where it lies."""


def encode(value: Any, where: str = "result", verb: str = "return") -> bytes:
    """JSON for `value`. Tuples and sets become lists, dataclasses dicts, numpy numbers and arrays numbers and lists."""
    try:
        text = _fast(value)
        if '"$' in text:  # perhaps a dict that looks like a tag
            text = _fast(_plain(value, where, verb, ()))
    except (TypeError, ValueError, RecursionError):
        text = _fast(_plain(value, where, verb, ()))
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates (file names that are not UTF-8) travel as \udc80
        return _ascii(json.loads(text)).encode()


def decode(data: bytes) -> Any:
    if b'"$' in data:
        return json.loads(data, object_hook=_untag)
    return json.loads(data)


def _untag(item: dict) -> Any:
    if len(item) == 1:
        if isinstance(item.get("$bytes"), str):
            return binascii.a2b_base64(item["$bytes"])
        if item.get("$float") in ("nan", "inf", "-inf"):
            return float(item["$float"])
    return item


def _plain(value: Any, where: str, verb: str, outer: tuple[int, ...]) -> Any:
    """`value` in terms of what json.dumps writes as it stands; `outer` are the ids of the containers around it."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return {"$float": "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": binascii.b2a_base64(bytes(value), newline=False).decode()}
    if id(value) in outer or len(outer) > 500:
        raise EncodingError(f"{where} contains itself, or is nested more than 500 deep; {verb} plain data")
    if isinstance(value, Mapping):
        return _mapping(value, where, verb, (*outer, id(value)))
    if isinstance(value, (list, tuple, Set, Iterator, KeysView, ValuesView, range)):
        inner = (*outer, id(value))
        return [_plain(item, f"{where}[{at}]", verb, inner) for at, item in enumerate(value)]
    found, converted = _convert(value)
    if not found:
        name = kind.__qualname__
        article = "an" if name[:1].lower() in "aeio" else "a"
        raise EncodingError(f"{where} is {article} {name}; {verb} numbers, text, lists, dicts or bytes")
    return _plain(converted, where, verb, (*outer, id(value)))


def _mapping(value: Mapping, where: str, verb: str, outer: tuple[int, ...]) -> dict:
    result = {}
    for key, item in value.items():
        if isinstance(key, str):
            name = str(key)
        elif key is None or isinstance(key, (bool, int, float)):
            name = json.dumps(key)  # as json.dumps does with keys
        else:
            raise EncodingError(f"{where} has the key {key!r}, a {type(key).__qualname__}; {verb} dicts with text as keys")
        result[name] = _plain(item, f"{where}[{key!r}]" if not isinstance(key, str) else f'{where}["{key}"]', verb, outer)
    if len(result) == 1 and next(iter(result)) in _reserved:
        raise EncodingError(f'{where} is a dict with the single key "{next(iter(result))}", which hob keeps for itself; {verb} another key')
    return result


def _convert(value: Any) -> tuple[bool, Any]:
    """What stands for an object of a known class. Classes are looked up, not imported: who has one has imported its module."""
    modules = sys.modules
    if hasattr(type(value), "__dataclass_fields__"):
        return True, {name: getattr(value, name) for name in type(value).__dataclass_fields__ if hasattr(value, name)}
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # numpy scalars and arrays, pandas series
        return True, value.tolist()
    if isinstance(value, (str, int)):  # subclasses such as enums
        return True, str(value.value if hasattr(value, "value") else value) if isinstance(value, str) else int(value)
    for module, names, convert in _conversions:
        if module in modules and isinstance(value, tuple(getattr(modules[module], name) for name in names)):
            return True, convert(value)
    return False, None


_conversions = [
    ("enum", ("Enum",), lambda value: value.value),
    ("datetime", ("date", "time"), lambda value: value.isoformat()),  # a datetime is a date
    ("datetime", ("timedelta",), lambda value: value.total_seconds()),
    ("pathlib", ("PurePath",), str),
    ("uuid", ("UUID",), str),
    ("decimal", ("Decimal",), str),
    ("pandas", ("DataFrame",), lambda value: value.to_dict("records")),
]
