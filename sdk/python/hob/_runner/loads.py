"""⑥ Load frames on their way: which versions are patched and where, which are forked, and the one answer when all of that is done."""

from __future__ import annotations

import json
import time

from .. import failures, frames
from . import forking
from .processes import no_process
from .servings import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .children import Child
    from .processes import Processes
    from .project import Project
    from .servings import Serving, Servings
    from .zygote import Zygote


#: A longer head is not kept for that.
_rehearsed_bytes = 64 << 10


class _Pending:
    """One load of the agent's."""

    def __init__(self, frame: frames.Frame) -> None:
        self.frame = frame
        self.waiting: list[Child] = []
        self.patches: dict[Child, list[dict[str, Any]]] = {}  # versions that a process is being patched to
        self.failure: dict[str, Any] | None = None
        self.forked = False
        self.leaving: set[Child] = set()  # they hold the GPU: the new processes begin to load when these are gone
        self.reason = ""


class Loads:
    def __init__(self, zygote: Zygote, project: Project, servings: Servings, processes: Processes) -> None:
        self._zygote, self._project, self._servings, self._processes = zygote, project, servings, processes
        self._pending: dict[int, _Pending] = {}
        self._latest_head: bytes | None = None  # of the last load that was not large

    def rouse(self, frame: frames.Frame) -> None:
        """A load is a millisecond away: who will be asked wakes, and what reads a load is run once for nothing, to be in the processor's caches."""
        for child in [child for serving in self._servings.all for child in serving.workers]:
            if child.running is None and not child.ending:
                child.link.send(frame.raw)
        if self._latest_head is not None:
            json.loads(self._latest_head)

    def take(self, frame: frames.Frame) -> bool:
        """True when something has to be imported for it."""
        head = frame.head
        self._latest_head = frame.raw[9 : frame.head_end] if frame.head_end < _rehearsed_bytes else None
        pending = self._pending[head["load"]] = _Pending(frame)
        patched, fresh = split(head["versions"], head.get("patches") or [])
        for patch, versions in patched:
            refused = self._patch(pending, patch, versions)
            if refused:
                pending.reason = refused
                fresh.extend(versions)
        if fresh or not head["versions"]:
            self._fork(pending, fresh)
        self._finish_if_done(pending)
        return pending.forked

    def _fork(self, pending: _Pending, versions: list[dict[str, Any]]) -> None:
        head = pending.frame.head
        pending.forked = True
        pending.leaving |= self._end_holders(head["snapshot"], versions)
        try:
            self._load_fresh(head["snapshot"], versions, pending)
        except OSError as error:
            pending.failure = no_process(error)

    def _end_holders(self, snapshot: str, versions: list[dict[str, Any]]) -> set[Child]:
        """
        A GPU has no room for a model and its successor: what holds it for a former version of these functions ends first, one that runs a
        call with that call. What else such a process served is loaded again when it is called. Who is waited for is answered.
        """
        routes = {(snapshot, version["digest"]) for version in versions}
        functions = {version["function"] for version in versions}
        ending: set[Child] = set()
        for serving in list(self._servings.all):
            served = {version["function"] for version in serving.routes.values()}
            if functions.isdisjoint(served) or not routes.isdisjoint(serving.routes) or serving.queue:
                continue
            holders = [child for child in serving.workers if child.pid and forking.holds_gpu(child.pid)]
            if holders:
                self._zygote.leave(serving)
                ending.update(holders)
        return ending

    def _load_fresh(self, snapshot: str, versions: list[dict[str, Any]], pending: _Pending | None) -> Serving:
        serving = self._servings.of_home(snapshot)
        if serving is None:
            child = self._zygote.process()
            serving = self._servings.add(snapshot)
            self._enter(serving, child, snapshot)
        self._servings.give(serving, snapshot, versions)
        for child in serving.processes():
            self._send(child, snapshot, versions, pending)
        return serving

    def _enter(self, serving: Serving, child: Child, snapshot: str) -> None:
        child.serving, child.home = serving, snapshot
        serving.workers.append(child)
        serving.load_began = time.monotonic()

    def again(self, snapshot: str, versions: list[dict[str, Any]]) -> Serving:
        """A process for versions whose former process has gone; raises OSError where none can be started."""
        return self._load_fresh(snapshot, versions, None)

    def fill(self, serving: Serving) -> Child:
        """One more process with the serving's code, its state as loading makes it; raises OSError."""
        child = self._zygote.process()
        if not serving.workers:
            serving.home = serving.snapshot
        self._enter(serving, child, serving.snapshot)
        self._send(child, serving.snapshot, list(serving.routes.values()), None)
        return child

    def _patch(self, pending: _Pending, patch: dict[str, Any], versions: list[dict[str, Any]]) -> str:
        """Why it cannot be; "" when it is under way."""
        found = self._servings.of_functions(patch["base"], patch["functions"])
        if found is None:
            return "no process here has loaded what it builds on"
        serving, former = found
        digests = [former[version["function"]][1] for version in versions]
        patch = {"units": patch["units"], "former": digests}
        idle = [child for child in serving.workers if not (child.running or child.ending)]
        keeps = pending_keeps(pending, versions)
        keeps_all = keeps <= {"all"} or all(child.calls == 0 for child in serving.workers)
        if not keeps_all and "loaded" not in keeps and any(forking.holds_gpu(child.pid) for child in serving.workers):
            keeps_all = True
            pending.reason = "it holds a GPU and goes on; its calls may have kept what the former code computed"
        if keeps_all and idle and not serving.queue:
            serving.workers = idle  # the others end with their calls
            target = serving
        elif serving.template is not None and not serving.template.ending:
            target = self._servings.add(serving.home)
            target.template, serving.template = serving.template, None
            target.template.serving = target
            target.workers = [self._processes.fork_from(target.template)]
        elif serving.queue or not idle:
            return f"{versions[0]['function']} was running a call"
        else:
            return "its calls may have kept what the former code computed"
        for route in former.values():
            self._servings.take(route)
        target.snapshot = pending.frame.head["snapshot"]
        self._servings.give(target, target.snapshot, versions)
        for child in target.workers:
            pending.patches[child] = versions
            child.patching = child.patching or not child.loads
            self._send(child, target.snapshot, versions, pending, patch)
        if target.template is not None:
            self._send(target.template, target.snapshot, versions, None, patch)
        self._zygote.settle(serving)
        return ""

    def _send(
        self, child: Child, snapshot: str, versions: list[dict[str, Any]], pending: _Pending | None, patch: dict[str, Any] | None = None
    ) -> None:
        load = pending.frame.head["load"] if pending else 0
        if pending:
            pending.waiting.append(child)
        child.loads.append(load)
        child.patching = child.patching and patch is not None
        secrets = None if patch else self._zygote.secrets(versions)
        raw = pending.frame if pending else None
        if raw and patch is None and versions == raw.head["versions"] and (raw.head["base"] == "" or raw.head["base"] in child.known):
            data = raw.raw
        else:
            delta, payload = self._delta(child, snapshot, raw)
            head = {**delta, "load": load, "snapshot": snapshot, "versions": versions, "secrets": secrets, "patch": patch}
            data = frames.encode(frames.LOAD, head, *payload)
        if pending and pending.leaving:
            child.hold()
        child.send(data)
        child.known = {snapshot}  # it may forget the others

    def _delta(self, child: Child, snapshot: str, raw: frames.Frame | None) -> tuple[dict[str, Any], list[bytes]]:
        if snapshot in child.known:
            return {"base": snapshot, "changed": [], "removed": [], "blobs": []}, []
        if raw and raw.head["base"] in child.known:
            return {key: raw.head[key] for key in ("base", "changed", "removed", "blobs")}, [raw.payload]
        files = self._project.snapshots[snapshot]
        base = next((known for known in reversed(self._project.snapshots) if known in child.known), "")
        before = self._project.snapshots.get(base, {})
        changed = [{"path": path, "digest": digest} for path, digest in files.items() if before.get(path) != digest]
        removed = [path for path in before if path not in files]
        blobs = {file["digest"]: self._project.blobs[file["digest"]] for file in changed if file["digest"] in self._project.blobs}
        sizes = [{"digest": digest, "size": len(data)} for digest, data in blobs.items()]
        return {"base": base, "changed": changed, "removed": removed, "blobs": sizes}, list(blobs.values())

    def children_of(self, load: int) -> list[Child]:
        pending = self._pending.get(load)
        return [child for child in pending.waiting if child not in pending.patches] if pending else []

    def answered(self, child: Child, head: dict[str, Any]) -> None:
        """A process has loaded, or could not."""
        serving = child.serving
        if serving is not None and serving.load_began:
            serving.load_s, serving.load_began = time.monotonic() - serving.load_began, 0.0
        pending = self._pending.get(head["load"])
        if pending is None or child not in pending.waiting:
            if "cannot" in head and serving is not None and child is serving.template:
                serving.template, serving.unforkable = None, True
                self._processes.dismiss(child)
            return
        pending.waiting.remove(child)
        versions = pending.patches.pop(child, None)
        if "cannot" in head and versions is not None:
            self._fall_to_fork(pending, child, versions, head["cannot"])
        elif head.get("failure"):
            pending.failure = pending.failure or head["failure"]
        self._finish_if_done(pending)

    def _fall_to_fork(self, pending: _Pending, child: Child, versions: list[dict[str, Any]], reason: str) -> None:
        pending.reason = reason
        snapshot = pending.frame.head["snapshot"]
        serving = child.serving
        again = [version for version in versions if self._servings.routes.get((snapshot, version["digest"])) is serving]
        if not again or serving is None:
            return
        waiting = [frame for frame in serving.queue if frame.head["version"] in {version["digest"] for version in again}]
        for version in again:
            self._servings.take((snapshot, version["digest"]))
        self._fork(pending, again)
        for frame in waiting:
            serving.queue.remove(frame)
            target = self._servings.routes.get((snapshot, frame.head["version"]))
            if target is None:
                self._zygote.refuse(frame, pending.failure or failures.failure("load", reason))
            else:
                target.queue.append(frame)
        self._zygote.settle(serving)

    def died(self, child: Child, how: str) -> bool:
        """True when it died of a load."""
        for pending in list(self._pending.values()):
            if child in pending.leaving:
                pending.leaving.discard(child)
                if not pending.leaving:
                    for waiting in pending.waiting:
                        waiting.let_go()
                    self._finish_if_done(pending)
        dead = failures.failure("load", f"the process that imported the project {how}")
        loads, child.loads = child.loads, []
        for load in loads:
            self.answered(child, {"load": load, "failure": dead})
        return bool(loads)

    def _finish_if_done(self, pending: _Pending) -> None:
        load = pending.frame.head["load"]
        if pending.waiting or pending.leaving or self._pending.pop(load, None) is None:
            return
        answer: dict[str, Any] = {"load": load, "tier": "fork" if pending.forked else "patch", "reason": pending.reason}
        if pending.failure:
            answer["failure"] = pending.failure
        self._zygote.send(frames.LOADED, answer)


def pending_keeps(pending: _Pending, versions: list[dict[str, Any]]) -> set[str]:
    names = {version["function"] for version in versions}
    return {patch["keep"] for patch in pending.frame.head["patches"] if names & set(patch["functions"])}
