"""② Apps: named sets of functions, declared in code."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .classes import Class
from .endpoints import make_endpoint
from .function import Function
from .image import Image
from .spec import Options, make_spec

if TYPE_CHECKING:
    from typing import ParamSpec, Unpack

    P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

_app_name = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


class App:
    """The functions that belong together: they are watched, deployed and shown under one name."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not _app_name.fullmatch(name):
            raise ValueError(f"App({name!r}): an app's name is 1 to 63 lower-case letters, digits and - . _; write for example App(\"images\")")
        self.name = name
        self.functions: dict[str, Function[..., Any]] = {}
        self.local_entries: dict[str, Callable[..., Any]] = {}

    @overload
    def function(self, function: Callable[P, R], /) -> Function[P, R]: ...

    @overload
    def function(self, *, name: str | None = None, **options: Unpack[Options]) -> Callable[[Callable[P, R]], Function[P, R]]: ...

    def function(self, function: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
        """Makes a function of this app. The options are those of `hob.spec.Options`; they are checked where they are written."""
        spec = make_spec(name or "", options)  # type: ignore[arg-type]

        def decorate(target: Callable[..., Any]) -> Function[..., Any]:
            if not isinstance(target, types.FunctionType):
                raise TypeError(f"@app.function decorates functions, and {target!r} is not one; put it above a `def`")
            made = Function(self.name, {**spec, "name": name or target.__name__}, target)
            self.functions[made.name] = made
            return made

        return decorate if function is None else decorate(function)

    def endpoint(
        self,
        path: Any = None,
        /,
        *,
        methods: Sequence[str] | None = None,
        public: bool | None = None,
        max_body: str | int | None = None,
        name: str | None = None,
        **options: Any,
    ) -> Any:
        """
        A function of this app that answers HTTP requests at /APP/PATH, by default at its own name. Its parameters come from the path, the
        query and the body, converted as they are annotated; it may return JSON, text, bytes, a `hob.Response`, or yield what is streamed.
        `public`: True lets everybody ask, False only who has a token; None is open on this machine, and elsewhere wants a token.
        """
        if callable(path):
            return self.endpoint()(path)

        def decorate(target: Callable[..., Any]) -> Function[..., Any]:
            made = self.function(name=name, **options)(target)
            made.spec["endpoint"] = make_endpoint("function", path or f"/{made.name}", methods, public, max_body)
            return made

        return decorate

    def asgi(self, path: str | None = None, /, *, public: bool | None = None, max_body: str | int | None = None, name: str | None = None, **options: Any) -> Any:
        """A function that returns an ASGI app (FastAPI, Starlette …), which answers all requests below /APP/PATH. It is called once a process."""
        if callable(path):
            return self.asgi()(path)

        def decorate(target: Callable[..., Any]) -> Function[..., Any]:
            made = self.function(name=name, **options)(target)
            made.spec["endpoint"] = make_endpoint("asgi", path or f"/{made.name}", None, public, max_body)
            return made

        return decorate

    def cls(self, target: type | None = None, /, **options: Any) -> Any:
        """
        Makes the marked methods of a class functions of this app, called "Model.predict". One object serves all calls of a process: what
        its `@hob.enter()` methods load is there for each. The options are those of `hob.spec.Options`.
        """
        spec = make_spec("", options)  # type: ignore[arg-type]

        def decorate(decorated: type) -> Class:
            if not isinstance(decorated, type):
                raise TypeError(f"@app.cls decorates classes, and {decorated!r} is not one; put @app.function() above a `def`")
            made = Class(self.name, spec, decorated)
            self.functions.update((function.name, function) for function in made.methods.values())
            return made

        return decorate if target is None else decorate(target)

    def local(self) -> Callable[[F], F]:
        """Marks a program that runs on the laptop and calls the app's functions: `hob run app.py`."""

        def decorate(target: F) -> F:
            if not isinstance(target, types.FunctionType):
                raise TypeError(f"@app.local() decorates functions, and {target!r} is not one; put it above a `def`")
            self.local_entries[target.__name__] = target
            return target

        return decorate

    def __repr__(self) -> str:
        return f"App({self.name!r})"
