"""⑥ HTTP requests answered: by a function whose parameters come from them, or by an ASGI app."""

from __future__ import annotations

import json
import types

from .. import values
from ..http import Request, Response
from .binding import Binder, Refused
from .streaming import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..channel import Channel
    from .asgi import Host
    from .invoking import Settler

    #: The head of a response that is whole, and its body; no head for one that was streamed.
    Answer = tuple[dict[str, Any] | None, bytes]

_text, _octets, _json, _lines = "text/plain; charset=utf-8", "application/octet-stream", "application/json", "application/x-ndjson"


class Answering:
    def __init__(self, settle: Settler) -> None:
        self._settle = settle
        self._binders: dict[str, Binder] = {}  # by version
        self._hosts: dict[str, Host] = {}

    def answer(self, head: dict[str, Any], body: bytes, function: Callable[..., Any], channel: Channel) -> Answer:
        stream = Stream(channel, head["call"])
        try:
            if head["request"]["kind"] == "asgi":
                return self._host(head["version"], function).answer(head["request"], body, stream)
            return self._answer(head, body, function, stream)
        finally:
            stream.close()

    def _host(self, version: str, function: Callable[..., Any]) -> Host:
        host = self._hosts.get(version)
        if host is None:
            from .asgi import Host

            host = self._hosts[version] = Host(self._settle(function()))
        return host

    def _answer(self, head: dict[str, Any], body: bytes, function: Callable[..., Any], stream: Stream) -> Answer:
        name, request = head["function"], Request(head["request"], body)
        binder = self._binders.get(head["version"])
        if binder is None:
            binder = self._binders[head["version"]] = Binder(name, function)
        try:
            args, kwargs = binder(request)
        except Refused as refused:
            error = {"kind": "arguments", "message": str(refused)}
            return _whole(refused.status, [("content-type", _json)], json.dumps({"error": error}).encode() + b"\n")
        value = function(*args, **kwargs)
        if isinstance(value, types.CoroutineType):
            value = self._settle(value)
        said = value if isinstance(value, Response) else Response(value)
        if _is_stream(said.body):
            return self._streamed(said, stream)
        kind, data = _encoded(said.body, name)
        return _whole(said.status, _with_type(said.headers, kind), data)

    def _streamed(self, said: Response, stream: Stream) -> Answer:
        pieces = self._pieces(said.body)
        for first in pieces:
            kind, data = _piece(first)
            stream.begin({"status": said.status, "headers": _with_type(said.headers, kind)})
            going = stream.write(data)
            while going:
                piece = next(pieces, pieces)
                if piece is pieces:
                    break
                going = stream.write(_piece(piece)[1])
            close = getattr(said.body, "close", None)
            if not going and close is not None:
                close()  # as for a loop that was left: its `finally` runs
            return None, b""
        return _whole(said.status, said.headers, b"")

    def _pieces(self, body: Any) -> Iterable[Any]:
        if not hasattr(body, "__aiter__"):
            return iter(body)
        return self._awaited(body.__aiter__())

    def _awaited(self, body: Any) -> Iterable[Any]:
        async def following() -> tuple[Any, ...]:
            try:
                return (await body.__anext__(),)
            except StopAsyncIteration:
                return ()

        while item := self._settle(following()):
            yield item[0]


def _is_stream(body: Any) -> bool:
    return hasattr(body, "__next__") or hasattr(body, "__aiter__")


def _encoded(body: Any, name: str) -> tuple[str, bytes]:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return _octets, bytes(body)
    if isinstance(body, str):
        return _text, body.encode()
    return _json, values.encode(body)


def _piece(item: Any) -> tuple[str, bytes]:
    """Of a stream: what is neither bytes nor text goes as a line of JSON."""
    kind, data = _encoded(item, "")
    return (_lines, data + b"\n") if kind == _json else (kind, data)


def _with_type(headers: list[tuple[str, str]], kind: str) -> list[tuple[str, str]]:
    if any(name.lower() == "content-type" for name, _ in headers):
        return headers
    return [*headers, ("content-type", kind)]


def _whole(status: int, headers: list[tuple[str, str]], body: bytes) -> Answer:
    return {"status": status, "headers": [[str(name), str(value)] for name, value in headers]}, body
