"""⑥ Runs a program marked @app.local() on the laptop, for `hob run FILE`: python3 -m hob._local FILE ENTRY ARGS-JSON, fd 3 to the command."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import time
from typing import Any

from . import channel as channels
from . import failures, frames, values
from .app import App

#: The call id under which the program's own outcome is reported.
_self = "local"


def main(file: str, entry: str, arguments: str) -> int:
    """`arguments` is a JSON array (positional) or object (by name); ENTRY may be "" where FILE has one entry, or one called main."""
    channel = channels.current = channels.Channel(3)
    root = os.getcwd()
    sys.path[0] = root
    begin = time.perf_counter()
    failure, result = None, b""
    try:
        module = importlib.import_module(_module_name(os.path.relpath(file, root)))
        failure, value = _run(_entries(module), file, entry, values.decode(arguments.encode()))
        if failure is None:
            result = values.encode(value)
    except values.EncodingError as error:
        failure = failures.failure("encoding", f"{entry or file}: {error}", "TypeError")
    except BaseException as error:
        failure = failures.from_exception(error, "exception", root)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    head: dict[str, Any] = {"call": _self, "runMs": round((time.perf_counter() - begin) * 1000, 3)}
    channel.send(frames.RESULT, {**head, "failure": failure} if failure else head, result)
    return 1 if failure else 0


def _module_name(path: str) -> str:
    if path.startswith("..") or not path.endswith(".py"):
        raise ValueError(f"{path} is not a Python file of this project; run it from the project's folder")
    name = path[:-3].replace(os.sep, ".")
    return name[: -len(".__init__")] if name.endswith(".__init__") else name


def _entries(module: Any) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for app in vars(module).values():
        if isinstance(app, App):
            entries.update((name, target) for name, target in app.local_entries.items() if target.__module__ == module.__name__)
    return entries


def _run(entries: dict[str, Any], file: str, entry: str, arguments: Any) -> tuple[dict[str, Any] | None, Any]:
    name = entry or ("main" if "main" in entries else next(iter(entries)) if len(entries) == 1 else "")
    if name not in entries:
        there = ", ".join(sorted(entries)) or "none; mark one with @app.local()"
        return failures.failure("arguments", f"{file}: no local entry {entry!r} to run; there are: {there}"), None
    signature = inspect.signature(entries[name])
    args, kwargs = ((), arguments) if isinstance(arguments, dict) else (arguments, {})
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        return failures.failure("arguments", f"{name}: {error}; it is {name}{signature}", "TypeError"), None
    value = entries[name](*args, **kwargs)
    if inspect.iscoroutine(value):
        import asyncio

        value = asyncio.run(value)
    return None, value


if __name__ == "__main__":
    # The module that user code imports is hob._local's package, not this __main__: its `channels` is the one and only.
    sys.exit(main(*sys.argv[1:4]))
