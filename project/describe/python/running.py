"""② Which definitions run while a process loads: what importing its modules reaches, and what `enter` hooks and constructors of classes do."""

import ast
import builtins

from anatomy import CONTAINER_METHODS, SAFE_BUILTINS, anatomy_of, hook_of
from names import chain_of

BUILTIN_NAMES = set(dir(builtins))


class Running:
    """Of the processes that have these modules. What runs is never less than what is named here; it may be more, where that can't be known."""

    def __init__(self, reach, modules):
        self.reach, self.project = reach, reach.project
        self.modules = modules
        self.why = {}  # (path, index, name in the statement) -> why it runs
        self.read = []  # (path, index, statement) that this rests on
        self.anything = ""  # a computed name: why every method of a class that is used may run
        self._mentioned = {}  # attribute -> why
        self._used = {}  # (path, index) of classes that are made use of -> why
        self._followed = set()
        self._todo = []
        for path in sorted(modules):
            for index, statement in enumerate(self.project.modules[path].statements):
                self.read.append((path, index, statement))
                why = "runs when %s is imported" % path
                for said, does in anatomy_of(statement).running:
                    self._take(path, said, does, why)
                for said in reach.counting(path, index):
                    self._take(path, said, None, why)
                if self.serves(path, index):
                    self._enter(path, index)
        self._finish()

    def holds(self):
        """Whether nothing that it rests on has changed."""
        modules = self.project.modules
        return all(
            path in modules and index < len(modules[path].statements) and modules[path].statements[index] is statement
            for path, index, statement in self.read
        )

    def serves(self, path, index):
        """Whether it is a class of an app."""
        statement = self.project.modules[path].statements[index]
        if anatomy_of(statement).kind != "class":
            return False
        return any(self.reach._declares(path, said) for _, said in statement.decorators)

    def lineage(self, path, index):
        """The class and those of its bases that are the project's; and whether it has others, of which nothing is known."""
        found, unknown = [], False
        todo = [(path, index)]
        while todo:
            at = todo.pop(0)
            if at in found:
                continue
            found.append(at)
            node = self.project.modules[at[0]].statements[at[1]].node
            unknown = unknown or bool(node.keywords)
            for base in node.bases:
                chain = chain_of(base)
                targets = self.project.resolve(at[0], ("name",) + chain) if chain else []
                if chain and not targets and len(chain) == 1 and self._plain_builtin(chain[0]):
                    continue
                for target in targets:
                    if target[0] == "statement" and isinstance(self.project.modules[target[1]].statements[target[2]].node, ast.ClassDef):
                        todo.append((target[1], target[2]))
                    else:
                        unknown = True
                unknown = unknown or not targets
        return found, unknown

    def _plain_builtin(self, name):
        kind = getattr(builtins, name, None)
        return kind is object or isinstance(kind, type) and issubclass(kind, BaseException)

    def _enter(self, path, index):
        """A class of an app: its constructor and hooks, and what they call of the object itself."""
        lineage, unknown = self.lineage(path, index)
        name = self.project.modules[path].statements[index].name
        todo = []
        for at in lineage:
            for key, definition in anatomy_of(self.project.modules[at[0]].statements[at[1]]).definitions.items():
                marks = {hook_of(self.project, at[0], item) for item in definition.node.decorator_list}
                if "enter" in marks or "exit" in marks:
                    kind = "enter" if "enter" in marks else "exit"
                    todo.append((at, key, "is an %s hook" % kind))
                elif _special(key):
                    todo.append((at, key, "is a special method of a class that is loaded"))
                elif unknown:
                    todo.append((at, key, "may be run by a base class of %s" % name))
        seen = set()
        while todo:
            at, key, why = todo.pop()
            if (at, key) in seen:
                continue
            seen.add((at, key))
            definition = anatomy_of(self.project.modules[at[0]].statements[at[1]]).definitions[key]
            self._mark(at + (key,), why)
            for other in lineage:
                definitions = anatomy_of(self.project.modules[other[0]].statements[other[1]]).definitions
                for called in definitions:
                    if called in definition.own or definition.escapes:
                        todo.append((other, called, "runs when %s is loaded" % name))

    def _mark(self, key, why):
        if key in self.why:
            return
        self.why[key] = why
        self._todo.append(key)

    def _finish(self):
        while True:
            while self._todo:
                path, index, name = self._todo.pop()
                statement = self.project.modules[path].statements[index]
                self.read.append((path, index, statement))
                definition = anatomy_of(statement).definitions[name]
                why = self.why[(path, index, name)]
                passed_on = why if why.startswith("runs when") else "runs when %s is loaded" % definition.name.split(".")[0]
                self._take(path, definition.facts, definition, passed_on)
            for (path, index), why in list(self._used.items()):
                for name in anatomy_of(self.project.modules[path].statements[index]).definitions:
                    reason = why if self.anything or _special(name) else self._mentioned.get(name)
                    if reason:
                        self._mark((path, index, name), reason)
            if not self._todo:
                return

    def _take(self, path, said, does, why):
        """Code that runs: everything that it names runs too."""
        for ref in said.refs:
            for attribute in ref[2:]:
                self._mentioned.setdefault(attribute, why)
            for target in self.project.resolve(path, ref):
                if target[0] == "statement":
                    self._reached(target[1], target[2], why)
                elif target[0] == "module":
                    for index in range(len(self.project.modules[target[1]].statements)):
                        self._reached(target[1], index, why)
        if any(level in ("module", "project") for level, _, _ in said.dynamic):
            self.anything = self.anything or why
        if does is None:
            return
        for attribute in does.attributes:
            self._mentioned.setdefault(attribute, why)
        for callee in does.passes:
            if not self._keeps_to_itself(path, callee):
                self.anything = self.anything or why

    def _keeps_to_itself(self, path, callee):
        """Whether what is passed to this has none of its methods run by code that is not the project's."""
        if callee[-1] in CONTAINER_METHODS and len(callee) > 1:
            return True
        if callee[0] == "":
            return False
        if len(callee) == 1 and callee[0] in SAFE_BUILTINS and callee[0] not in self.project.env(path):
            return True
        targets = self.project.resolve(path, ("name",) + callee)
        return bool(targets) and all(target[0] == "statement" for target in targets) or callee[0] in ("self", "cls") and len(callee) == 2

    def _reached(self, path, index, why):
        if (path, index) in self._followed:
            return
        self._followed.add((path, index))
        statement = self.project.modules[path].statements[index]
        self.read.append((path, index, statement))
        parts = anatomy_of(statement)
        if parts.kind == "function":
            self._mark((path, index, ""), why)
        elif parts.kind == "class":
            lineage, unknown = self.lineage(path, index)
            for at in lineage:
                self._used.setdefault(at, why)
                if unknown:
                    for name in anatomy_of(self.project.modules[at[0]].statements[at[1]]).definitions:
                        self._mark(at + (name,), why)
            self._take(path, statement.facts if unknown else _without_bodies(parts), None, why)
        else:
            self._take(path, statement.facts, None, why)


class _Plain:
    refs, dynamic = frozenset(), ()


def _without_bodies(parts):
    found = _Plain()
    found.refs = set().union(*[said.refs for said, _ in parts.running]) if parts.running else set()
    return found


def _special(name):
    return name.startswith("__") and name.endswith("__")
