"""⑥ What the frames of a failed call hold: kept for a while where a person waits for that call, and told when somebody asks."""

from __future__ import annotations

import os
import time

from .. import failures, frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType
    from typing import Any

    from .children import Child

#: Of one process.
_kept_calls = 3
_kept_s = 300.0
#: A process that is larger keeps nothing beyond the next call's begin: what failed may hold what that call needs.
_small_bytes = 256 << 20
_patience_s = 2.0
_most_frames, _most_locals, _longest = 20, 40, 300


class Kept:
    """In the process that ran the calls."""

    def __init__(self) -> None:
        self._tracebacks: dict[str, TracebackType] = {}
        self._secrets: dict[str, str] = {}  # value → name

    def hide(self, secrets: dict[str, str]) -> None:
        self._secrets.update((value, name) for name, value in secrets.items() if value)

    def keep(self, call: str, error: BaseException) -> None:
        if error.__traceback__ is not None:
            self._tracebacks[call] = error.__traceback__
        while len(self._tracebacks) > _kept_calls:
            del self._tracebacks[next(iter(self._tracebacks))]

    def make_room(self) -> None:
        """Another call begins."""
        if self._tracebacks and _is_large():
            self._tracebacks.clear()

    def answer(self, head: dict[str, Any], root: str) -> dict[str, Any] | None:
        """None where it was only to forget."""
        call = head["call"]
        if head.get("forget"):
            self._tracebacks.pop(call, None)
            return None
        if call not in self._tracebacks:
            return {"call": call, "reason": "its frames were let go of: the process needed the memory, or other calls have failed since"}
        own = [(frame, line) for frame, line in _walk(self._tracebacks[call]) if failures.is_own(_file(frame, root))]
        told: list[dict[str, Any]] = []
        with _Deadline():
            show = _shower(self._secrets)
            for frame, line in own[-_most_frames:]:
                held = [(name, value) for name, value in dict(frame.f_locals).items() if not name.startswith("__")]
                entry: dict[str, Any] = {"file": _file(frame, root), "line": line, "function": frame.f_code.co_name, "locals": []}
                told.append(entry)
                for name, value in held[:_most_locals]:
                    entry["locals"].append({"name": name, "value": show(value)})
        return {"call": call, "frames": told}


def _walk(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _file(frame: FrameType, root: str) -> str:
    name, folder = frame.f_code.co_filename, root.rstrip("/") + "/"
    return name[len(folder) :] if name.startswith(folder) else name


def _is_large() -> bool:
    from . import forking

    try:
        with open("/proc/self/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return True
    return resident > _small_bytes or forking.holds_gpu("self")


class _Late(BaseException):
    pass


class _Deadline:
    """What a value's own `__repr__` does may take for ever: what is told by then is all."""

    def __enter__(self) -> None:
        import signal

        self._before = signal.signal(signal.SIGALRM, _late)
        self._timer = signal.setitimer(signal.ITIMER_REAL, _patience_s)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        import signal

        signal.setitimer(signal.ITIMER_REAL, *self._timer)
        signal.signal(signal.SIGALRM, self._before or signal.SIG_DFL)
        return kind is _Late


def _late(number: int, frame: FrameType | None) -> None:
    raise _Late


def _shower(secrets: dict[str, str]) -> Callable[[Any], str]:
    import reprlib

    def clean(text: str) -> str:
        for value in sorted(secrets, key=len, reverse=True):
            text = text.replace(value, f"[secret {secrets[value]}]")
        return text

    class Short(reprlib.Repr):
        def repr_str(self, x: str, level: int) -> str:
            return super().repr_str(clean(x), level)  # before it is cut: half a secret would not be found

        def repr_instance(self, x: object, level: int) -> str:
            text = clean(repr(x)).replace("\n", " ")
            return text if len(text) <= _longest else text[:_longest] + "…"

    short = Short()
    short.maxlevel, short.maxstring, short.maxlong, short.maxother = 3, 200, 100, _longest
    short.maxlist = short.maxtuple = short.maxset = short.maxfrozenset = short.maxdict = short.maxdeque = short.maxarray = 12

    def show(value: Any) -> str:
        try:
            text = clean(short.repr(value))
        except _Late:
            raise
        except BaseException as error:
            return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
        return text if len(text) <= 2 * _longest else text[: 2 * _longest] + "…"

    return show


class Inspections:
    """In the zygote: which process keeps the frames of which call, and until when."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._kept: dict[str, tuple[Child, float]] = {}  # the oldest first

    def finished(self, child: Child, call: frames.Frame, result: frames.Frame) -> None:
        if call.kind == frames.CALL and call.head.get("keepFrames") and "failure" in result.head:
            self._kept[call.head["call"]] = child, time.monotonic() + _kept_s

    def ask(self, frame: frames.Frame) -> None:
        child = self._kept.get(frame.head["call"], (None, 0.0))[0]
        if child is None or child.ending:
            self._refuse(frame, "its frames are not kept any more: its process has ended, or it failed over five minutes ago")
        elif child.running:
            self._refuse(frame, "its process runs another call: ask again when that is done")
        else:
            child.link.send(frame.raw)

    def _refuse(self, frame: frames.Frame, reason: str) -> None:
        self._send(frames.INSPECTED, {"call": frame.head["call"], "reason": reason})

    def seconds(self) -> float | None:
        """Has those forgotten of which the time is over; how long it is until the next."""
        while self._kept:
            call, (child, until) = next(iter(self._kept.items()))
            left = until - time.monotonic()
            if left > 0:
                return left
            del self._kept[call]
            if not child.ending:
                child.link.send(frames.encode(frames.INSPECT, {"call": call, "forget": True}))
        return None
