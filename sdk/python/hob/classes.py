"""⑥ Classes as user code sees them: what `enter` loads stays, and each method is a function of the app."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, TypeVar

from .function import Function

F = TypeVar("F", bound=Callable[..., Any])


def enter() -> Callable[[F], F]:
    """Marks what loads: it runs once in each process, before the first call, in the order in which the class has them."""
    return _marker("enter")


def exit() -> Callable[[F], F]:  # noqa: A001  read as hob.exit
    """Marks what runs once when the process ends."""
    return _marker("exit")


def method() -> Callable[[F], F]:
    """Marks a method that can be called on the pool: `Model().predict.remote(x)`."""
    return _marker("method")


def _marker(kind: str) -> Callable[[F], F]:
    def mark(target: F) -> F:
        if not isinstance(target, types.FunctionType):
            raise TypeError(f"@hob.{kind}() marks plain methods, and {target!r} is not one; put it directly above the `def`, with no decorator between")
        setattr(target, f"__hob_{kind}__", True)
        return target

    return mark


class Class:
    """A class of an app. `cls` is the class as it was written; calling this makes an object whose methods run here or on the pool."""

    def __init__(self, app: str, spec: dict[str, Any], cls: type) -> None:
        self.app, self.cls = app, cls
        self.__name__, self.__qualname__, self.__module__, self.__doc__ = cls.__name__, cls.__qualname__, cls.__module__, cls.__doc__
        _check_constructor(cls)
        self.enter_hooks = _marked(cls, "enter")
        self.exit_hooks = _marked(cls, "exit")
        self.methods: dict[str, Function[..., Any]] = {
            name: Function(app, {**spec, "name": f"{cls.__name__}.{name}"}, getattr(cls, name)) for name in _marked(cls, "method")
        }
        if not self.methods:
            raise TypeError(f"@app.cls: {cls.__name__} has no method to call; put @hob.method() above one, or take @app.cls away")

    def __call__(self) -> Object:
        return Object(self)

    def __getattr__(self, name: str) -> Any:
        if name in ("cls", "methods"):  # not made yet: a copy under way
            raise AttributeError(name)
        return self.methods[name] if name in self.methods else getattr(self.cls, name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (self.cls,)

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, self.cls)

    def __repr__(self) -> str:
        return f"<hob class {self.app}/{self.__name__}>"


class Object:
    """What `Model()` gives: `.predict(x)` and all else run here, after the enter hooks; `.predict.remote(x)` runs on the pool."""

    def __init__(self, served: Class) -> None:
        self.__dict__.update(_served=served, _made=None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        function = self._served.methods.get(name)
        if function is None:
            return getattr(_loaded(self), name)

        def local(*args: Any, **kwargs: Any) -> Any:
            return getattr(_loaded(self), name)(*args, **kwargs)

        bound = Function(function.app, function.spec, function.function)
        bound.function = local
        return bound

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_loaded(self), name, value)

    def __repr__(self) -> str:
        return f"<hob object of {self._served.app}/{self._served.__name__}>"


def _loaded(handle: Object) -> Any:
    if handle._made is None:
        made = handle._served.cls()
        for name in handle._served.enter_hooks:
            getattr(made, name)()
        handle.__dict__["_made"] = made
    return handle._made


def _marked(cls: type, kind: str) -> list[str]:
    """Names of the marked methods, base classes' first, each in the order of its definition; an override counts where it is marked."""
    found: list[str] = []
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if getattr(value, f"__hob_{kind}__", False) and name not in found:
                found.append(name)
    return [name for name in found if getattr(getattr(cls, name), f"__hob_{kind}__", False)]


def _check_constructor(cls: type) -> None:
    if cls.__init__ is object.__init__:
        return
    import inspect  # 5 ms, for classes with a constructor of their own

    required = [
        parameter.name
        for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if required:
        text = ", ".join(required)
        raise TypeError(f"@app.cls: {cls.__name__}() is made without arguments, and its constructor wants {text}; give defaults, or load in a method with @hob.enter()")
