"""⑥ A process that serves functions: imports the project's modules, takes new code, and runs calls, one after the other."""

from __future__ import annotations

import atexit
import faulthandler
import os
import sys
import time
import types

from .. import channel as channels
from .. import failures, frames, values
from . import forking, inputs, inspecting, patching, work
from . import project as sources
from .instances import Instances
from .invoking import invoke, settled
from .practice import practise
from .project import Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from .answering import Answering

#: How long a process waits for its snapshot's folder, which appears beside the load, not before it.
_folder_wait_s = 5.0


class ServingProcess:
    def __init__(self, project: Project, link: int, line: int, startup_modules: frozenset[str]) -> None:
        self._project = project
        self._startup_modules = startup_modules
        self._channel = channels.current = channels.Channel(link)
        self._line = line  # here come the descriptors for a process that is to be forked from this one
        self._template = False  # it has forked another that runs the calls: it stays as it was loaded
        self._snapshot = ""  # the newest of which it has code
        self._units: list[dict[str, Any]] = []  # that the last patch changed
        self._untidy = False  # by it there are contents that are needed no more
        self._folder = ""
        self._finder: sources.SourceFinder | None = None
        self._versions: dict[str, dict[str, Any]] = {}  # by digest
        self._functions: dict[str, Callable[..., Any]] = {}  # by digest
        self._instances = Instances(settled)
        self._progress: inputs.Progress | None = None  # from its first inputs of a map on
        self._answering: Answering | None = None  # from its first HTTP request on
        self._homeless: dict[str, Any] | None = None  # why it has no project: none of its calls is the code's fault
        self._broken: dict[tuple[str, str], dict[str, Any]] = {}  # (module, class) → why it could not be loaded
        self._kept = inspecting.Kept()

    def run(self, spare: bool) -> NoReturn:
        """Serves until the zygote closes the connection."""
        faulthandler.enable()  # a crash in native code then names the Python line
        sys.modules["__main__"] = types.ModuleType("__main__")
        sys.argv = [""]
        if spare:
            practise(self._startup_modules)
        while (frame := self._next()) is not None:
            if frame.kind == frames.LOAD:
                self._load(frame)
            elif frame.kind in work.KINDS and frame.head["version"] not in self._versions:
                self._channel.send(forking.BOUNCED, work.name_of(frame))
            elif frame.kind == frames.CALL:
                self._call(frame)
            elif frame.kind == frames.INPUTS:
                self._inputs(frame)
            elif frame.kind == forking.FORK:
                self._fork()
            elif frame.kind == frames.ROUSE:
                patching.rehearse(self._project, self._snapshot, self._units)
            elif frame.kind == frames.INSPECT:
                told = self._kept.answer(frame.head, self._folder)
                if told is not None:
                    self._channel.send(frames.INSPECTED, told)
        try:
            if not self._template:
                self._instances.leave()
                atexit._run_exitfuncs()
            _flush_output()
        finally:
            os._exit(0)

    def _next(self) -> frames.Frame | None:
        if self._untidy and not self._channel.asked:
            self._untidy = False
            self._project.prune({self._snapshot}, keep=0)
        return self._channel.request()

    def _fork(self) -> None:
        link_and_line = forking.fork_from_here(self._channel, self._line)
        if link_and_line is None:
            self._template = True
            return
        self._template = False
        link, self._line = link_and_line
        self._channel = channels.current = channels.Channel(link)
        self._progress = None

    def _load(self, frame: frames.Frame) -> None:
        head = frame.head
        answer: dict[str, Any] = {"load": head["load"]}
        try:
            self._project.apply(head, frame)
            if head.get("patch") is not None:
                self._patch(head)
            elif not self._snapshot:
                os.environ.update(head.get("secrets") or {})
                self._kept.hide(head.get("secrets") or {})
                self._enter(head["snapshot"], {version["module"] for version in head["versions"]})
        except patching.CannotPatch as reason:
            self._channel.send(frames.LOADED, {**answer, "cannot": str(reason)})
            return
        except OSError as error:
            self._homeless = failures.failure("infrastructure", f"the project's folder {self._folder} did not appear: {error.strerror}")
        if self._homeless:
            answer["failure"] = self._homeless
        for version in head["versions"]:
            self._versions[version["digest"]] = version
            if "failure" not in answer:
                broken = self._ready(version)
                if broken:
                    answer["failure"] = broken
        _flush_output()
        self._channel.send(frames.LOADED, answer)

    def _patch(self, head: dict[str, Any]) -> None:
        """`patch.former`: for each version its function's former digest, whose callable goes on."""
        patch = head["patch"]
        if self._broken:
            raise patching.CannotPatch("what it has loaded was not in order")
        patching.apply(self._project, self._snapshot, head["snapshot"], patch["units"])
        self._snapshot, self._units = head["snapshot"], patch["units"]
        self._untidy = True
        if self._finder is not None:
            self._finder.snapshot = self._snapshot  # for what is imported later
        for version, former in zip(head["versions"], patch["former"]):
            function = self._functions.pop(former, None)
            self._versions.pop(former, None)
            if function is not None:
                self._functions[version["digest"]] = function

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
        self._finder = sources.install(self._project, snapshot, self._folder, self._startup_modules)
        if "numpy.random" in sys.modules:  # else every process would draw the zygote's numbers
            sys.modules["numpy.random"].seed()

    def _ready(self, version: dict[str, Any]) -> dict[str, Any] | None:
        """Imports the module and makes the class's object; the failure that this gave, now or before."""
        if self._homeless:
            return self._homeless
        path, owner = version["module"], version["className"]
        for key in ((path, ""), (path, owner)):
            if key in self._broken:
                return self._broken[key]
        name = sources.module_name(path)
        try:
            if name not in sys.modules:
                owner = ""
                __import__(name)
                owner = version["className"]
            self._instances.make(version)
        except BaseException as error:
            self._broken[path, owner] = failures.from_exception(error, "load", self._folder)
            return self._broken[path, owner]
        return None

    def _call(self, frame: frames.Frame) -> None:
        head = frame.head
        self._channel.parent = head["call"]
        self._kept.make_room()
        begin = time.perf_counter()
        failure, result, response = None, b"", None
        try:
            positional, keywords = frame.parts(head["positional"], head["keywords"])
            if "request" in head:
                failure, response, result = self._answer(head, positional)
            else:
                failure, result, begin = self._run(head, positional, keywords)
        except BaseException as error:
            failure = failures.from_exception(error, "exception", self._folder)
            if head.get("keepFrames"):
                self._kept.keep(head["call"], error)
        run_ms = (time.perf_counter() - begin) * 1000
        if failure is None and "request" not in head:
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
        if response is not None:
            answer["response"] = response
        if failure is None:
            self._channel.send(frames.RESULT, answer, result)
        else:
            self._channel.send(frames.RESULT, {**answer, "failure": failure})

    def _run(self, head: dict[str, Any], positional: bytes, keywords: bytes) -> tuple[dict[str, Any] | None, Any, float]:
        """(failure, value, when the function began)"""
        begin = time.perf_counter()
        version = self._versions[head["version"]]
        broken = self._ready(version)
        if broken:
            return broken, None, begin
        function = self._look_up(version)
        args, kwargs = values.decode(positional), values.decode(keywords) if keywords else {}
        begin = time.perf_counter()
        refused, value = invoke(head["function"], function, args, kwargs)
        return refused, settled(value), begin

    def _answer(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any] | None, dict[str, Any] | None, bytes]:
        """(failure, head of the response where it was not streamed, its body)"""
        version = self._versions[head["version"]]
        broken = self._ready(version)
        if broken:
            return broken, None, b""
        if self._answering is None:
            from .answering import Answering
            from .invoking import Settler

            self._answering = Answering(Settler())
        response, data = self._answering.answer(head, body, self._look_up(version), self._channel)
        return None, response, data

    def _inputs(self, frame: frames.Frame) -> None:
        head = frame.head
        self._channel.parent = head["map"]
        try:
            version = self._versions[head["version"]]
            broken = self._ready(version)
            function = None if broken else self._look_up(version)
        except BaseException as error:
            broken, function = failures.from_exception(error, "exception", self._folder), None
        if function is None:
            self._channel.send(*work.refusal(frame, broken))
        else:
            self._progress = self._progress or inputs.Progress(self._line)
            inputs.run(frame, function, self._channel, self._progress, self._folder)
        self._channel.parent = ""

    def _look_up(self, version: dict[str, Any]) -> Callable[..., Any]:
        found = self._functions.get(version["digest"])
        if found is None:
            if version["className"]:
                found = self._instances.method(version)
            else:
                target: Any = sys.modules[sources.module_name(version["module"])]
                for name in version["qualname"].split("."):
                    target = getattr(target, name)
                found = getattr(target, "function", None) or target  # a hob.Function, or what it decorates
            self._functions[version["digest"]] = found
        return found


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # user code may have closed or replaced it
