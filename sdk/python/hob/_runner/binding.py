"""⑥ A request's path, query and body as the parameters of a function, converted as they are annotated; what does not fit is named."""

from __future__ import annotations

import enum
import inspect
import json
import types
import typing
from urllib.parse import parse_qsl

from ..http import Request, Upload
from .forms import read_multipart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_unions = (typing.Union, getattr(types, "UnionType", typing.Union))
_truths = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", list: "a list", dict: "an object", bytes: "bytes"}


class Refused(Exception):
    """The request cannot be answered as it is."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Binder:
    """Made once for a function; called with each request."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._parameters = list(inspect.signature(function).parameters.values())
        try:
            hints = typing.get_type_hints(inspect.unwrap(function))
        except Exception:  # a name that only type checkers see
            hints = {}
        self._hints = {each.name: hints.get(each.name, Any_) for each in self._parameters}

    def __call__(self, request: Request) -> tuple[list[Any], dict[str, Any]]:
        given, whole = self._given(request)
        args, kwargs = [], {}
        for parameter in self._parameters:
            name, kind, hint = parameter.name, parameter.kind, self._hints[parameter.name]
            if kind is parameter.VAR_POSITIONAL:
                continue
            if kind is parameter.VAR_KEYWORD:
                kwargs.update((key, values[-1]) for key, values in given.items())
                continue
            if hint is Request:
                value = request
            elif name in given:
                value = self._convert(given.pop(name), hint, name)
            elif hint is bytes and not whole:
                value = request.body
            elif whole:
                value = self._convert([whole.pop()], hint, name)
            elif parameter.default is not parameter.empty:
                value = parameter.default
            else:
                raise Refused(422, f'{self._name}: "{name}" is missing; give it in the query or in the body')
            if kind is parameter.POSITIONAL_ONLY:
                args.append(value)
            else:
                kwargs[name] = value
        return args, kwargs

    def _given(self, request: Request) -> tuple[dict[str, list[Any]], list[Any]]:
        """Values by name, those of the path before those of the body before those of the query; and the body where it is one JSON value without names."""
        given: dict[str, list[Any]] = {}
        for name, value in request.query_pairs:
            given.setdefault(name, []).append(value)
        whole: list[Any] = []
        takes_bytes = any(hint is bytes for hint in self._hints.values())
        kind = request.content_type
        if not request.body:
            pass
        elif kind == "multipart/form-data":
            given.update(read_multipart(request.headers["content-type"], request.body, self._refuse))
        elif kind == "application/x-www-form-urlencoded":
            fields: dict[str, list[Any]] = {}
            for name, value in parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True):
                fields.setdefault(name, []).append(value)
            given.update(fields)
        elif takes_bytes:
            pass  # whatever it says of itself
        elif kind in ("", "application/json") or kind.endswith("+json"):
            value = self._json(request.body)
            if isinstance(value, dict):
                given.update((name, [_Json(item)]) for name, item in value.items())
            else:
                whole.append(_Json(value))
        else:
            raise Refused(415, f'{self._name}: a body of type {kind} goes to no parameter; annotate one as bytes, or send JSON')
        given.update((name, [value]) for name, value in request.path_parameters.items())
        return given, whole

    def _json(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError as error:
            raise Refused(400, f"{self._name}: the body is not JSON: {error}") from None

    def _refuse(self, message: str) -> Refused:
        return Refused(400, f"{self._name}: {message}")

    def _convert(self, values: list[Any], hint: Any, name: str) -> Any:
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        value = values[-1]
        if (origin is list or hint is list) and not isinstance(value, _Json):
            return [self._one(item, inner[0] if inner else Any_, name) for item in values]
        return self._one(value, hint, name)

    def _one(self, value: Any, hint: Any, name: str) -> Any:
        """`value` is text, an Upload, or what JSON holds, in its wrapper."""
        found = convert(value, hint)
        if found is not None:
            return found[0]
        said = value.value if isinstance(value, _Json) else value
        shown = json.dumps(said, default=repr)
        raise Refused(422, f'{self._name}: "{name}" is {shown if len(shown) <= 60 else shown[:60] + "…"}, which is not {_describe(hint)}')


class _Json:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


#: No annotation: whatever comes.
Any_ = typing.Any


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) in _unions:
        return " or ".join(_describe(each) for each in typing.get_args(hint) if each is not type(None))
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(json.dumps(each) for each in typing.get_args(hint))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "one of " + ", ".join(json.dumps(each.value) for each in hint)
    return _words.get(typing.get_origin(hint) or hint) or getattr(hint, "__name__", str(hint))


def convert(value: Any, hint: Any) -> tuple[Any] | None:
    """(the value,), or None where it does not fit."""
    plain = value.value if isinstance(value, _Json) else value
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any_ or hint is inspect.Parameter.empty:
        return (plain,)
    if origin in _unions:
        if plain is None and type(None) in inner:
            return (None,)
        return next((found for each in inner if each is not type(None) and (found := convert(value, each)) is not None), None)
    if origin is typing.Literal:
        return next(((each,) for each in inner if each == plain or not isinstance(value, _Json) and str(each) == plain), None)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return next(((each,) for each in hint if each.value == plain or not isinstance(value, _Json) and str(each.value) == plain), None)
    if isinstance(value, Upload):
        return (value,) if hint is Upload else (value.data,) if hint is bytes else None
    if isinstance(value, _Json):
        return _from_json(plain, hint, origin, inner)
    return _from_text(plain, hint)


def _from_text(text: str, hint: Any) -> tuple[Any] | None:
    if hint is bool:
        return (_truths[text.lower()],) if text.lower() in _truths else None
    if hint in (int, float):
        try:
            return (hint(text),)
        except ValueError:
            return None
    if hint is bytes:
        return (text.encode(),)
    if hint in (Upload, dict):
        return None
    return (text,)


def _from_json(value: Any, hint: Any, origin: Any, inner: tuple[Any, ...]) -> tuple[Any] | None:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return (float(value),)
    if hint in (int, float, str, bool):
        return (value,) if type(value) is hint else None
    if (origin or hint) is list:
        if not isinstance(value, list):
            return None
        items = [convert(_Json(item), inner[0] if inner else Any_) for item in value]
        return ([item[0] for item in items if item],) if all(items) else None
    if (origin or hint) is dict:
        return (value,) if isinstance(value, dict) else None
    if hasattr(hint, "__dataclass_fields__"):
        return _dataclass(value, hint)
    return (value,)


def _dataclass(value: Any, hint: Any) -> tuple[Any] | None:
    if not isinstance(value, dict) or not set(value) <= set(hint.__dataclass_fields__):
        return None
    kinds = typing.get_type_hints(hint)
    fields = {name: convert(_Json(item), kinds.get(name, Any_)) for name, item in value.items()}
    if not all(fields.values()):
        return None
    try:
        return (hint(**{name: found[0] for name, found in fields.items() if found}),)
    except TypeError:
        return None
