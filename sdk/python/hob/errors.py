"""⑦ What a remote call raises here when it did not give a result."""

from __future__ import annotations


class RemoteError(Exception):
    """A call that ended without a result. `kind` says how ("exception", "timeout", "memory" …), `type` is the remote exception's
    class, `remote_traceback` the text as the remote Python or Node printed it."""

    def __init__(self, message: str, kind: str = "exception", type: str = "", remote_traceback: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.type = type
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        text = f"{self.type}: {self.message}" if self.type else self.message
        return f"{text}\n\nremote traceback:\n{self.remote_traceback.rstrip()}" if self.remote_traceback else text

    def __reduce__(self) -> tuple:
        return (type(self), (self.message, self.kind, self.type, self.remote_traceback))


class CallTimeout(RemoteError):
    """The call ran longer than its function's `timeout`."""


class CallCancelled(RemoteError):
    """The call was cancelled."""


class OutOfMemory(RemoteError):
    """The call needed more than its function's `memory`."""


class ProcessEnded(RemoteError):
    """The process that ran the call exited or was ended by a signal."""


class ArgumentsRefused(RemoteError):
    """The arguments do not fit the function's parameters."""


_classes: dict[str, type[RemoteError]] = {
    "timeout": CallTimeout,
    "cancelled": CallCancelled,
    "memory": OutOfMemory,
    "exit": ProcessEnded,
    "signal": ProcessEnded,
    "arguments": ArgumentsRefused,
}

for _class in {RemoteError, *_classes.values()}:
    _class.__module__ = "hob"  # as users import and read them


def remote_error(failure: dict) -> RemoteError:
    kind = failure.get("kind", "exception")
    return _classes.get(kind, RemoteError)(failure.get("message", ""), kind, failure.get("type", ""), failure.get("traceback", ""))
