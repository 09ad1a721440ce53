"""⑥ The zygote's sockets: frames in and out without ever blocking."""

from __future__ import annotations

import os
import select
from collections import deque

from .. import frames


#: More than this does not wait for what may follow.
_held_bytes = 64 << 10


class Link:
    """Plain descriptors, no socket objects: in a forked process nothing of ours must close a number that is the user's by then."""

    def __init__(self, fd: int, epoll: select.epoll) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.queued_bytes = 0
        self._held = False
        self._epoll = epoll
        self._decoder = frames.Decoder()
        self._outgoing: deque[memoryview] = deque()
        epoll.register(fd, select.EPOLLIN)

    def send(self, data: bytes) -> None:
        if self.fd < 0:
            return  # to a process that is ending
        self._outgoing.append(memoryview(data))
        self.queued_bytes += len(data)
        if self._held and self.queued_bytes > _held_bytes:
            self.release()
        elif len(self._outgoing) == 1 and not self._held:
            self._write()

    def hold(self) -> None:
        """Until `release` what is sent waits, to go in one piece."""
        if not self._outgoing:
            self._held = True

    def release(self) -> None:
        if self._held:
            self._held = False
            if len(self._outgoing) > 1:
                self._outgoing = deque((memoryview(b"".join(self._outgoing)),))
            self._write()

    def _write(self) -> None:
        self.flush()
        if self._outgoing:
            self._epoll.modify(self.fd, select.EPOLLIN | select.EPOLLOUT)

    def flush(self) -> None:
        """Writes what fits. A connection that has ended shows in `receive`; here its frames go nowhere."""
        while self._outgoing:
            data = self._outgoing[0]
            try:
                written = os.write(self.fd, data)
            except BlockingIOError:
                return
            except OSError:
                self._outgoing.clear()
                self.queued_bytes = 0
                return
            self.queued_bytes -= written
            if written < len(data):
                self._outgoing[0] = data[written:]
            else:
                self._outgoing.popleft()

    def writable(self) -> None:
        self.flush()
        if not self._outgoing:
            self._epoll.modify(self.fd, select.EPOLLIN)

    def receive(self) -> list[frames.Frame] | None:
        """What has come; None at the end of the connection."""
        try:
            data = os.read(self.fd, 1 << 18)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return self._decoder.feed(data) if data else None

    def close(self) -> None:
        self._epoll.unregister(self.fd)
        os.close(self.fd)
        self.fd = -1
