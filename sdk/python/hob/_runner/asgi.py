"""⑥ An ASGI app (specification 2.4) in a process that serves: one event loop for all of its requests, its lifespan from the first to the end."""

from __future__ import annotations

import asyncio
import atexit
from urllib.parse import unquote, urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .answering import Answer
    from .streaming import Stream

_version = {"version": "3.0", "spec_version": "2.4"}


class Host:
    def __init__(self, app: Any) -> None:
        if not callable(app):
            raise TypeError(f"an @app.asgi() function returns an ASGI app, and {app!r} is none")
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._state: dict[str, Any] = {}
        self._told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._lifespan = self._loop.create_task(self._live())
        self._heard: asyncio.Queue[str] = asyncio.Queue()
        self._loop.run_until_complete(self._startup())
        atexit.register(self._shutdown)

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": _version, "state": self._state}

        async def send(message: dict[str, Any]) -> None:
            self._heard.put_nowait(message["type"] if "message" not in message else f"{message['type']}: {message['message']}")

        await self._app(scope, self._told.get, send)

    async def _startup(self) -> None:
        """An app that raises for a lifespan has none, as the specification says."""
        self._told.put_nowait({"type": "lifespan.startup"})
        heard = asyncio.ensure_future(self._heard.get())
        await asyncio.wait({heard, self._lifespan}, return_when=asyncio.FIRST_COMPLETED)
        if not heard.done():
            heard.cancel()
            self._lifespan.exception()
        elif "startup.failed" in heard.result():
            raise RuntimeError(f"the app did not start: {heard.result()}")

    def _shutdown(self) -> None:
        if self._lifespan.done():
            return
        self._told.put_nowait({"type": "lifespan.shutdown"})
        self._loop.run_until_complete(asyncio.wait({self._lifespan}, timeout=1.5))

    def answer(self, request: dict[str, Any], body: bytes, stream: Stream) -> Answer:
        asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(self._answer(request, body, stream))

    async def _answer(self, request: dict[str, Any], body: bytes, stream: Stream) -> Answer:
        head: dict[str, Any] = {}
        whole: list[bytes] = []
        asked = False
        left = asyncio.Event()  # the reader has gone, or has all

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body, "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                head.update(status=message["status"], headers=[[n.decode("latin-1"), v.decode("latin-1")] for n, v in message.get("headers", ())])
                return
            if message["type"] != "http.response.body" or left.is_set():
                return
            data, more = bytes(message.get("body", b"")), message.get("more_body", False)
            if more and not stream.begun:
                stream.begin(head)
            if not stream.begun:
                whole.append(data)
            elif not stream.write(data):
                left.set()
            if not more:
                left.set()
            else:
                await asyncio.sleep(0)  # what it has started beside it has its turn

        await self._app(self._scope(request), receive, send)
        if not head:
            raise RuntimeError("the ASGI app ended without an answer")
        return (None, b"") if stream.begun else (head, b"".join(whole))

    def _scope(self, request: dict[str, Any]) -> dict[str, Any]:
        origin = urlsplit(request["origin"])
        path = request["path"]  # without root_path: frameworks of before and after the specification said that it has that route it alike
        return {
            "type": "http",
            "asgi": _version,
            "http_version": "1.1",
            "method": request["method"],
            "scheme": origin.scheme,
            "path": unquote(path),
            "raw_path": path.encode("latin-1", "replace"),
            "root_path": request["prefix"],
            "query_string": request["query"].encode("latin-1", "replace"),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request["headers"]],
            "client": (request["client"] or "127.0.0.1", 0),
            "server": (origin.hostname or "localhost", origin.port or 80),
            "state": dict(self._state),
        }
