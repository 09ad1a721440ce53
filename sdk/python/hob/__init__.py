"""hob keeps your functions warm while you write them: declare an app's functions here, run them with `hob`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .app import App
    from .classes import enter, exit, method
    from .errors import ArgumentsRefused, CallCancelled, CallTimeout, OutOfMemory, ProcessEnded, RemoteError
    from .function import Call, Function
    from .http import Request, Response, Upload
    from .image import Image
    from .maps import MapCall
    from .retries import Retries
    from .schedule import Cron, Period

__all__ = [
    "App",
    "ArgumentsRefused",
    "Call",
    "CallCancelled",
    "CallTimeout",
    "Cron",
    "Function",
    "Image",
    "MapCall",
    "OutOfMemory",
    "Period",
    "ProcessEnded",
    "RemoteError",
    "Request",
    "Response",
    "Retries",
    "Upload",
    "enter",
    "exit",
    "method",
]

_homes = {
    "App": "app",
    "Call": "function",
    "Cron": "schedule",
    "Function": "function",
    "Image": "image",
    "MapCall": "maps",
    "Period": "schedule",
    "Request": "http",
    "Response": "http",
    "Retries": "retries",
    "Upload": "http",
    "enter": "classes",
    "exit": "classes",
    "method": "classes",
}


def __getattr__(name: str) -> object:
    """Imported at its first use: a runner is a module of this package, and starts without what only user code needs (10 ms)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(__import__(f"{__name__}.{_homes.get(name, 'errors')}", fromlist=(name,)), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
