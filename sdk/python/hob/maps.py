"""⑥ Maps as user code sees them: inputs go out as they are wanted and results come as they are taken, so neither are ever all in memory."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from . import channel as channels
from . import frames
from .errors import remote_error
from .values import decode, encode

R = TypeVar("R")

#: Inputs go out when they are so many or so large, or when the first of them has waited so long.
_chunk, _chunk_bytes, _chunk_s = 256, 256 << 10, 0.005
#: Results that may be on their way or wait here.
_window = 2048


class _Running:
    """What this process knows of a map: the channel tells it, under its own lock."""

    def __init__(self, channel: channels.Channel, app: str, function: str, ordered: bool, spawned: bool) -> None:
        self.id = os.urandom(8).hex()
        self.channel, self.function = channel, function
        self.recorded = self.until = self.sent = self.taken = self.wanted = 0
        self.results: deque[Any] = deque()  # bytes, or a failure
        self.finished = False
        self.failure: dict[str, Any] | None = None
        head = {"map": self.id, "parent": channel.parent, "app": app, "function": function, "ordered": ordered, "spawned": spawned}
        channel.open_map(self.id, self._hear, head)

    def _hear(self, frame: frames.Frame) -> None:
        head = frame.head
        self.recorded = max(self.recorded, head.get("recorded", 0))
        self.until = max(self.until, head.get("until", 0))
        failed = iter(head.get("failures") or ())
        at = frame.head_end
        for size in head.get("sizes") or ():
            if size < 0:
                self.results.append(next(failed))
            else:
                self.results.append(frame.raw[at : at + size])
                at += size
        if head.get("finished"):
            self.finished, self.failure = True, head.get("failure")

    def want(self) -> None:
        """Asks for results a window ahead of those that were taken."""
        if self.taken + _window - self.wanted >= _window // 4:
            self.wanted = self.taken + _window
            self.channel.send(frames.MAP_TAKE, {"map": self.id, "results": self.wanted})

    def take(self) -> Any:
        """(value,) or an exception"""
        result = self.results.popleft()
        self.taken += 1
        self.want()
        return remote_error(result) if isinstance(result, dict) else (decode(result),)

    def send(self, inputs: list[bytes], last: bool) -> None:
        head = {"map": self.id, "first": self.sent, "sizes": [len(data) for data in inputs], "last": last}
        self.sent += len(inputs)
        self.channel.send(frames.MAP_INPUTS, head, *inputs)

    def cancel(self) -> None:
        if not self.finished:
            self.channel.close_map(self.id)
            self.channel.send(frames.MAP_CANCEL, {"map": self.id})
            self.finished, self.failure = True, {"kind": "cancelled", "message": "the map was cancelled"}


class _Feed:
    """Inputs on their way out, as many as the pool wants."""

    def __init__(self, running: _Running, inputs: Iterator[tuple]) -> None:
        self._running, self._inputs = running, inputs
        self.done = False

    @property
    def wanted(self) -> bool:
        return not self.done and self._running.until > self._running.sent

    def some(self) -> None:
        running = self._running
        chunk: list[bytes] = []
        size, most = 0, min(_chunk, running.until - running.sent)
        until = time.monotonic() + _chunk_s
        while len(chunk) < most and size < _chunk_bytes:
            try:
                args = next(self._inputs)
            except StopIteration:
                self.done = True
                break
            chunk.append(_array(args, running.function))
            size += len(chunk[-1])
            if time.monotonic() >= until:
                break
        running.send(chunk, self.done)


def _array(args: tuple, function: str) -> bytes:
    return b"[%s]" % b",".join(encode(argument, f"argument {at + 1} of {function}", "pass") for at, argument in enumerate(args))


def each(channel: channels.Channel, target: tuple[str, str], inputs: Iterator[tuple], ordered: bool, return_exceptions: bool) -> Iterator[Any]:
    """The results, in the order of the inputs or as they come. Begins when the first of them is asked for."""
    over_rest = getattr(channel, "each", None)
    if over_rest is not None:
        yield from over_rest(*target, (_array(args, target[1]) for args in inputs), return_exceptions)
        return
    running = _Running(channel, *target, ordered, False)
    running.want()
    feed = _Feed(running, inputs)
    try:
        while True:
            yield from _results(running, return_exceptions)
            if running.finished:
                break
            if feed.wanted:
                feed.some()
                channel.poll()
            else:
                channel.settle(lambda: bool(running.results) or running.finished or feed.wanted)
        if running.failure:
            raise remote_error(running.failure)
    finally:
        running.cancel()


def _results(running: _Running, return_exceptions: bool) -> Iterator[Any]:
    while running.results:
        outcome = running.take()
        if not isinstance(outcome, BaseException):
            yield outcome[0]
        elif return_exceptions:
            yield outcome
        else:
            raise outcome


class MapCall(Generic[R]):
    """A map that goes on by itself. `id` names it for good: `hob map --resume ID` gives its results to whoever asks."""

    def __init__(self, running: _Running) -> None:
        self.id = running.id
        self._running = running

    def results(self, *, return_exceptions: bool = False) -> Iterator[R]:
        """The results that have not been taken yet, as they come; waits for those that are not there."""
        running = self._running
        running.want()
        while True:
            yield from _results(running, return_exceptions)
            if running.finished:
                break
            running.channel.settle(lambda: bool(running.results) or running.finished)
        if running.failure:
            raise remote_error(running.failure)

    def get(self) -> list[R]:
        """All of them as a list; raises the first failure."""
        return list(self.results())

    def cancel(self) -> None:
        self._running.cancel()

    def __repr__(self) -> str:
        return f"<hob map {self.id}>"


def spawn(channel: channels.Channel, target: tuple[str, str], inputs: Iterator[tuple], ordered: bool) -> MapCall[Any]:
    """Returns when the pool has all inputs: from then on nothing of it depends on this process."""
    running = _Running(channel, *target, ordered, True)
    running.want()  # a window of them waits here for `results`
    feed = _Feed(running, inputs)
    try:
        while not (running.finished or feed.done and running.recorded >= running.sent):
            if feed.wanted:
                feed.some()
                channel.poll()
            else:
                channel.settle(lambda: running.finished or feed.wanted or feed.done and running.recorded >= running.sent)
    except BaseException:
        running.cancel()  # without all of its inputs it is not what was asked for
        raise
    if running.failure:
        raise remote_error(running.failure)
    return MapCall(running)


def tuples(inputs: Iterable[Any] | AsyncIterable[Any], star: bool) -> Iterator[tuple]:
    """The arguments of each call: an input as the only one, or each input a list of them."""
    items = _from_async(inputs) if isinstance(inputs, AsyncIterable) else inputs
    return (tuple(item) for item in items) if star else ((item,) for item in items)


def _from_async(inputs: AsyncIterable[Any]) -> Iterator[Any]:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("map waits for results, and in an async function nothing else would run meanwhile: give it a list, or call it in a thread")
    loop = asyncio.new_event_loop()
    iterator = inputs.__aiter__()
    try:
        while True:
            try:
                yield loop.run_until_complete(iterator.__anext__())
            except StopAsyncIteration:
                return
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
