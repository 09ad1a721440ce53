"""⑥ What processes write to stdout and stderr: cut into lines, passed on before the result of the call that wrote it."""

from __future__ import annotations

import os
import select
import time

from .. import frames
from .link import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .children import Child

#: A longer line is cut here; the rest of it is dropped and counted.
MAX_LINE_BYTES = 64 << 10
#: What the agent has not taken yet; beyond it lines are dropped and counted.
MAX_QUEUED_BYTES = 4 << 20

#: Bytes dropped just before the first of the lines, and lines without their ends.
Lines = tuple[int, list[bytes]]


class LineCutter:
    def __init__(self) -> None:
        self.dropped = 0  # bytes, since the lines given out last
        self._partial = b""
        self._skipping = False  # within the rest of a line that was cut

    def feed(self, data: bytes) -> list[Lines]:
        """The lines that `data` completes."""
        found: list[Lines] = []
        parts = data.split(b"\n")
        rest = parts.pop()
        for part in parts:
            if self._skipping:
                self.dropped += len(part)
                self._skipping = False
            else:
                self._add(found, self._partial + part)
                self._partial = b""
        if self._skipping:
            self.dropped += len(rest)
            return found
        self._partial += rest
        if len(self._partial) > MAX_LINE_BYTES:
            self._add(found, self._partial)
            self._partial = b""
            self._skipping = True
        return found

    def flush(self) -> list[Lines]:
        """What has no newline yet: given out when the call that wrote it ends."""
        found: list[Lines] = []
        if self._partial:
            self._add(found, self._partial)
        self._partial, self._skipping = b"", False
        return found

    def _add(self, found: list[Lines], line: bytes) -> None:
        if self.dropped or not found:
            found.append((self.dropped, []))
            self.dropped = 0
        if len(line) > MAX_LINE_BYTES:
            self.dropped = len(line) - MAX_LINE_BYTES
            line = line[:MAX_LINE_BYTES]
        found[-1][1].append(line)


class OutputRelay:
    """From the processes' pipes to the agent."""

    def __init__(self, agent: Link, epoll: select.epoll, children: dict[int, Child]) -> None:
        self._agent, self._epoll, self._children = agent, epoll, children

    def read(self, child: Child, fd: int, size: int = 1 << 16) -> None:
        try:
            data = os.read(fd, size)
        except BlockingIOError:
            return
        if data:
            self._forward(child, fd, child.streams[fd][1].feed(data))
        else:
            self.close(child, fd)

    def drain(self, child: Child) -> None:
        """What is in the pipes now: at most their capacity, however fast a thread goes on writing."""
        for fd in list(child.streams):
            self.read(child, fd, 1 << 20)
        self.flush(child)

    def flush(self, child: Child) -> None:
        """Gives out lines that have no end yet."""
        for fd, (_, cutter) in child.streams.items():
            self._forward(child, fd, cutter.flush())
            child.dropped += cutter.dropped
            cutter.dropped = 0

    def close(self, child: Child, fd: int) -> None:
        self._epoll.unregister(fd)
        os.close(fd)
        del self._children[fd]
        self._forward(child, fd, child.streams[fd][1].flush())
        del child.streams[fd]

    def _forward(self, child: Child, fd: int, groups: list[Lines]) -> None:
        stream, cutter = child.streams[fd]
        for dropped, lines in groups:
            text = b"\n".join(lines)
            if self._agent.queued_bytes > MAX_QUEUED_BYTES:
                cutter.dropped += dropped + len(text) + 1
                continue
            child.dropped += dropped
            self.note(child.call, stream, text, dropped)

    def relay(self, child: Child, frame: frames.Frame) -> None:
        """Of an input of a map, as its process has cut it."""
        dropped = frame.head["dropped"]
        if self._agent.queued_bytes > MAX_QUEUED_BYTES:
            dropped += len(frame.payload) + 1
        else:
            self._agent.send(frame.raw)
        child.dropped += dropped

    def note(self, call: str, stream: str, text: bytes, dropped: int = 0) -> None:
        head = {"call": call, "stream": stream, "timeMs": time.time() * 1000, "dropped": dropped}
        self._agent.send(frames.encode(frames.OUTPUT, head, text))
