"""⑥ A process's side of its socket: what it is asked to do, and the calls that it makes itself. Any thread may use it."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Collection

from . import frames

#: The channel of this process, set by whoever started it; None on a laptop outside `hob run`.
current: Channel | None = None


def _end_fork(head: dict) -> None:
    """A function forked, and both processes returned from it: the call's outcome is the first one's."""
    failure = head.get("failure") or {}
    try:
        os.write(2, failure.get("traceback", "").encode(errors="replace"))
    finally:
        os._exit(1 if failure else 0)


class Channel:
    """
    Whoever waits reads: one waiting thread at a time takes what comes from the socket and wakes the others. So there is no reader
    thread, and a process that only computes pays for nothing.
    """

    def __init__(self, fd: int) -> None:
        self.parent = ""  # the call that runs; calls made here are its children
        self.fd = fd
        self._pid = os.getpid()
        self._decoder = frames.Decoder()
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._reading = False
        self._ended = False
        self._requests: deque[frames.Frame] = deque()
        self._pending: set[str] = set()
        self._finished: dict[str, frames.Frame] = {}
        self._taken: dict[str, tuple[int, bool]] = {}  # of streamed responses: how much, and whether nobody reads on
        self._maps: dict[str, Callable[[frames.Frame], None]] = {}

    @property
    def forked(self) -> bool:
        """Whether this is a process that user code forked from the channel's."""
        return os.getpid() != self._pid

    def send(self, kind: int, head: dict, *payload: bytes) -> None:
        if self.forked:
            _end_fork(head)
        data = memoryview(frames.encode(kind, head, *payload))
        with self._sending:
            while data:
                data = data[os.write(self.fd, data) :]

    @property
    def asked(self) -> bool:
        """Whether `request` has a frame already."""
        return bool(self._requests)

    def request(self) -> frames.Frame | None:
        """The next frame that is not the answer to a call of ours; None at the end of the connection."""
        self._wait(lambda: bool(self._requests) or self._ended, None)
        return self._requests.popleft() if self._requests else None

    def start(self, app: str, function: str, arguments: tuple[bytes, bytes], origin: str) -> str:
        """Sends the call; `arguments` are a JSON array and a JSON object or nothing."""
        if self.forked:
            raise RuntimeError(f"{function}: a process forked by a function cannot make remote calls; make them in the function itself")
        call = os.urandom(8).hex()
        with self._changed:
            self._pending.add(call)
        head = {"id": call, "parent": self.parent, "app": app, "function": function, "origin": origin}
        positional, keywords = arguments
        self.send(frames.CHILD_CALL, {**head, "positional": len(positional), "keywords": len(keywords)}, positional, keywords)
        return call

    def wait(self, calls: Collection[str], timeout: float | None = None) -> str | None:
        """Waits until one of `calls` has finished and names it; None when `timeout` seconds have passed."""

        def first() -> str | None:
            return next((call for call in calls if call in self._finished), None)

        self._wait(lambda: first() is not None or self._ended, timeout)
        finished = first()
        if finished is None and self._ended:
            raise ConnectionError("the connection to hob has ended while a remote call was running")
        return finished

    def take(self, call: str) -> frames.Frame:
        with self._changed:
            self._pending.discard(call)
            return self._finished.pop(call)

    def awaits(self, call: str) -> None:
        """Says that the function which runs waits for a call that it has spawned: so its place can be lent."""
        self.send(frames.CHILD_WAIT, {"id": call})

    def cancel(self, call: str) -> None:
        self.send(frames.CHILD_CANCEL, {"id": call})

    def forget(self, call: str) -> None:
        """Cancels a call whose outcome nobody will ask for."""
        with self._changed:
            self._pending.discard(call)
            done = self._finished.pop(call, None)
        if done is None and not self._ended:
            self.cancel(call)

    def open_map(self, made: str, hear: Callable[[frames.Frame], None], head: dict) -> None:
        """`hear` is told of the map's news, under this channel's lock."""
        if self.forked:
            raise RuntimeError(f"{head['function']}: a process forked by a function cannot make remote calls; make them in the function itself")
        with self._changed:
            self._maps[made] = hear
        self.send(frames.MAP, head)

    def close_map(self, made: str) -> None:
        with self._changed:
            self._maps.pop(made, None)

    def settle(self, ready: Callable[[], bool]) -> None:
        """Waits until that holds of what maps have been told."""
        self._wait(lambda: ready() or self._ended, None)
        if self._ended and not ready():
            raise ConnectionError("the connection to hob has ended while a map was running")

    def taken(self, call: str) -> tuple[int, bool]:
        return self._taken.get(call, (0, False))

    def untaken(self, call: str) -> None:
        """Its response has been sent."""
        self._taken.pop(call, None)

    def poll(self) -> None:
        """Takes what has come, and waits for nothing."""
        with self._changed:
            if not self._reading:
                data = self._read(0)
                if data is not None:
                    self._accept(data)
                    self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool], timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not ready():
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return
                if self._reading:
                    self._changed.wait(remaining)
                    continue
                self._reading = True
                self._changed.release()
                data: bytes | None = None
                try:
                    data = self._read(remaining)
                finally:  # a signal handler may raise here
                    self._changed.acquire()
                    self._reading = False
                    if data is not None:
                        self._accept(data)
                    self._changed.notify_all()

    def _read(self, timeout: float | None) -> bytes | None:
        if timeout is not None and not select.select([self.fd], [], [], timeout)[0]:
            return None
        try:
            return os.read(self.fd, 1 << 18)
        except ConnectionError:
            return b""

    def _accept(self, data: bytes) -> None:
        if not data:
            self._ended = True
        for frame in self._decoder.feed(data):
            if frame.kind == frames.MAP_NEWS:
                hear = self._maps.get(frame.head["map"])
                if hear is not None:
                    hear(frame)
                    if frame.head.get("finished"):
                        del self._maps[frame.head["map"]]
            elif frame.kind == frames.TAKEN:
                self._taken[frame.head["call"]] = frame.head["bytes"], bool(frame.head.get("gone"))
            elif frame.kind != frames.CHILD_RESULT:
                self._requests.append(frame)
            elif frame.head["id"] in self._pending:
                self._finished[frame.head["id"]] = frame
