"""② Whether calls of a function may leave something in the process that a later call can see. Where it can't be known, they may."""

import ast
import re
from collections import namedtuple

import facts
from anatomy import anatomy_of, hook_of
from names import chain_of, root_of
from scan import CONSTRUCTORS, Scan

#: Decorators that keep nothing of a call.
FORGETFUL = {"staticmethod", "classmethod", "property", "dataclass", "contextmanager", "asynccontextmanager", "abstractmethod", "override", "wraps", "overload", "final", "total_ordering"}


#: Where a name says so, what is not looked into is taken to remember what it computed: `lru_cache`, `self.cache`, `memoize`.
REMEMBERING = re.compile(r"cache|memoi", re.IGNORECASE)

#: What a definition, or a statement, says: it keeps something; it returns shared objects; it keeps something if others return such; it
#: leaves shared objects to libraries; the names of what it gives them to; something in it is named for remembering.
Said = namedtuple("Said", "keeps shares only_then unsure given remembers")
NOTHING = Said(False, False, False, False, frozenset(), False)


def both(one, other):
    return Said(*(a | b for a, b in zip(one, other)))


class Keeping:
    """In one state of a project; a statement's answer is kept for as long as the statement and the reach of names are the same."""

    def __init__(self, reach):
        self.reach, self.project = reach, reach.project
        self._found = {}  # (path, index) -> (statement, hooks, Said outside of its methods, {method: Said})

    def of(self, reached):
        """"no"; "stores"; or "unsure", where only code of libraries might."""
        if reached.whole or "programs" in reached.any:
            return "stores"
        all_said = NOTHING
        called, defined = set(), set()
        for path, index in reached.statements:
            for definition in anatomy_of(self.project.modules[path].statements[index]).definitions.values():
                called |= definition.own
            defined.update(anatomy_of(self.project.modules[path].statements[index]).definitions)
        for path, index in reached.statements:
            all_said = both(all_said, self.statement(path, index, called))
            if all_said.keeps:
                return "stores"
        if all_said.shares and all_said.only_then or all_said.given & defined:
            return "stores"
        if not all_said.unsure:
            return "no"
        return "stores" if all_said.remembers else "unsure"

    def statement(self, path, index, called):
        statement = self.project.modules[path].statements[index]
        known = self._found.get((path, index))
        if known is None or known[0] is not statement:
            known = self._found[(path, index)] = (statement, self._hooks(path, statement)) + self._look(path, index, statement)
        _, hooks, found, inside = known
        for name, said in inside.items():
            if name in hooks and name not in called:
                continue  # it runs when the process loads or ends, and no call calls it
            found = both(found, said)
        return found

    def _hooks(self, path, statement):
        definitions = anatomy_of(statement).definitions
        return {
            name
            for name, definition in definitions.items()
            if {hook_of(self.project, path, item) for item in definition.node.decorator_list} & {"enter", "exit"}
        }

    def _look(self, path, index, statement):
        """(what it says outside of its methods, {method: what it says})"""
        parts = anatomy_of(statement)
        decorated = any(not _forgetful(item) for item, said in statement.decorators if self.reach.counts(path, index, said))
        outside = NOTHING._replace(keeps=decorated, remembers=_remembers(statement.node))
        inside = {}
        if parts.kind in ("function", "class"):
            for name, definition in parts.definitions.items():
                method = parts.kind == "class"
                foreign = method and any(hook_of(self.project, path, item) is None and not _forgetful(item) for item in definition.node.decorator_list)
                scan = Scan(self, path, definition.node, parts.definitions if method else {}, name if method else None)
                inside[name] = _said(scan, foreign)
        elif parts.kind == "lambda":
            scan = Scan(self, path, statement.node.value, {}, None)
            outside = both(outside._replace(keeps=False), _said(scan, False))
        elif any(isinstance(inner, facts.FUNCTIONS + (ast.Lambda,)) for inner in ast.walk(statement.node)):
            outside = outside._replace(keeps=True)  # definitions within conditions, or given away: not looked into
        if parts.kind == "class" and any(isinstance(inner, (ast.Lambda, ast.ClassDef)) for item in statement.node.body for inner in ast.walk(item) if not isinstance(item, facts.FUNCTIONS)):
            outside = outside._replace(keeps=True)
        return outside, inside

    def role(self, path, name):
        """What a name of the module is: "code" (a definition, a module, a constant), "solid" (a container of its own), or "object"."""
        indices = self.project.env(path).get(name)
        if indices is None:
            return "builtin"
        roles = {self._role_of(path, name, index) for index in indices}
        return roles.pop() if len(roles) == 1 else "object"

    def _role_of(self, path, name, index):
        statement = self.project.modules[path].statements[index]
        node = statement.node
        if statement.kind == "import":
            for target in self.project.resolve(path, ("name", name)):
                if target[0] == "statement":
                    inner = self.project.modules[target[1]].statements[target[2]]
                    if inner.kind != "define":
                        return self.value_role(target[1], inner)
            return "code"
        return "code" if statement.kind == "define" else self.value_role(path, statement, name)

    def _imported_role(self, path, node, name):
        """Of a name that a condition or a `try` binds: "code" when it is only imported there, or None."""
        roles = set()
        for inner in ast.walk(node):
            if isinstance(inner, ast.ImportFrom):
                for alias in inner.names:
                    if (alias.asname or alias.name) == name:
                        for target in self.project.resolve(path, ("import", inner.level, inner.module or "", alias.name)):
                            roles.add(self._target_role(target))
            elif isinstance(inner, ast.Import):
                roles.update("code" for alias in inner.names if (alias.asname or alias.name.split(".")[0]) == name)
            elif isinstance(inner, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in inner.targets):
                roles.add("code" if isinstance(inner.value, ast.Constant) else "object")
            elif getattr(inner, "name", None) == name and not isinstance(inner, ast.alias):
                roles.add("object")
        return "code" if roles == {"code"} else "object"

    def _target_role(self, target):
        if target[0] != "statement":
            return "code"
        statement = self.project.modules[target[1]].statements[target[2]]
        return "code" if statement.kind == "define" else self.value_role(target[1], statement)

    def table(self, path, name):
        """Whether it is a display of nothing but definitions."""
        indices = self.project.env(path).get(name, ())
        for index in indices:
            value = getattr(self.project.modules[path].statements[index].node, "value", None)
            items = value.values if isinstance(value, ast.Dict) else getattr(value, "elts", None)
            if not items or not all(isinstance(item, ast.Name) and self.role(path, item.id) == "code" for item in items):
                return False
        return bool(indices)

    def value_role(self, path, statement, name=""):
        value = getattr(statement.node, "value", None)
        if isinstance(statement.node, (ast.If, ast.Try)):
            return self._imported_role(path, statement.node, name)
        if statement.kind != "assign" or value is None:
            return "object"
        if isinstance(value, ast.Call) and root_of(value) is not None and self.reach.is_hob(path, root_of(value)):
            return "code"
        if isinstance(value, ast.Lambda) or all(isinstance(i, (ast.Constant, ast.Tuple, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop, ast.Load, ast.JoinedStr)) for i in ast.walk(value)):
            return "code"
        if isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.Tuple)):
            return "solid"
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in CONSTRUCTORS and value.func.id not in self.project.env(path):
            return "solid"
        return "object"


def _said(scan, foreign):
    return Said(scan.keeps or foreign, scan.shares, scan.keeps_if_shared, scan.unsure, frozenset(scan.given), False)


def _remembers(node):
    names = (getattr(inner, "id", None) or getattr(inner, "attr", None) or getattr(inner, "arg", None) for inner in ast.walk(node))
    return any(REMEMBERING.search(name) for name in names if name)


def _forgetful(decorator):
    chain = chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return chain is not None and chain[-1] in FORGETFUL
