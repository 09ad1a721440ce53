"""⑥ A function called with decoded arguments: what it gave, awaited and collected, or why the arguments do not fit."""

from __future__ import annotations

import types

from .. import failures

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    Settle = Callable[[Any], Any]


def invoke(name: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> tuple[dict[str, Any] | None, Any]:
    """(failure, value), the value as the function returned it; what the function raises is raised."""
    try:
        return None, function(*args, **kwargs)
    except TypeError as error:
        inner = error.__traceback__ and error.__traceback__.tb_next
        if inner is not None and (inner.tb_next is not None or not hasattr(function, "__wrapped__")):
            raise
        refused = _misfit(name, function, args, kwargs)  # it was raised by the call, not in the function
        if refused is None:
            raise
        return refused, None


def _misfit(name: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    import inspect  # 6 ms, which no call that fits has to wait for

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in callables have none
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        return failures.failure("arguments", f"{name}: {error}; it is {name}{signature}", "TypeError")
    return None


_of_coroutine, _of_asyncgen = types.CoroutineType, types.AsyncGeneratorType


def settled(value: Any) -> Any:
    """Coroutines awaited, generators collected."""
    if isinstance(value, types.GeneratorType):
        return list(value)
    awaited = isinstance(value, (_of_coroutine, _of_asyncgen))
    if not awaited:
        return value
    import asyncio  # the zygote has it where a module defines async functions

    return asyncio.run(_collect(value) if isinstance(value, _of_asyncgen) else value)


async def _collect(value: Any) -> list[Any]:
    return [item async for item in value]


class Settler:
    """The same for many values, one after the other, with one event loop for all of them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, value: Any) -> Any:
        kind = type(value)
        if kind is not _of_coroutine and kind is not _of_asyncgen:
            return list(value) if kind is types.GeneratorType else value
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        loop = self._loop
        try:
            return loop.run_until_complete(_collect(value) if kind is _of_asyncgen else value)
        finally:
            left = asyncio.all_tasks(loop)  # as at the end of asyncio.run: nothing of an input goes on beside the next
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def close(self) -> None:
        if self._loop is None:
            return
        import asyncio

        loop, self._loop = self._loop, None
        try:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
