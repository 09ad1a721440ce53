"""⑥ Exceptions as failures: the traceback as Python prints it, with the project's paths relative and no frame of ours."""

from __future__ import annotations

import os

from .errors import RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import traceback
    from typing import Any

_ours = os.path.dirname(os.path.abspath(__file__)) + os.sep


def failure(kind: str, message: str, type: str = "", text: str = "") -> dict[str, Any]:
    return {"kind": kind, "type": type, "message": message, "traceback": text, "frames": []}


def from_exception(error: BaseException, kind: str, root: str) -> dict[str, Any]:
    """`root` is the project's folder: what lies below it is the user's own."""
    try:
        import traceback  # with linecache and tokenize: what goes well does not wait for them
    except OSError:  # no descriptor is left
        return failure(kind, _cut(_message(error), _longest_message), _name(error))

    report = traceback.TracebackException(type(error), error, error.__traceback__)
    _clean(report, root.rstrip("/") + "/", set())
    frames = [_frame(frame.filename, frame.lineno or 0, frame.name, frame.line or "") for frame in report.stack]
    if isinstance(error, SyntaxError) and report.filename:
        frames.append(_frame(report.filename, int(report.lineno or 0), "", report.text or ""))
    return {
        "kind": kind,
        "type": _name(error),
        "message": _cut(_message(error), _longest_message),
        "traceback": _cut("".join(report.format()), _longest_traceback),
        "frames": frames,
    }


def _name(error: BaseException) -> str:
    name, module = type(error).__qualname__, type(error).__module__
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


#: An exception's text may be as long as its author likes; a failure goes to every client.
_longest_message = 16 << 10
_longest_traceback = 256 << 10


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text) - longest} more characters)"


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the function called sys.exit({'' if error.code is None else repr(error.code)})"
    try:
        return (error.message if isinstance(error, RemoteError) else str(error)) or type(error).__qualname__
    except Exception as fault:
        return f"an exception whose text cannot be had: {fault!r}"


def _clean(report: traceback.TracebackException, root: str, seen: set[int]) -> None:
    if id(report) in seen:
        return
    seen.add(id(report))
    report.stack[:] = [frame for frame in report.stack if not frame.filename.startswith((_ours, "<frozen importlib"))]
    for frame in report.stack:
        frame.filename = frame.filename[len(root) :] if frame.filename.startswith(root) else frame.filename
    if getattr(report, "filename", None) and report.filename.startswith(root):  # a SyntaxError's own place
        report.filename = report.filename[len(root) :]
    for inner in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        if inner is not None:
            _clean(inner, root, seen)


def is_own(file: str) -> bool:
    """Whether a file, relative to the project where it lies in it, is the project's."""
    return not file.startswith(("/", "<")) and "site-packages" not in file


def _frame(file: str, line: int, function: str, source: str) -> dict[str, Any]:
    return {"file": file, "line": line, "function": function, "source": source.strip(), "own": is_own(file)}
