"""⑥ New code into live functions: their code objects are replaced in place, so whoever holds a function has the new one, and state stays."""

from __future__ import annotations

import __future__
import linecache
import sys
from types import CodeType, FunctionType, ModuleType

from .project import Project, decode, module_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_future_flags = 0
for _name in __future__.all_feature_names:
    _future_flags |= getattr(__future__, _name).compiler_flag


class CannotPatch(Exception):
    """Its text is the reason, for the receipt."""


def apply(project: Project, before: str, after: str, units: list[dict[str, Any]]) -> None:
    """
    Replaces the bodies of `units` ({path, name, line, endLine}) in the modules that are loaded, and moves the lines of what lies below them.
    All of it or, with CannotPatch, nothing.
    """
    by_path: dict[str, list[dict[str, Any]]] = {}
    for unit in units:
        by_path.setdefault(unit["path"], []).append(unit)
    swaps: list[tuple[FunctionType, CodeType]] = []
    sources: list[tuple[str, str]] = []
    for path, wanted in by_path.items():
        module = sys.modules.get(module_name(path))
        if module is None:
            continue  # imported later, and from the new source then
        new = project.source(after, path)
        if new is None:
            raise CannotPatch(f"{path} was not sent")
        text = decode(new)
        sources.append((path, text))
        swaps.extend(_swaps(module, path, decode(project.source(before, path) or b""), text, wanted))
    for function, code in swaps:
        function.__code__ = code
    for path, text in sources:
        linecache.cache[path] = (len(text), None, text.splitlines(True), path)  # type: ignore[assignment]


def rehearse(project: Project, snapshot: str, units: list[dict[str, Any]]) -> None:
    """What the last patch changed is compiled once more, for nothing: the next one, a millisecond away, then finds that code in the processor's caches."""
    for unit in units[:1]:
        module, source = sys.modules.get(module_name(unit["path"])), project.source(snapshot, unit["path"])
        if module is not None and source is not None:
            text = decode(source)
            try:
                list(_swaps(module, unit["path"], text, text, [unit]))
            except CannotPatch:
                pass  # nothing depends on it


def _swaps(module: ModuleType, path: str, old: str, new: str, units: list[dict[str, Any]]) -> Iterator[tuple[FunctionType, CodeType]]:
    lines = new.split("\n")
    whole: dict[str, CodeType] | None = None
    for unit in units:
        name = unit["name"]
        function = _live(module, name)
        if function is None or function.__code__.co_filename != path:
            raise CannotPatch(f"{name} is not the function that {path} defines")
        code = _compile_unit(lines, path, unit, function.__code__)
        if code is None:
            whole = _all_code(new, path) if whole is None else whole
            code = whole.get(name)
        if code is None:
            raise CannotPatch(f"{name} was not found in {path}")
        if len(code.co_freevars) != len(function.__code__.co_freevars):
            raise CannotPatch(f"{name} closes over other variables than before")
        yield function, code
    yield from _moves(module, path, old.split("\n"), lines, units)


def _compile_unit(lines: list[str], path: str, unit: dict[str, Any], old: CodeType) -> CodeType | None:
    """Its lines alone, at their place: a tenth of compiling the module. None when they are not what was announced."""
    owner, dot, name = unit["name"].rpartition(".")
    first, last = unit["line"], unit["endLine"]
    if dot and first < 2 or "." in owner or not 0 < first <= last <= len(lines):
        return None
    body = "\n".join(lines[first - 1 : last])
    text = "\n" * (first - 2) + f"class {owner}:\n{body}" if dot else "\n" * (first - 1) + body
    try:
        code = compile(text, path, "exec", flags=old.co_flags & _future_flags, dont_inherit=True)
    except SyntaxError:
        return None
    if dot:
        code = _named(code, owner)
    return code and _named(code, name)


def _named(code: CodeType, name: str) -> CodeType | None:
    found = [const for const in code.co_consts if isinstance(const, CodeType) and const.co_name == name]
    return found[0] if len(found) == 1 else None


def _all_code(source: str, path: str) -> dict[str, CodeType]:
    """By qualified name, what modules and classes define; a name defined twice is left out."""
    found: dict[str, CodeType] = {}
    twice: set[str] = set()

    def visit(code: CodeType, prefix: str) -> None:
        for const in code.co_consts:
            if not isinstance(const, CodeType) or const.co_name.startswith("<"):
                continue
            name = prefix + const.co_name
            if name in found:
                twice.add(name)
            found[name] = const
            if not const.co_flags & 0x1:  # no fast locals: a class body
                visit(const, name + ".")

    try:
        visit(compile(source, path, "exec", dont_inherit=True), "")
    except SyntaxError as error:
        raise CannotPatch(f"{path} does not compile: {error}") from None
    return {name: code for name, code in found.items() if name not in twice}


def _live(module: ModuleType, name: str) -> FunctionType | None:
    holder: Any = module
    for part in name.split("."):
        members = getattr(holder, "__dict__", {})
        if part not in members:
            return None
        holder = unwrapped(members[part])
    return holder if isinstance(holder, FunctionType) else None


def unwrapped(value: Any) -> Any:
    """What the SDK, staticmethod, classmethod or property wrap."""
    if isinstance(value, (staticmethod, classmethod)):
        return unwrapped(value.__func__)
    if isinstance(value, property):
        return value.fget
    if type(value).__module__.partition(".")[0] == "hob":
        inner = getattr(value, "function", None) or getattr(value, "cls", None)
        return value if inner is None else inner
    return value


def _moves(module: ModuleType, path: str, old: list[str], new: list[str], units: list[dict[str, Any]]) -> Iterator[tuple[FunctionType, CodeType]]:
    """Functions that kept their text and changed their place: tracebacks shall name the lines that the editor shows."""
    if old == new:
        return
    start = 0
    least = min(len(old), len(new))
    while start < least and old[start] == new[start]:
        start += 1
    end = 0
    while end < least - start and old[-1 - end] == new[-1 - end]:
        end += 1
    by, first_after = len(new) - len(old), len(old) - end + 1  # 1-based: the first line behind all edits
    if not by and any(unit["line"] <= start + 1 and first_after <= unit["endLine"] + 1 for unit in units):
        return  # all edits lie within one of them, as most do
    changed = {unit["name"] for unit in units}
    whole: dict[str, CodeType] | None = None
    for name, function in _functions(module.__dict__, path, ""):
        line = function.__code__.co_firstlineno
        if name in changed or line <= start:
            continue
        if line >= first_after:
            if by:
                yield function, _moved(function.__code__, by)
            continue
        if whole is None:  # between two edits
            whole = _all_code("\n".join(new), path)
        code = whole.get(name)
        if code and code.co_code == function.__code__.co_code and code.co_freevars == function.__code__.co_freevars:
            yield function, _moved(function.__code__, code.co_firstlineno - line)


def _functions(members: Any, path: str, prefix: str) -> Iterator[tuple[str, FunctionType]]:
    for name, value in list(members.items()):
        value = unwrapped(value)
        if isinstance(value, FunctionType) and value.__code__.co_filename == path:
            yield prefix + name, value
        elif isinstance(value, type) and not prefix and value.__module__ == members.get("__name__"):
            yield from _functions(value.__dict__, path, name + ".")


def _moved(code: CodeType, by: int) -> CodeType:
    consts = tuple(_moved(const, by) if isinstance(const, CodeType) else const for const in code.co_consts)
    return code.replace(co_firstlineno=code.co_firstlineno + by, co_consts=consts)
