"""⑥ Who serves which version: groups of processes with the same code, the calls that wait for them, and how a patch moves functions over."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .. import frames
    from .children import Child

#: (snapshot, version's digest): what a call names.
Route = tuple[str, str]

#: What took longer to load is worth a copy that no call has touched; what is quicker is loaded again.
_slow_load_s = 0.5


class Serving:
    """Processes that hold the same code, loaded from one snapshot and patched since: each runs one call at a time."""

    def __init__(self, home: str) -> None:
        self.home = home  # the snapshot whose folder they live in
        self.snapshot = home  # the newest that they were patched to
        self.routes: dict[Route, dict[str, Any]] = {}  # → version
        self.workers: list[Child] = []
        self.template: Child | None = None  # loaded like them, and never given a call
        self.unforkable = False
        self.queue: deque[frames.Frame] = deque()
        self.load_began = 0.0
        self.load_s = 0.0

    @property
    def concurrency(self) -> int:
        return max((version["concurrency"] for version in self.routes.values()), default=1)

    @property
    def wants_template(self) -> bool:
        """Calls may leave something behind, and what they would leave it in is costly to make again."""
        if self.template is not None or self.unforkable:
            return False
        return any(version["keepsState"] and (version["className"] or self.load_s > _slow_load_s) for version in self.routes.values())

    def free(self) -> Child | None:
        """One that can be given a call: while it is patched too, which takes no longer than the call's own way."""
        return next((child for child in self.workers if not (child.running or child.ending or child.loads and not child.patching)), None)

    @property
    def idle(self) -> bool:
        return not self.queue and not any(child.loads or child.running for child in self.workers)

    def lose(self, child: Child) -> None:
        if child is self.template:
            self.template = None
        if child in self.workers:
            self.workers.remove(child)

    def run_in(self, template: Child) -> None:
        """It cannot be forked: it is given calls itself from now on."""
        self.unforkable = True
        if self.template is template and not template.ending:
            self.template = None
            self.workers.append(template)

    def processes(self) -> list[Child]:
        return self.workers if self.template is None else [*self.workers, self.template]


class Servings:
    def __init__(self) -> None:
        self.all: list[Serving] = []
        self.routes: dict[Route, Serving] = {}

    def add(self, home: str) -> Serving:
        serving = Serving(home)
        self.all.append(serving)
        return serving

    def give(self, serving: Serving, snapshot: str, versions: list[dict[str, Any]]) -> None:
        for version in versions:
            route = snapshot, version["digest"]
            self.take(route)
            self.routes[route] = serving
            serving.routes[route] = version

    def take(self, route: Route) -> None:
        serving = self.routes.pop(route, None)
        if serving is not None:
            serving.routes.pop(route, None)

    def forget(self, serving: Serving) -> None:
        for route in list(serving.routes):
            self.take(route)
        if serving in self.all:
            self.all.remove(serving)

    def of_home(self, snapshot: str) -> Serving | None:
        """The one that was loaded from that very snapshot and has not been patched: more of its functions can be served by it."""
        found = (serving for serving in self.all if serving.home == serving.snapshot == snapshot and serving.workers)
        return next((serving for serving in found if not any(child.ending for child in serving.workers)), None)

    def of_functions(self, base: str, functions: list[str]) -> tuple[Serving, dict[str, Route]] | None:
        """Who serves all of these functions from `base`, and under which routes."""
        for serving in self.all:
            routes = {version["function"]: route for route, version in serving.routes.items() if route[0] == base}
            if all(name in routes for name in functions):
                return serving, {name: routes[name] for name in functions}
        return None

    def snapshots(self) -> set[str]:
        """Those that a process lives in or serves."""
        return {route[0] for route in self.routes} | {serving.home for serving in self.all} | {serving.snapshot for serving in self.all}


def split(versions: list[dict[str, Any]], patches: list[dict[str, Any]]) -> tuple[list[tuple[dict[str, Any], list[dict[str, Any]]]], list[dict[str, Any]]]:
    """([(patch, its versions)], the versions in no patch)"""
    left = {version["function"]: version for version in versions}
    patched = []
    for patch in patches:
        mine = [left.pop(name) for name in patch["functions"] if name in left]
        if mine:
            patched.append((patch, mine))
    return patched, list(left.values())
