"""⑥ Objects of the classes that an app serves: one of each in a process, made when its code is loaded, `enter` hooks run."""

from __future__ import annotations

import sys

from .project import module_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class Instances:
    def __init__(self, settle: Callable[[Any], Any]) -> None:
        self._settle = settle  # awaits what a hook returned
        self._made: dict[tuple[str, str], Any] = {}

    def make(self, version: dict[str, Any]) -> None:
        """Raises whatever the constructor or a hook raises; the object is then not there."""
        key = (version["module"], version["className"])
        if not key[1] or key in self._made:
            return
        target: Any = sys.modules[module_name(key[0])]
        for name in key[1].split("."):
            target = getattr(target, name)
        made = getattr(target, "cls", target)()
        for hook in _hooks(type(made), "__hob_enter__"):
            self._settle(getattr(made, hook)())
        self._made[key] = made

    def method(self, version: dict[str, Any]) -> Any:
        made = self._made[version["module"], version["className"]]
        return getattr(made, version["qualname"].rpartition(".")[2])

    def leave(self) -> None:
        """Runs the `exit` hooks; one that fails does not keep the others from running."""
        for made in self._made.values():
            for hook in _hooks(type(made), "__hob_exit__"):
                try:
                    self._settle(getattr(made, hook)())
                except BaseException:
                    sys.excepthook(*sys.exc_info())
        self._made.clear()


def _hooks(cls: type, mark: str) -> Iterator[str]:
    """Names in the order of definition, those of base classes first."""
    seen = set()
    for owner in reversed(cls.__mro__):
        for name, value in owner.__dict__.items():
            if getattr(value, mark, False) and name not in seen:
                seen.add(name)
                yield name
