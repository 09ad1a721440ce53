"""⑥ The process of a snapshot: imports the project's modules and runs calls, one after the other."""

from __future__ import annotations

import atexit
import faulthandler
import inspect
import os
import sys
import time
import types
from collections.abc import Callable
from typing import Any, NoReturn

from .. import channel as channels
from .. import failures, frames, values
from . import project as sources
from .practice import practise
from .project import Project

#: How long a process waits for its snapshot's folder, which appears beside the load, not before it.
_folder_wait_s = 5.0


class SnapshotProcess:
    def __init__(self, project: Project, fd: int, startup_modules: frozenset[str]) -> None:
        self._project = project
        self._startup_modules = startup_modules
        self._channel = channels.current = channels.Channel(fd)
        self._snapshot = ""
        self._folder = ""
        self._versions: dict[str, dict[str, str]] = {}
        self._functions: dict[str, tuple[Callable[..., Any], inspect.Signature | None]] = {}
        self._broken: dict[str, dict[str, Any]] = {}  # module → why it could not be imported

    def run(self, spare: bool) -> NoReturn:
        """Serves until the zygote closes the connection."""
        faulthandler.enable()  # a crash in native code then names the Python line
        sys.modules["__main__"] = types.ModuleType("__main__")
        sys.argv = [""]
        if spare:
            practise(self._startup_modules)
        while (frame := self._channel.request()) is not None:
            if frame.kind == frames.LOAD:
                self._load(frame)
            elif frame.kind == frames.CALL:
                self._call(frame)
        try:
            atexit._run_exitfuncs()
            _flush_output()
        finally:
            os._exit(0)

    def _load(self, frame: frames.Frame) -> None:
        head = frame.head
        failure = None
        try:
            self._project.apply(head, frame)
            if not self._snapshot:
                self._enter(head["snapshot"], {version["module"] for version in head["versions"]})
        except OSError as error:
            failure = failures.failure("infrastructure", f"the project's folder {self._folder} did not appear: {error.strerror}")
        for version in head["versions"]:
            self._versions[version["digest"]] = version
            if failure is None:
                failure = self._import(version["module"])
        _flush_output()
        self._channel.send(frames.LOADED, {"load": head["load"], **({"failure": failure} if failure else {})})

    def _enter(self, snapshot: str, modules: set[str]) -> None:
        self._snapshot, self._folder = snapshot, f"{sources.ROOT}/{snapshot}"
        for path in modules:  # while the folder appears
            try:
                self._project.code(snapshot, path)
            except (KeyError, SyntaxError, ValueError):
                pass  # the import below meets it again, and reports it
        deadline = time.monotonic() + _folder_wait_s
        while True:
            try:
                os.chdir(self._folder)
                break
            except FileNotFoundError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        sources.install(self._project, snapshot, self._folder, self._startup_modules)
        if "numpy.random" in sys.modules:  # else every process would draw the zygote's numbers
            sys.modules["numpy.random"].seed()

    def _import(self, path: str) -> dict[str, Any] | None:
        name = sources.module_name(path)
        if path in self._broken:
            return self._broken[path]
        try:
            __import__(name)
        except BaseException as error:
            self._broken[path] = failures.from_exception(error, "load", self._folder)
            return self._broken[path]
        return None

    def _call(self, frame: frames.Frame) -> None:
        head = frame.head
        self._channel.parent = head["call"]
        begin = time.perf_counter()
        failure, result = None, b""
        try:
            positional, keywords = frame.parts(head["positional"], head["keywords"])
            failure, result, begin = self._run(head, positional, keywords)
        except BaseException as error:
            failure = failures.from_exception(error, "exception", self._folder)
        run_ms = (time.perf_counter() - begin) * 1000
        if failure is None:
            try:
                result = values.encode(result)
            except values.EncodingError as error:
                failure = failures.failure("encoding", f"{head['function']}: {error}", "TypeError")
            except BaseException as error:  # a generator's body, a property of a dataclass: the user's code
                failure = failures.from_exception(error, "exception", self._folder)
        _flush_output()
        self._channel.parent = ""
        answer = {"call": head["call"], "runMs": round(run_ms, 3)}
        if failure is None and len(result) > frames.MAX_FRAME_BYTES - frames.MAX_HEAD_BYTES:
            limit = (frames.MAX_FRAME_BYTES - frames.MAX_HEAD_BYTES) >> 20
            failure = failures.failure("encoding", f"{head['function']}: the result is {len(result) >> 20} MiB as JSON; return at most {limit} MiB")
        if failure is None:
            self._channel.send(frames.RESULT, answer, result)
        else:
            self._channel.send(frames.RESULT, {**answer, "failure": failure})

    def _run(self, head: dict[str, Any], positional: bytes, keywords: bytes) -> tuple[dict[str, Any] | None, Any, float]:
        """(failure, value, when the function began)"""
        begin = time.perf_counter()
        version = self._versions.get(head["version"])
        if version is None:
            return failures.failure("load", f"{head['function']}: version {head['version'][:12]} has not been loaded here"), None, begin
        broken = self._import(version["module"])
        if broken:
            return broken, None, begin
        function, signature = self._look_up(version)
        args, kwargs = values.decode(positional), values.decode(keywords) if keywords else {}
        if signature is not None:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                name = head["function"]
                return failures.failure("arguments", f"{name}: {error}; it is {name}{signature}", "TypeError"), None, begin
        begin = time.perf_counter()
        value = function(*args, **kwargs)
        if inspect.iscoroutine(value) or inspect.isasyncgen(value):
            value = _await(value)
        elif inspect.isgenerator(value):
            value = list(value)
        return None, value, begin

    def _look_up(self, version: dict[str, str]) -> tuple[Callable[..., Any], inspect.Signature | None]:
        found = self._functions.get(version["digest"])
        if found is None:
            target: Any = sys.modules[sources.module_name(version["module"])]
            for name in version["qualname"].split("."):
                target = getattr(target, name)
            function = getattr(target, "function", None) or target  # a hob.Function, or what it decorates
            try:
                signature = inspect.signature(function)
            except (TypeError, ValueError):  # some built-in callables have none
                signature = None
            found = self._functions[version["digest"]] = (function, signature)
        return found


def _await(value: Any) -> Any:
    import asyncio  # the zygote has it where a module defines async functions

    async def collect() -> list[Any]:
        return [item async for item in value]

    return asyncio.run(collect() if inspect.isasyncgen(value) else value)


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # user code may have closed or replaced it
