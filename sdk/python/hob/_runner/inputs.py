"""⑥ Inputs of a map in one process, one after the other: no write, thread or timer for each, and exact about which one a death was of."""

from __future__ import annotations

import _socket
import array
import os
import sys
import time

from .. import failures, frames, values
from . import voice
from .invoking import Settler, invoke

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..channel import Channel

#: Results go out when so much has been worked, or so much waits.
_flush_s = 0.004
_flush_bytes = 256 << 10

_result_bytes = frames.MAX_FRAME_BYTES - frames.MAX_HEAD_BYTES


class Progress:
    """
    Which input is under way, in a page of memory that outlives the process: it goes to the zygote at once, which looks at it only when the
    process has died. So a death is that input's failure, however many results had not been sent yet.
    """

    def __init__(self, line: int) -> None:
        self.place = [0, 0]  # (the agent's number of the inputs, position): where the system gives no such memory nobody reads it
        try:
            import mmap

            fd = os.memfd_create("hob-progress")
            try:
                os.ftruncate(fd, 8)
                page = mmap.mmap(fd, 8)
                end = _socket.socket(fileno=os.dup(line))
                end.sendmsg([b"p"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [fd]))])
                end.close()
                self.place = memoryview(page).cast("I")  # type: ignore[assignment]
            finally:
                os.close(fd)
        except (ImportError, OSError):
            pass


def progress_of(line: int) -> tuple[int, int] | None:
    """What a process that has died had said on its line: (the agent's number, position)."""
    end = _socket.socket(fileno=os.dup(line))
    fds = array.array("i")
    try:
        _, ancillary, _, _ = end.recvmsg(1, _socket.CMSG_SPACE(fds.itemsize), _socket.MSG_DONTWAIT)
        if not ancillary:
            return None
        fds.frombytes(ancillary[0][2])
        number, position = array.array("I", os.pread(fds[0], 8, 0))
        os.close(fds[0])
        return number, position
    except OSError:
        return None
    finally:
        end.close()


def run(frame: frames.Frame, function: Callable[..., Any], channel: Channel, progress: Progress, root: str) -> None:
    """Runs them all; the last results say that they are the last."""
    head = frame.head
    number, name, indexes, sizes = head["inputs"], head["function"], head["indexes"], head["sizes"]
    keywords = head.get("keywords") or [0] * len(sizes)
    place, raw, settle = progress.place, frame.raw, Settler()
    results: list[bytes] = []
    told: list[int] = []
    failed: list[dict[str, Any]] = []
    waiting, first, run_s = 0, 0, 0.0
    at = len(raw) - sum(sizes) - sum(keywords)
    place[0], place[1] = number, 0
    since = time.perf_counter()

    for position, size in enumerate(sizes):
        place[1] = position
        voice.index = indexes[position]
        failure, result = None, b""
        try:
            args = values.decode(raw[at : at + size])
            kwargs = values.decode(raw[at + size : at + size + keywords[position]]) if keywords[position] else {}
            failure, value = invoke(name, function, args, kwargs)
            if failure is None:
                result = values.encode(settle(value))
                if len(result) > _result_bytes:
                    text = f"{name}: the result is {len(result) >> 20} MiB as JSON; return at most {_result_bytes >> 20} MiB"
                    failure = failures.failure("encoding", text)
        except values.EncodingError as error:
            failure = failures.failure("encoding", f"{name}: {error}", "TypeError")
        except BaseException as error:
            failure = failures.from_exception(error, "exception", root)
        at += size + keywords[position]
        _flush(sys.stdout)
        _flush(sys.stderr)
        if failure is None:
            results.append(result)
            told.append(len(result))
            waiting += len(result)
        else:
            told.append(-1)
            failed.append(failure)
        now = time.perf_counter()
        if now - since >= _flush_s or waiting >= _flush_bytes:
            run_s += now - since
            if position + 1 == len(sizes):
                since = now
                break
            _send(channel, {"inputs": number, "first": first, "sizes": told, "failures": failed, "runMs": round(run_s * 1000, 3)}, results)
            results, told, failed, waiting, first, run_s = [], [], [], 0, position + 1, 0.0
            since = time.perf_counter()

    run_s += time.perf_counter() - since
    settle.close()
    voice.index = -1
    head = {"inputs": number, "first": first, "sizes": told, "failures": failed, "runMs": round(run_s * 1000, 3), "last": True}
    _send(channel, head, results)


def _send(channel: Channel, head: dict[str, Any], results: list[bytes]) -> None:
    voice.end()  # what an input wrote goes before its result
    channel.send(frames.RESULTS, head, *results)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except (AttributeError, OSError, ValueError):
        pass  # user code may have closed or replaced it
