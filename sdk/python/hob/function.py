"""⑥ Functions as user code sees them: called here, or on the pool, one call or many."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union

from . import channel as channels
from . import maps
from .errors import remote_error
from .values import decode, encode

if TYPE_CHECKING:
    from typing import ParamSpec
else:
    try:
        from typing import ParamSpec
    except ImportError:  # Python 3.9: any parameter of Generic will do
        ParamSpec = TypeVar

P = ParamSpec("P")
R = TypeVar("R")

Inputs = Union[Iterable[R], AsyncIterable[R]]


class Call(Generic[R]):
    """A call under way. `id` names it for good: it is the id that `hob logs --call` takes."""

    def __init__(self, channel: channels.Channel, call: str, spawned: bool = False) -> None:
        self.id = call
        self._untold = spawned  # that somebody waits for it
        self._channel = channel
        self._outcome: Any = None  # (value,) or an exception, once it is known

    def get(self, timeout: float | None = None) -> R:
        """The result; raises RemoteError when the call failed, TimeoutError when it is not there after `timeout` seconds."""
        if self._outcome is None:
            if self._untold:
                self._untold = False
                self._channel.awaits(self.id)
            if self._channel.wait((self.id,), timeout) is None:
                raise TimeoutError(f"call {self.id} has not finished within {timeout} s; it goes on running")
            self._outcome = _outcome(self._channel, self.id)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome[0]

    def cancel(self) -> None:
        if self._outcome is None:
            self._channel.cancel(self.id)

    def __repr__(self) -> str:
        return f"<hob call {self.id}>"


class Function(Generic[P, R]):
    """A function of an app. Called like any function it runs here; `.remote(...)` runs it on the pool."""

    def __init__(self, app: str, spec: dict[str, Any], function: Callable[P, R] | None) -> None:
        self.app = app
        self.spec = spec
        self.name: str = spec["name"]
        self.function = function
        if function is not None:
            functools.update_wrapper(self, function)

    @staticmethod
    def from_name(app: str, name: str, version: int | str | None = None) -> Function[..., Any]:
        """
        A function that was deployed: what is live when it is called (before the app's first deployment, what was published last); with a
        number that deployment's; with a digest, of which six digits do, that version. `hob stubs APP` writes a module with the types.
        """
        return Function(_reference(app, version), {"name": name}, None)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.local(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.function is None:
            raise RuntimeError(f"{self.app}/{self.name} was looked up by name, so its code is not here; call {self.name}.remote(...)")
        return self.function(*args, **kwargs)

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs it on the pool and waits for the result."""
        channel = self._channel()
        return Call(channel, self._start(channel, args, kwargs, "function")).get()

    def spawn(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Starts it on the pool and returns at once. The call goes on when the function that made it has returned."""
        channel = self._channel()
        return Call(channel, self._start(channel, args, kwargs, "spawn"), spawned=True)

    def map(self, inputs: Inputs[Any], *, ordered: bool = True, return_exceptions: bool = False) -> Iterator[R]:
        """The result of each input, as they come in the inputs' order; with ordered=False, in the order in which they finish. The inputs may be
        endless: no more of them are taken than the pool works on."""
        return maps.each(self._channel(), (self.app, self.name), maps.tuples(inputs, False), ordered, return_exceptions)

    def starmap(self, inputs: Inputs[Iterable[Any]], *, ordered: bool = True, return_exceptions: bool = False) -> Iterator[R]:
        """Like map, with each input a list of arguments."""
        return maps.each(self._channel(), (self.app, self.name), maps.tuples(inputs, True), ordered, return_exceptions)

    def spawn_map(self, inputs: Inputs[Any], *, ordered: bool = True) -> maps.MapCall[R]:
        """Hands all inputs to the pool and returns. The map goes on when the function that made it has returned."""
        return maps.spawn(self._channel(), (self.app, self.name), maps.tuples(inputs, False), ordered)

    def _channel(self) -> channels.Channel:
        if channels.current is None:
            from . import rest

            channels.current = rest.find(anywhere=self.function is None)
        if channels.current is None:
            code = getattr(self.function, "__code__", None)
            file = os.path.basename(code.co_filename) if code else "FILE"
            raise RuntimeError(f"{self.name}: a remote call needs hob; run this program with `hob run {file}`, or `hob run {file}::{self.name}`; HOB_URL names a pool for others")
        return channels.current

    def _start(self, channel: channels.Channel, args: tuple, kwargs: dict[str, Any], origin: str) -> str:
        positional = b",".join(encode(argument, f"argument {at + 1} of {self.name}", "pass") for at, argument in enumerate(args))
        keywords = b",".join(
            encode(name) + b":" + encode(value, f"argument {name} of {self.name}", "pass") for name, value in kwargs.items()
        )
        return channel.start(self.app, self.name, (b"[%s]" % positional, b"{%s}" % keywords if kwargs else b""), origin)

    def __repr__(self) -> str:
        return f"<hob function {self.app}/{self.name}>"


def _reference(app: str, version: int | str | None) -> str:
    """As StartCall.app has it."""
    if "@" in app:
        raise ValueError(f"Function.from_name({app!r}): an app's name has no @; write from_name({app.partition('@')[0]!r}, …, version=3)")
    if version is None:
        return f"{app}@live"
    digits = isinstance(version, str) and len(version) >= 6 and all(digit in "0123456789abcdef" for digit in version)
    number = isinstance(version, int) and not isinstance(version, bool) and 0 < version < 100_000
    if not digits and not number:
        raise ValueError(f'version={version!r} is no version; write a deployment\'s number (version=3) or a digest (version="d2f06a")')
    return f"{app}@{version}"


def _outcome(channel: channels.Channel, call: str) -> Any:
    frame = channel.take(call)
    failure = frame.head.get("failure")
    return remote_error(failure) if failure else (decode(frame.payload),)
