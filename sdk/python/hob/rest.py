"""⑥ Calls from a program that hob has not started: over control's REST interface, with nothing but the standard library."""

from __future__ import annotations

import glob
import http.client
import json
import os
import socket
import ssl
import threading
from collections.abc import Collection, Iterable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from .errors import remote_error
from .values import decode

#: What one request waits for; longer calls are asked for again.
_wait_s = 60.0
_most_inputs = 10_000


class _Answer:
    """As the frame that answers a call."""

    def __init__(self, head: dict[str, Any], payload: bytes) -> None:
        self.head, self.payload = head, payload


class RestChannel:
    """One thread a connection. `address` is a URL, or the path of control's socket for HTTP."""

    def __init__(self, address: str, token: str = "") -> None:
        self._address, self._token = address, token
        self._local = threading.local()
        self._finished: dict[str, _Answer] = {}

    #: Calls made here have no caller.
    parent = ""

    def open_map(self, made: str, hear: Any, head: dict[str, Any]) -> None:
        raise RuntimeError(f"{head['function']}: spawn_map needs hob; run this program with `hob run FILE`, or use map")

    def start(self, app: str, function: str, arguments: tuple[bytes, bytes], origin: str) -> str:
        call = os.urandom(8).hex()
        positional, keywords = arguments
        body = b'{"id":"%s","args":%s,"kwargs":%s,"wait":%d}' % (call.encode(), positional, keywords or b"{}", 0 if origin == "spawn" else _wait_s)
        self._keep(call, self._ask("POST", f"/v1/apps/{quote(app)}/functions/{quote(function)}/call", body))
        return call

    def wait(self, calls: Collection[str], timeout: float | None = None) -> str | None:
        left = timeout
        while True:
            for call in calls:
                if call in self._finished:
                    return call
                wait = _wait_s if left is None else min(_wait_s, max(0.0, left))
                self._keep(call, self._ask("GET", f"/v1/calls/{call}?wait={wait / len(calls):.3f}"))
                if left is not None:
                    left -= wait / len(calls)
            if left is not None and left <= 0 and not any(call in self._finished for call in calls):
                return None

    def take(self, call: str) -> _Answer:
        return self._finished.pop(call)

    def awaits(self, call: str) -> None:
        """Nothing is lent here: the call was made from outside of the pool."""

    def cancel(self, call: str) -> None:
        self._ask("DELETE", f"/v1/calls/{call}")

    def each(self, app: str, function: str, inputs: Iterable[bytes], return_exceptions: bool) -> Iterator[Any]:
        """The result of each input (a JSON array of its arguments), in order; as many inputs a map as a request should hold."""
        batch: list[bytes] = []
        for item in inputs:
            batch.append(item)
            if len(batch) >= _most_inputs:
                yield from self._map(app, function, batch, return_exceptions)
                batch = []
        if batch:
            yield from self._map(app, function, batch, return_exceptions)

    def _map(self, app: str, function: str, inputs: list[bytes], return_exceptions: bool) -> Iterator[Any]:
        body = b'{"spread":true,"inputs":[%s]}' % b",".join(inputs)
        made = self._ask("POST", f"/v1/apps/{quote(app)}/functions/{quote(function)}/map", body)
        at, last = 0, False
        try:
            while not last:
                some = self._ask("GET", f"/v1/maps/{made['id']}/results?from={at}")
                for result in some["results"]:
                    failure = result.get("failure")
                    if failure and not return_exceptions:
                        raise remote_error(failure)
                    yield remote_error(failure) if failure else _plain(result["result"])
                at, last = some["next"], some["last"]
                if not some["results"] and not last:
                    told = self._ask("GET", f"/v1/maps/{made['id']}?wait=1")
                    if told["failure"]:
                        raise remote_error(told["failure"])
        finally:
            if not last:
                self._ask("DELETE", f"/v1/maps/{made['id']}")

    def _keep(self, call: str, told: dict[str, Any]) -> None:
        if told["state"] in ("succeeded", "failed", "cancelled"):
            head = {"failure": told["failure"]} if told["failure"] else {}
            self._finished[call] = _Answer(head, json.dumps(told.get("result")).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {self._token}"} if self._token else {})}
        for attempt in (1, 2):
            connection = self._connection()
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                text = response.read()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                connection.close()  # it was kept open for too long; a call has its id, and is not made twice
                self._local.connection = None
                if attempt == 2 or method == "POST" and path.endswith("/map"):
                    raise
            except BaseException:  # ctrl-c, say: its answer may still come, and would be taken for the next one's
                connection.close()
                self._local.connection = None
                raise
        told = json.loads(text)
        if response.status >= 400:
            error = told["error"]
            kind = {"usage": "arguments", "notFound": "arguments"}.get(error["kind"], error["kind"])
            raise remote_error({"kind": kind, "message": error["message"]})
        return told

    def _connection(self) -> http.client.HTTPConnection:
        known = getattr(self._local, "connection", None)
        if known is None:
            known = self._local.connection = _connect(self._address)
        return known


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("hob")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def _connect(address: str) -> http.client.HTTPConnection:
    if address.startswith("/"):
        return _UnixConnection(address)
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"HOB_URL={address!r} is not an address; write for example http://127.0.0.1:17000")
    if url.scheme == "http":
        return http.client.HTTPConnection(url.hostname, url.port)
    trusted = os.environ.get("HOB_CA")
    return http.client.HTTPSConnection(url.hostname, url.port, context=ssl.create_default_context(cafile=trusted))


def _plain(value: Any) -> Any:
    return decode(json.dumps(value).encode())


def find(anywhere: bool) -> RestChannel | None:
    """HOB_URL with HOB_TOKEN; else beside the socket that HOB_CONTROL names; else, `anywhere`, the one pool of this user that runs on this machine."""
    url = os.environ.get("HOB_URL")
    if url:
        return RestChannel(url, os.environ.get("HOB_TOKEN", ""))
    control = os.environ.get("HOB_CONTROL", "")
    if control.startswith(("unix:", "/")):
        path = control[len("unix:") :] if control.startswith("unix:") else control
        return RestChannel((path[: -len(".sock")] if path.endswith(".sock") else path) + ".http")
    if not anywhere:
        return None
    sockets = sorted(glob.glob(os.path.join(_run_folder(), "*", "control.http")))
    return RestChannel(sockets[0]) if len(sockets) == 1 else None


def _run_folder() -> str:
    """As control's own (base/paths.ts)."""
    given = os.environ.get("HOB_RUN_DIR")
    if given:
        return given
    user = os.getuid()
    if user == 0:
        return "/run/hob"
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/hob-{user}", "hob")
