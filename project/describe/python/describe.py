"""② The resident process that describes a project's Python: a request a line on stdin, an answer a line on stdout, as JSON.

    {"id": 1, "changed": [{"path": "app.py", "source": "..."}], "removed": ["old.py"]}
    {"id": 1, "ms": 1.2, "functions": [...], "diagnostics": [...]}

`parts` (what a function reaches, for the receipt's reason) come only for functions whose code changed since the last answer.
Started as `python3 -I -S -B describe.py SDK`, so that it sees the standard library and the SDK and nothing else of the machine.
"""

import ast
import contextlib
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from declared import annotation, declarations, doc, fault, parameters
from evaluate import Specs
from project import Project
from reach import Reach
from running import Running
from units import units_of


class Describer:
    def __init__(self):
        self.project = Project()
        self.reach = Reach(self.project)
        self.specs = Specs(self.reach)
        self.reached = {}  # (path, name, line order) -> Reached, while no shape changes
        self.digests = {}  # (app, name) -> code digest last sent
        self.names = {}  # (path, name of the definition) -> the function's name when its decorator last could be evaluated
        self.sent = {}  # path -> (digest, reach) of the texts last sent
        self.latest = set()  # paths that the last request changed
        self.declared = {}  # path -> (declarations, diagnostics), while no shape changes

    def rouse(self):
        """A request is about to come: looks at what the last one changed, so that the code and the trees are in the processor's caches."""
        for path in self.latest:
            if path in self.project.modules:
                declarations(self.reach, path)
        compile("0", "", "exec", ast.PyCF_ONLY_AST)

    def handle(self, request):
        reshaped = False
        changed = set()
        for path in request.get("removed", ()):
            reshaped = self.project.remove(path) or reshaped
        for item in request.get("changed", ()):
            reshaped = self.project.update(item["path"], item["source"].lstrip("\ufeff")) or reshaped
            changed.add(item["path"])
        if reshaped:
            self.reach = Reach(self.project)
            self.specs.reshape(self.reach)
            self.reached.clear()
            self.declared.clear()
        for path in changed:
            self.declared.pop(path, None)
        self.latest = changed
        return self.describe()

    def describe(self):
        functions, diagnostics = [], []
        seen = {}
        for path in self.project.modules:
            if path not in self.declared:
                self.declared[path] = declarations(self.reach, path)
        broken = {path for path, module in self.project.modules.items() if module.fault}
        for path in sorted(self.project.modules):
            module = self.project.modules[path]
            if module.fault:
                line, column, message, source = module.fault
                diagnostics.append({"file": path, "line": line, "column": column, "message": message, "sourceLine": source})
            diagnostics.extend(self.declared[path][1])
            for declared in self.declared[path][0]:
                functions.extend(self.function(declared, seen, broken, diagnostics))
        return {"functions": functions, "diagnostics": diagnostics, "texts": self.texts()}

    def function(self, declared, seen, broken, diagnostics):
        module = self.project.modules[declared.path]
        said = self.specs.of(declared)
        node = declared.node
        spec = said.get("spec")
        if spec and declared.method:
            spec = {**spec, "name": declared.name}
        place = (declared.path, declared.name)
        if spec:
            self.names[place] = spec["name"]
        name = self.names.get(place, declared.name)
        other = seen.setdefault((declared.app, name), declared)
        if other is not declared:
            message = "app %s has two functions named %s: the other one is in %s line %d" % (declared.app, name, other.path, other.line)
            diagnostics.append(fault(module, declared.decorator, declared.statement, message))
            return
        if spec is None:
            message = "the arguments of @%s for %s could not be evaluated: %s" % (declared.kind, name, said["error"])
            diagnostics.append(fault(module, declared.decorator, declared.statement, message))
        key = (declared.path, declared.index)
        reached = self.reached.get(key)
        if reached is None:
            reached = self.reached[key] = self.reach.of(declared.path, declared.index)
        code = reached.digest()
        described = {
            "app": declared.app,
            "name": name,
            "kind": declared.kind,
            "module": declared.path,
            "qualname": declared.name,
            "className": declared.statement.name if declared.method else "",
            "line": declared.node_line,
            "doc": doc(node),
            "parameters": parameters(node, bool(declared.method)),
            "returns": annotation(node.returns),
            "spec": spec,
            "code": code,
            "files": sorted(reached.files),
            "any": reached.any,
            "held": bool(reached.modules & broken),
        }
        if self.digests.get((declared.app, name)) != code:
            self.digests[(declared.app, name)] = code
            described["parts"], keys = reached.parts(declared.method)
            described["whole"] = reached.whole
            described["units"], described["fixed"] = units_of(reached, self.running(reached.modules), keys)
            described["where"] = reached.where(self.reach.keeping)
            described["modules"] = sorted(reached.modules)
            kept = self.reach.keeping.of(reached)
            described["keepsState"], described["stores"] = kept != "no", kept == "stores"
        yield described

    def running(self, modules):
        """What runs while a process loads that may have any of the project's functions, and these modules."""
        wanted = set(modules)
        for path, (found, _) in self.declared.items():
            if found:
                wanted |= self.reach.closure(path)
        known = self.reach.running
        if known is None or not wanted <= known.modules or not known.holds():
            known = self.reach.running = Running(self.reach, wanted | (known.modules if known else set()))
        return known

    def texts(self):
        """{path: what its statements say}, of modules that changed since the last answer: what a process has loaded of them."""
        found = {}
        for path, module in self.project.modules.items():
            key = (module.digest, self.reach)
            if self.sent.get(path) == key:
                continue
            self.sent[path] = key
            names, imports = {}, ""
            for index, statement in enumerate(module.statements):
                if statement.kind == "import":
                    imports += statement.facts.digest
                else:
                    name = "+".join(sorted(statement.facts.binds)) or str(index)
                    names[name] = names.get(name, "") + self.reach.text_digest(path, index)
            found[path] = {"imports": imports, "names": names}
        return found


def serve():
    if len(sys.argv) > 1:
        sys.path.append(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints does not break the protocol
    sys.setrecursionlimit(5000)
    try:
        import hob  # noqa: F401  loaded before the forks, so that each finds it
    except Exception as error:
        print("the SDK could not be imported: %s: %s" % (type(error).__name__, error), file=sys.stderr)
    describer = Describer()
    for line in sys.stdin:
        if line == "\n":
            with contextlib.suppress(Exception):  # the request that follows tells
                describer.rouse()
            continue
        request = json.loads(line)
        started = time.perf_counter()
        try:
            answer = describer.handle(request)
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        answer["id"] = request["id"]
        answer["ms"] = (time.perf_counter() - started) * 1000
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
