"""⑥ The project's sources in memory: snapshots by delta, contents by digest, and the importer that serves modules from them."""

from __future__ import annotations

import importlib.machinery
import linecache
import os
import sys
from types import CodeType

from .. import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.util import decode_source, spec_from_file_location
    from typing import Any
else:  # what importlib.util has them from: the module itself costs a start 1 ms
    from importlib._bootstrap_external import decode_source, spec_from_file_location

#: Where a container's project lies; tests set another place.
ROOT = os.environ.get("HOB_PROJECT_ROOT", "/project")

#: File lists kept, for deltas to name as their base.
_kept_snapshots = 16


class UnknownBase(Exception):
    """A delta whose base this runner does not have."""


class Project:
    """Forked with the zygote: a process starts with all that the zygote knew, code objects included."""

    def __init__(self) -> None:
        self.snapshots: dict[str, dict[str, str]] = {}  # digest → path → digest of the content
        self.blobs: dict[str, bytes] = {}
        self._code: dict[tuple[str, str], CodeType] = {}  # (digest, path), since code knows its file's name

    def apply(self, head: dict[str, Any], frame: frames.Frame) -> list[str]:
        """Takes in a load frame's delta and contents; returns the changed paths."""
        snapshot, base = head["snapshot"], head["base"]
        for blob, data in zip(head["blobs"], frame.parts(*(blob["size"] for blob in head["blobs"]))):
            self.blobs[blob["digest"]] = data
        if base and base not in self.snapshots:
            if snapshot in self.snapshots:
                return []
            raise UnknownBase(f"snapshot {snapshot[:12]} builds on {base[:12]}, which this runner does not have; send the whole list of files")
        files = dict(self.snapshots[base]) if base else {}
        for path in head["removed"]:
            files.pop(path, None)
        files.update((file["path"], file["digest"]) for file in head["changed"])
        self.snapshots.pop(snapshot, None)  # what is told again is the newest
        self.snapshots[snapshot] = files
        return [file["path"] for file in head["changed"]]

    def prune(self, live: set[str], keep: int = _kept_snapshots) -> None:
        """Forgets old snapshots but for the latest `keep`, and the contents that only they had."""
        old = [snapshot for snapshot in self.snapshots if snapshot not in live]
        if len(old) <= keep:
            return
        for snapshot in old[: len(old) - keep]:
            del self.snapshots[snapshot]
        used = {digest for files in self.snapshots.values() for digest in files.values()}
        self.blobs = {digest: data for digest, data in self.blobs.items() if digest in used}
        self._code = {key: code for key, code in self._code.items() if key[0] in used}

    def source(self, snapshot: str, path: str) -> bytes | None:
        return self.blobs.get(self.snapshots[snapshot].get(path, ""))

    def code(self, snapshot: str, path: str) -> CodeType:
        """
        The module's code. Its file name is the path relative to the project, so that tracebacks read as on a laptop and one code
        object serves every snapshot that has this content.
        """
        digest = self.snapshots[snapshot][path]
        code = self._code.get((digest, path))
        if code is None:
            code = self._code[digest, path] = compile(self.blobs[digest], path, "exec", dont_inherit=True)
        return code


def decode(source: bytes) -> str:
    try:
        return decode_source(source)
    except (SyntaxError, UnicodeDecodeError):  # compile() is the one to complain, with the place
        return source.decode("utf-8", "replace")


def module_name(path: str) -> str:
    """pkg/mod.py → pkg.mod, pkg/__init__.py → pkg"""
    name = path[:-3].replace("/", ".")
    return name[: -len(".__init__")] if name.endswith(".__init__") else name


def owner_names(files: dict[str, str]) -> set[str]:
    """The names that the project's own modules and packages occupy at the top level."""
    names = set()
    for path in files:
        if path.endswith(".py"):
            first, slash, rest = path.partition("/")
            if not slash:
                names.add(first[:-3])
            elif rest == "__init__.py":
                names.add(first)
    return names


class SourceLoader(importlib.machinery.SourceFileLoader):
    """A loader whose sources are in memory; data files are read from the project's folder, as importlib does."""

    def __init__(self, name: str, folder: str, path: str, project: Project, snapshot: str) -> None:
        super().__init__(name, f"{folder}/{path}")
        self._project, self._snapshot, self._relative = project, snapshot, path

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname)
        # No modification time: linecache then takes these lines as they are, whatever the current folder is.
        linecache.cache[self._relative] = (len(source), None, source.splitlines(True), self._relative)  # type: ignore[assignment]
        return self._project.code(self._snapshot, self._relative)

    def get_source(self, fullname: str) -> str:
        return decode(self._project.source(self._snapshot, self._relative) or b"")


class SourceFinder:
    """Serves the modules of one snapshot. What it lacks (namespace packages, extension modules) the path-based finder looks up."""

    def __init__(self, project: Project, snapshot: str, folder: str) -> None:
        self._project, self.snapshot, self._folder = project, snapshot, folder

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        relative = fullname.replace(".", "/")
        parent = relative.rpartition("/")[0]
        if path is None if parent else path is not None:
            return None
        if parent and f"{self._folder}/{parent}" not in path:
            return None
        for candidate in (f"{relative}/__init__.py", f"{relative}.py"):
            if self._project.source(self.snapshot, candidate) is not None:
                file = f"{self._folder}/{candidate}"
                loader = SourceLoader(fullname, self._folder, candidate, self._project, self.snapshot)
                inside = [f"{self._folder}/{relative}"] if candidate.endswith("/__init__.py") else None
                return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=inside)
        return None


def install(project: Project, snapshot: str, folder: str, startup_modules: frozenset[str]) -> SourceFinder:
    """Makes this process import the snapshot's modules, which win over what the zygote preloaded, as they would on a laptop."""
    sys.path.insert(0, folder)
    at = next((at for at, finder in enumerate(sys.meta_path) if finder is importlib.machinery.PathFinder), len(sys.meta_path))
    finder = SourceFinder(project, snapshot, folder)
    sys.meta_path.insert(at, finder)  # type: ignore[arg-type]
    for name in owner_names(project.snapshots[snapshot]):
        if name in sys.modules and name not in startup_modules and name not in ("hob", "__main__"):
            for module in [module for module in sys.modules if module == name or module.startswith(name + ".")]:
                del sys.modules[module]
    return finder
