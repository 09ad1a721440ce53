"""⑥ Heavy imports, paid once: the zygote imports what the project's modules import at their top level, before it forks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator

import hob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ast import expr, stmt

# Cheap look at a source: only lines never seen before make it worth a parse. A hit in a docstring costs a parse, nothing else.
_line = re.compile(rb"^[ \t]*(?:import|from)[ \t]+[^\n]*|^[ \t]*(async[ \t]+def)\b", re.MULTILINE)


class Preloader:
    def __init__(self) -> None:
        self._lines: set[bytes] = set()
        self._tried: set[tuple[str, tuple[str, ...]]] = set()

    def preload(self, sources: Iterator[bytes], own: Callable[[], set[str]]) -> bool:
        """Imports into this process what `sources` import and it has not tried yet; True when that brought a module."""
        found = False
        for source in sources:
            lines = {match[1] or match[0] for match in _line.finditer(source)} - self._lines
            if not lines:
                continue
            self._lines |= lines
            if b"async def" in lines:
                found |= self._import("asyncio", ())
            for module, names in _imports(source):
                if module == "hob":
                    found |= self.import_sdk()
                elif module.partition(".")[0] not in own():
                    found |= self._import(module, names)
        return found

    def import_sdk(self) -> bool:
        """What user code finds in `hob`, all of it."""
        return self._import("hob", tuple(hob.__all__))

    def import_parser(self) -> None:
        import _ast  # noqa: F401  1 ms, of which `preload` is spared

    def _import(self, module: str, names: tuple[str, ...]) -> bool:
        if (module, names) in self._tried:
            return False
        self._tried.add((module, names))
        before = len(sys.modules)
        try:
            __import__(module, {}, {}, names, 0)
        except BaseException:  # whatever it is, the process that needs the module meets it again, and reports it
            pass
        return len(sys.modules) > before


def _imports(source: bytes) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(module, names) of each absolute import that runs when the module does, those in try and if included."""
    import _ast as ast  # the module over it costs a start 1 ms

    try:
        body: list[stmt] = compile(source, "<preload>", "exec", ast.PyCF_ONLY_AST, dont_inherit=True).body  # type: ignore[attr-defined]
    except (SyntaxError, ValueError):
        return
    while body:
        statement = body.pop(0)
        if isinstance(statement, ast.Import):
            yield from ((alias.name, ()) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.level == 0 and statement.module:
            yield statement.module, tuple(alias.name for alias in statement.names if alias.name != "*")
        elif isinstance(statement, (ast.Try, ast.With)) or (isinstance(statement, ast.If) and not _is_typing(statement.test)):
            body[:0] = [*statement.body, *getattr(statement, "orelse", ())]


def _is_typing(test: expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"
