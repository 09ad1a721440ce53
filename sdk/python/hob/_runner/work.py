"""⑥ What a process is given to do, a call or inputs of a map: what its answers name it by, and how it is refused."""

from __future__ import annotations

from .. import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KINDS = (frames.CALL, frames.INPUTS)
ANSWERS = (frames.RESULT, frames.RESULTS)


def name_of(frame: frames.Frame) -> dict[str, Any]:
    return {"call": frame.head["call"]} if frame.kind == frames.CALL else {"inputs": frame.head["inputs"]}


def is_of(frame: frames.Frame, head: dict[str, Any]) -> bool:
    """Whether a frame with this head, an answer or a cancel, is about it."""
    key = "call" if frame.kind == frames.CALL else "inputs"
    return head.get(key) == frame.head[key]


def speaker(frame: frames.Frame) -> str:
    """Under which call its output is."""
    return frame.head["call" if frame.kind == frames.CALL else "map"]


def refusal(frame: frames.Frame, failure: Any, dropped: int = 0, guilty: int | None = None) -> tuple[int, dict[str, Any]]:
    """Its last answer: with `guilty`, the failure is that input's; else of all that have no result."""
    head = {**name_of(frame), "runMs": 0, "droppedBytes": dropped, "failure": failure}
    if frame.kind == frames.CALL:
        return frames.RESULT, head
    return frames.RESULTS, {**head, "first": 0, "sizes": [], "failures": [], "last": True, **({} if guilty is None else {"guilty": guilty})}
