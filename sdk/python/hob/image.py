"""② Images: where a function's root filesystem comes from."""

from __future__ import annotations


class Image:
    """Made by its class methods; immutable."""

    def __init__(self, source: str) -> None:
        self.source = source

    @classmethod
    def host(cls) -> Image:
        """The agent's own Python and Node runtimes, captured once as a content-addressed image."""
        return cls("host")

    def __repr__(self) -> str:
        return f"Image.{self.source}()"
