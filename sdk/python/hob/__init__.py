"""hob keeps your functions warm while you write them: declare an app's functions here, run them with `hob`."""

from .app import App
from .classes import enter, exit, method
from .errors import ArgumentsRefused, CallCancelled, CallTimeout, OutOfMemory, ProcessEnded, RemoteError
from .function import Call, Function
from .image import Image

__all__ = [
    "App",
    "ArgumentsRefused",
    "Call",
    "CallCancelled",
    "CallTimeout",
    "Function",
    "Image",
    "OutOfMemory",
    "ProcessEnded",
    "RemoteError",
    "enter",
    "exit",
    "method",
]
