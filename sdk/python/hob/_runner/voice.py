"""⑥ What a process writes to stdout and stderr: to its pipes, or, while it runs inputs of a map, to the zygote with the input's index."""

from __future__ import annotations

import io
import os
import sys
import time

from .. import channel as channels
from .. import frames
from .output import LineCutter

#: Of the input that runs; -1 outside of a map.
index = -1


class _Voice(io.RawIOBase):
    """The lowest layer of a text stream, which whoever holds the stream writes through: a logger, too, that took it while a module was imported."""

    def __init__(self, fd: int, stream: str) -> None:
        self._fd, self._stream, self._cutter, self._of = fd, stream, LineCutter(), -1
        self.name = f"<{stream}>"

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        channel = channels.current
        if index < 0 or channel is None or not channel.parent or channel.forked:
            return os.write(self._fd, data)
        if self._of != index:
            self._give(channel, self._of, self._cutter.flush())
            self._of = index
        self._give(channel, index, self._cutter.feed(bytes(data)))
        return len(data)

    def end(self) -> None:
        """A last line without an end, of the input that has just ended."""
        channel = channels.current
        if channel is not None and not channel.forked:
            self._give(channel, self._of, self._cutter.flush())

    def _give(self, channel: channels.Channel, of: int, groups: list[tuple[int, list[bytes]]]) -> None:
        for dropped, lines in groups:
            head = {"call": channel.parent, "index": of, "stream": self._stream, "timeMs": time.time() * 1000, "dropped": dropped}
            channel.send(frames.OUTPUT, head, b"\n".join(lines))

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd


voices: list[_Voice] = []


def install() -> None:
    """The standard streams, line by line: the former ones stay what `sys.__stdout__` and `sys.__stderr__` name."""
    for fd, name in ((1, "stdout"), (2, "stderr")):
        voice = _Voice(fd, name)
        voices.append(voice)
        text = io.TextIOWrapper(io.BufferedWriter(voice), encoding="utf-8", errors="backslashreplace", line_buffering=True)
        text.mode = "w"  # type: ignore[misc]
        setattr(sys, name, text)


def end() -> None:
    for voice in voices:
        voice.end()
