"""⑥ Frames between the agent, a runner and its processes; docs/runner-protocol.md is the specification."""

from __future__ import annotations

import json
import struct

# Agent → runner.
LOAD = 1
CALL = 2
CANCEL = 3
CHILD_RESULT = 4
FINISH = 5
ROUSE = 6
INPUTS = 7
MAP_NEWS = 8
TAKEN = 9
INSPECT = 10
# Runner → agent.
READY = 65
LOADED = 66
STARTED = 67
OUTPUT = 68
RESULT = 69
CHILD_CALL = 70
CHILD_CANCEL = 71
UNLOADED = 72
RESULTS = 73
MAP = 74
MAP_INPUTS = 75
MAP_TAKE = 76
MAP_CANCEL = 77
CHILD_WAIT = 78
PART = 79
INSPECTED = 80

NAMES = {
    LOAD: "load",
    CALL: "call",
    CANCEL: "cancel",
    CHILD_RESULT: "childResult",
    FINISH: "finish",
    ROUSE: "rouse",
    INPUTS: "inputs",
    MAP_NEWS: "mapNews",
    TAKEN: "taken",
    INSPECT: "inspect",
    READY: "ready",
    LOADED: "loaded",
    STARTED: "started",
    OUTPUT: "output",
    RESULT: "result",
    CHILD_CALL: "childCall",
    CHILD_CANCEL: "childCancel",
    UNLOADED: "unloaded",
    RESULTS: "results",
    MAP: "map",
    MAP_INPUTS: "mapInputs",
    MAP_TAKE: "mapTake",
    MAP_CANCEL: "mapCancel",
    CHILD_WAIT: "childWait",
    PART: "part",
    INSPECTED: "inspected",
}

PROTOCOL = 1
MAX_FRAME_BYTES = 256 << 20
MAX_HEAD_BYTES = 16 << 20

_header = struct.Struct(">IBI")  # length of the rest, type, length of the head
_to_json = json.JSONEncoder(separators=(",", ":")).encode


class FrameError(Exception):
    """The other side does not speak this protocol; the connection is of no more use."""


class Frame:
    """One frame, kept as the bytes that came, so that passing it on costs nothing."""

    __slots__ = ("kind", "raw", "_head", "_head_end")

    def __init__(self, raw: bytes) -> None:
        _, self.kind, size = _header.unpack_from(raw)
        self.raw = raw
        self._head_end = 9 + size
        self._head: dict | None = None

    @property
    def head(self) -> dict:
        if self._head is None:
            try:
                self._head = json.loads(self.raw[9 : self._head_end])
            except ValueError as error:
                raise FrameError(f"a {NAMES[self.kind]} frame's head is not JSON: {error}") from None
        return self._head

    @property
    def head_end(self) -> int:
        """Where the payload begins in `raw`."""
        return self._head_end

    @property
    def payload(self) -> bytes:
        return self.raw[self._head_end :]

    def parts(self, *sizes: int) -> list[bytes]:
        """The payload, cut into pieces of these sizes."""
        pieces, at = [], self._head_end
        for size in sizes:
            pieces.append(self.raw[at : at + size])
            at += size
        if at != len(self.raw):
            raise FrameError(f"a {NAMES[self.kind]} frame's payload has {len(self.payload)} bytes, its head says {sum(sizes)}")
        return pieces


def encode(kind: int, head: dict, *payload: bytes) -> bytes:
    text = _to_json(head).encode()
    size = 5 + len(text) + sum(map(len, payload))
    if size > MAX_FRAME_BYTES:
        raise FrameError(f"a {NAMES[kind]} frame of {size} bytes is over the limit of {MAX_FRAME_BYTES >> 20} MiB")
    return b"".join((_header.pack(size, kind, len(text)), text, *payload))


class Decoder:
    """Takes pieces of any size, gives whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        buffer = self._buffer
        buffer += data
        frames, at = [], 0
        while len(buffer) - at >= 9:
            size, kind, head = _header.unpack_from(buffer, at)
            if kind not in NAMES or size < 5 or size > MAX_FRAME_BYTES or head > min(size - 5, MAX_HEAD_BYTES):
                raise FrameError(f"not a frame: type {kind}, {size} bytes, head {head} bytes")
            if len(buffer) - at < 4 + size:
                break
            frames.append(Frame(bytes(buffer[at : at + 4 + size])))
            at += 4 + size
        del buffer[:at]
        return frames
