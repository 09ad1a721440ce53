"""② The spec of a function: what its decorator says once only the statements that its arguments depend on have been executed.

They run in a forked child with a time limit, so nothing that they do reaches this process. The child has the SDK and the
standard library; a project's own modules exist in it as far as they are needed.
"""

import ast
import copy
import hashlib
import importlib
import json
import os
import select
import signal
import sys
import time
import types
from importlib.machinery import ModuleSpec

from reach import module_name

LIMIT_S = 2.0


class Specs:
    """Specs by the digest of what they depend on: a change in a body costs nothing here."""

    def __init__(self, reach):
        self.reach = reach
        self._known = {}
        self._slices = {}  # (path, index) -> what is executed, while no module changes its shape

    def reshape(self, reach):
        self.reach = reach
        self._slices.clear()

    def of(self, declared):
        """{"spec": {...}} or {"error": text}."""
        at = (declared.path, declared.index)
        wanted = self._slices.get(at)
        if wanted is None:
            wanted = self._slices[at] = slice_of(self.reach, declared)
        key = digest_of(self.reach.project, declared, wanted)
        if declared.kind == "local":
            return {"spec": {"name": declared.name}}
        found = self._known.get(key)
        if found is None:
            found = _run(self.reach.project, declared, wanted)
            if "spec" in found or not found.get("late"):  # a machine that was busy for a moment is asked again
                self._known[key] = found
        return found


def slice_of(reach, declared):
    """{path: {index}}: what the decorator's arguments and the app depend on, with the statements that change those in place."""
    project = reach.project
    wanted = {}
    todo = []

    def want(path, index):
        chosen = wanted.setdefault(path, set())
        if index in chosen or (path, index) == (declared.path, declared.index):
            return
        chosen.add(index)
        statement = project.modules[path].statements[index]
        todo.append((path, statement.facts))
        todo.extend((path, said) for _, said in statement.decorators)
        for other, candidate in enumerate(project.modules[path].statements):
            if candidate.kind == "effect" and (candidate.facts.touches | candidate.facts.called) & statement.facts.binds:
                want(path, other)

    todo.append((declared.path, declared.said))
    while todo:
        path, said = todo.pop()
        for ref in said.refs:
            for target in project.resolve(path, ref):
                if target[0] == "statement":
                    want(target[1], target[2])
                elif target[0] == "module":
                    for index in range(len(project.modules[target[1]].statements)):
                        if project.modules[target[1]].statements[index].kind != "skip":
                            want(target[1], index)
            if ref[0] == "name":
                _want_exports(project, path, ref, want)
    return wanted


def _want_exports(project, path, ref, want):
    """The import statements on the way are executed too: a name that a module only passes on has to be bound in it."""
    seen = set()
    todo = [(path, ref[1:])]
    while todo:
        at, chain = todo.pop()
        if (at, chain) in seen:
            continue
        seen.add((at, chain))
        for index in project.env(at).get(chain[0], ()):
            want(at, index)
            node = project.modules[at].statements[index].node
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == chain[0]:
                        for target in project.targets(at, node.level, node.module or ""):
                            todo.append((target, (alias.name,) + chain[1:]))
            elif isinstance(node, ast.Import) and len(chain) > 1:
                for alias in node.names:
                    if alias.asname == chain[0]:
                        for target in project.find(at, alias.name):
                            todo.append((target, chain[1:]))


def digest_of(project, declared, wanted):
    said = [declared.statement.name, declared.kind, declared.said.digest]
    for path in sorted(wanted):
        said.append(path)
        for index in sorted(wanted[path]):
            statement = project.modules[path].statements[index]
            said.append(statement.facts.digest)
            said.extend(facts.digest for _, facts in statement.decorators)
    return hashlib.sha256("\n".join(said).encode("utf-8", "surrogatepass")).hexdigest()


def _run(project, declared, wanted):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            signal.alarm(int(LIMIT_S) + 1)
            try:
                said = {"spec": _evaluate(project, declared, wanted)}
            except BaseException as error:
                said = {"error": "%s: %s" % (type(error).__name__, error)}
            os.write(write, json.dumps(said).encode())
        finally:
            os._exit(0)
    os.close(write)
    answer = b""
    deadline = time.monotonic() + LIMIT_S
    while True:
        left = deadline - time.monotonic()
        ready = left > 0 and select.select([read], [], [], left)[0]
        if not ready:
            break
        piece = os.read(read, 65536)
        if not piece:
            break
        answer += piece
    os.close(read)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended by itself before it had a group of its own
    os.waitpid(pid, 0)
    if not answer:
        return {"error": "what they depend on did not finish within %g s" % LIMIT_S, "late": True}
    return json.loads(answer)


def _evaluate(project, declared, wanted):
    """In the child: the needed part of each module under its name, then the decorator on an empty function."""
    finder = _Finder(project, wanted)
    sys.meta_path.insert(0, finder)
    home = finder.module(declared.path)
    if declared.kind == "cls":
        return _evaluate_class(declared, home)
    definition = copy.copy(declared.statement.node)
    definition.decorator_list = [declared.decorator]
    definition.args = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    definition.returns = None
    definition.body = [ast.Pass(lineno=definition.lineno, col_offset=0, end_lineno=definition.lineno, end_col_offset=0)]
    app = finder.module(declared.app_at[0]).__dict__[_bound(project, declared.app_at)]
    known = list(app.functions.values())
    exec(compile(ast.Module([definition], []), declared.path, "exec"), home.__dict__)
    return next(function.spec for function in app.functions.values() if function not in known)


def _evaluate_class(declared, home):
    """The decorator on a class of that name that has nothing but one method."""
    import hob

    def method(self):
        pass

    decorate = eval(compile(ast.Expression(declared.decorator), declared.path, "eval"), home.__dict__)
    made = decorate(type(declared.statement.name, (), {"method": hob.method()(method)}))
    return made.methods["method"].spec


def _bound(project, at):
    return sorted(project.modules[at[0]].statements[at[1]].facts.binds)[0]


class _Finder:
    """Imports the project's modules as far as they are wanted, and nothing else of the project."""

    def __init__(self, project, wanted):
        self.project = project
        self.wanted = wanted
        self.paths = {self.name(path): path for path in project.modules}

    def name(self, path):
        return module_name(path)

    def find_spec(self, name, path=None, target=None):
        if name in self.paths:
            return ModuleSpec(name, self, is_package=self.paths[name].endswith("__init__.py"))
        if any(known.startswith(name + ".") for known in self.paths):
            return ModuleSpec(name, self, is_package=True)
        for folder in {path.rpartition("/")[0] for path in self.wanted}:  # modules beside the importing file, or below src/
            other = (folder.replace("/", ".") + "." + name) if folder else name
            if other in self.paths:
                module = importlib.import_module(other)
                return ModuleSpec(name, _Alias(module))
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        path = self.paths.get(module.__name__)
        if path is None:
            return
        module.__file__ = path
        module.__getattr__ = self.missing(module)
        statements = self.project.modules[path].statements
        nodes = [statements[index].node for index in sorted(self.wanted.get(path, ()))]
        exec(compile(ast.Module(nodes, []), path, "exec"), module.__dict__)

    def missing(self, module):
        """Names that were left out, because nothing here depends on them, may still stand in an import statement."""

        def find(name):
            if name.startswith("__"):
                raise AttributeError(name)
            if module.__name__ + "." + name in self.paths:
                return importlib.import_module(module.__name__ + "." + name)
            return None

        return find

    def module(self, path):
        if module_name(path) in ("", "__init__"):
            module = types.ModuleType("__init__")
            self.exec_module(module)
            return module
        return importlib.import_module(module_name(path))


class _Alias:
    def __init__(self, module):
        self.module = module

    def create_module(self, spec):
        return self.module

    def exec_module(self, module):
        pass
