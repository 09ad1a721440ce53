"""⑥ Requests and responses as endpoints see them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Union
from urllib.parse import parse_qsl

Body = Union[bytes, str, Iterable[Any], AsyncIterable[Any], None]


class Headers(Mapping[str, str]):
    """Names without regard to case. Of a header that came more than once, `[name]` is the first and `all(name)` each."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = [(name.lower(), value) for name, value in pairs]

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.pairs if known == name.lower()]

    def __getitem__(self, name: str) -> str:
        for known, value in self.pairs:
            if known == name.lower():
                return value
        raise KeyError(name)

    def __iter__(self):
        return iter(dict(self.pairs))

    def __len__(self) -> int:
        return len(dict(self.pairs))

    def __repr__(self) -> str:
        return f"Headers({dict(self.pairs)!r})"


class Request:
    """What an endpoint is asked; a parameter annotated with it gets it whole."""

    def __init__(self, head: Mapping[str, Any], body: bytes) -> None:
        self.method: str = head["method"]
        self.path: str = head["path"]
        self.query: str = head["query"]
        self.url = f"{head['origin']}{head['prefix']}{head['path']}" + (f"?{self.query}" if self.query else "")
        self.headers = Headers((name, value) for name, value in head["headers"])
        self.path_parameters: dict[str, str] = dict(head["parameters"])
        self.client: str = head["client"]
        self.body = body

    @property
    def query_pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<hob request {self.method} {self.path}>"


class Response:
    """
    An endpoint's answer with a status and headers of its own. `body` is bytes, text, or an iterable of either, which is sent as it comes;
    anything else goes as JSON.
    """

    def __init__(self, body: Any = b"", status: int = 200, headers: Mapping[str, str] | Iterable[tuple[str, str]] = (), content_type: str | None = None) -> None:
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"Response(status={status!r}): a status is a number from 200 to 599")
        self.body, self.status = body, status
        self.headers = list(headers.items() if isinstance(headers, Mapping) else headers)
        if content_type is not None:
            self.headers.append(("content-type", content_type))

    def __repr__(self) -> str:
        return f"<hob response {self.status}>"


class Upload:
    """One file of a form that was sent as multipart/form-data."""

    def __init__(self, filename: str, content_type: str, data: bytes) -> None:
        self.filename, self.content_type, self.data = filename, content_type, data

    def __repr__(self) -> str:
        return f"<hob upload {self.filename!r}, {len(self.data)} bytes>"
