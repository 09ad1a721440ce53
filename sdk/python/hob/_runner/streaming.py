"""⑥ A response that is sent as it comes, no further ahead of its reader than a mebibyte."""

from __future__ import annotations

from .. import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..channel import Channel

#: What may be on its way to the reader.
_window_bytes = 1 << 20
_piece_bytes = 1 << 18


class Stream:
    def __init__(self, channel: Channel, call: str) -> None:
        self._channel, self._call, self._sent = channel, call, 0
        self.begun = False

    @property
    def gone(self) -> bool:
        """Nobody reads on."""
        return self._channel.taken(self._call)[1]

    def begin(self, head: dict[str, Any]) -> None:
        self.begun = True
        self._channel.send(frames.PART, {"call": self._call, "response": head})

    def write(self, data: bytes) -> bool:
        """Waits while the reader is behind; False when there is none any more."""
        view = memoryview(data)
        for at in range(0, len(view), _piece_bytes):
            self._channel.poll()
            if self._behind():
                self._channel.settle(lambda: self.gone or not self._behind())
            if self.gone:
                return False
            piece = view[at : at + _piece_bytes]
            self._sent += len(piece)
            self._channel.send(frames.PART, {"call": self._call}, bytes(piece))
        return not self.gone

    def _behind(self) -> bool:
        return self._sent - self._channel.taken(self._call)[0] >= _window_bytes

    def close(self) -> None:
        self._channel.untaken(self._call)
