"""② Which statements a function reaches, and the digest over exactly those."""

import hashlib
import posixpath

from anatomy import anatomy_of
from doubts import OUTSIDE
from keeping import Keeping
from names import root_of

# A statement can be reached in several ways; the first of these is the one that counts, so that no order of visiting shows.
RANK = {"own": 0, "effect": 1, "definition": 2, "whole": 3}


class Reach:
    """Reach in one state of a project. What is found is kept for as long as no module changes its shape."""

    def __init__(self, project):
        self.project = project
        self._hob = {}  # (path, name) -> whether it stands for something of the SDK
        self._effects = {}  # path -> indices of the statements that act when the module is imported
        self._closures = {}  # path -> modules that importing it executes, itself included
        self.running = None  # running.Running of the modules that functions are in
        self.keeping = Keeping(self)
        self._deriving = set()  # classes being looked at by _registers
        self._counting = {}  # (path, index) -> facts of the decorators that count

    # What stands for the SDK: it declares, so a call of it changes nothing that functions can see.

    def is_hob(self, path, root):
        key = (path, root)
        if key not in self._hob:
            self._hob[key] = False  # while it is being found out
            self._hob[key] = self._find_hob(path, root)
        return self._hob[key]

    def _find_hob(self, path, root):
        found = [target for target in self.project.resolve(path, ("name", root)) if not self._follows(target, path, root)]
        return bool(found) and all(self._target_is_hob(target) for target in found)

    def _follows(self, target, path, root):
        """`image = image.env(...)`: it is of the SDK if what it was before is."""
        if target[0] != "statement" or target[1] != path:
            return False
        value = getattr(self.project.modules[path].statements[target[2]].node, "value", None)
        return value is not None and root_of(value) == root

    def _target_is_hob(self, target):
        if target[0] == "external":
            return target[1].split(" ")[0].split(".")[0] == "hob"
        if target[0] == "module":
            return False
        statement = self.project.modules[target[1]].statements[target[2]]
        value = getattr(statement.node, "value", None)
        if statement.kind != "assign" or value is None:
            return False
        root = root_of(value)
        return root is not None and self.is_hob(target[1], root)

    def acts(self, path, said):
        """Whether it calls something of the project's while the module is imported: that may register, patch or count."""
        for called in said.called:
            name = called[6:] if called.startswith("class ") else called
            for target in self.project.resolve(path, ("name", name)):
                if target[0] == "external" or self._target_is_hob(target):
                    continue
                if called is name or target[0] == "module" or self._registers(target):
                    return True
        return False

    def _registers(self, target):
        """Whether deriving from this class may run code of the project."""
        statement = self.project.modules[target[1]].statements[target[2]]
        node = statement.node
        if not hasattr(node, "bases"):
            return True
        if target in self._deriving:
            return False
        if node.keywords or any(getattr(item, "name", "") in ("__init_subclass__", "__set_name__") for item in node.body):
            return True
        self._deriving.add(target)
        try:
            return self.acts(target[1], statement.facts)
        finally:
            self._deriving.discard(target)

    def counting(self, path, index):
        """The decorators of a statement that count: all but those that only declare something to the SDK."""
        key = (path, index)
        found = self._counting.get(key)
        if found is None:
            decorators = self.project.modules[path].statements[index].decorators
            found = self._counting[key] = [said for _, said in decorators if not self._declares(path, said)]
        return found

    def counts(self, path, index, said):
        """Whether a decorator counts; an edit may have made its facts anew since `counting` looked."""
        return any(counted.digest == said.digest for counted in self.counting(path, index))

    def _declares(self, path, said):
        roots = {ref[1] for ref in said.refs if ref[0] == "name" and ref[1] in said.called}
        return bool(roots) and all(self.is_hob(path, root) for root in roots)

    def text_digest(self, path, index):
        digest = self.project.modules[path].statements[index].facts.digest
        for said in self.counting(path, index):
            digest += said.digest
        return digest

    def effects(self, path):
        found = self._effects.get(path)
        if found is None:
            found = self._effects[path] = []
            for index, statement in enumerate(self.project.modules[path].statements):
                kind = statement.kind
                if kind == "effect":
                    found.append(index)
                elif kind in ("define", "assign") and (
                    self.acts(path, statement.facts) or any(self.acts(path, said) for _, said in statement.decorators)
                ):
                    found.append(index)
        return found

    def closure(self, path):
        """Modules of the project that importing `path` executes."""
        found = self._closures.get(path)
        if found is None:
            found, todo = {path}, [path]
            while todo:
                for imported in self.project.imports(todo.pop()):
                    if imported not in found:
                        found.add(imported)
                        todo.append(imported)
            self._closures[path] = found
        return found

    def of(self, path, index):
        """What the function at this statement reaches."""
        found = Reached(self, path)
        found.execute(path)
        found.statement(path, index, "own")
        found.follow()
        return found


class Reached:
    def __init__(self, reach, home):
        self.reach = reach
        self.project = reach.project
        self.home = home
        self.statements = {}  # (path, index) -> "own" | "definition" | "effect" | "whole"
        self.externals = set()
        self.modules = set()  # executed
        self.whole = {}  # path or "*" -> why
        self.any = {}  # "files" or "programs": why
        self.files = set()
        self._todo = []

    def execute(self, path):
        """The module is imported: what acts then belongs to the function."""
        for module in self.reach.closure(path):
            if module not in self.modules:
                self.modules.add(module)
                for index in self.reach.effects(module):
                    self.statement(module, index, "effect")

    def statement(self, path, index, role):
        key = (path, index)
        known = self.statements.get(key)
        if known is None:
            self._todo.append(key)
        if known is None or RANK[role] < RANK[known]:
            self.statements[key] = role

    def widen(self, path, why):
        known = self.whole.get(path)
        if known is None or why < known:
            self.whole[path] = why
        if known is not None:
            return
        self.execute(path)
        for index, statement in enumerate(self.project.modules[path].statements):
            if statement.kind != "skip":
                self.statement(path, index, "whole")

    def follow(self):
        project = self.project
        while self._todo:
            path, index = self._todo.pop()
            statement = project.modules[path].statements[index]
            for said in [statement.facts] + self.reach.counting(path, index):
                for ref in said.refs:
                    for target in project.resolve(path, ref):
                        if target[0] == "statement":
                            self.execute(target[1])
                            self.statement(target[1], target[2], "definition")
                        elif target[0] == "external":
                            self.externals.add(target[1])
                            self.outside(path, statement, target[2])
                        else:
                            self.execute(target[1])
                            self.widen(target[1], "%s is used as a whole" % target[1])
                for target in said.lazy_imports:
                    for module in project.executed(path, *target):
                        self.execute(module)
                for name in said.files:
                    self.files.add(posixpath.normpath(name))
                    self.files.add(posixpath.normpath(posixpath.join(posixpath.dirname(path), name)))
                for level, what, node in said.dynamic:
                    self.doubt(level, path, "%s in %s line %d" % (what, path, node.lineno + statement.offset))

    def outside(self, path, statement, parts):
        """Some names from outside the project reach anything."""
        for known in (parts[:1], parts[:2]):
            level = OUTSIDE.get(known)
            if level is not None:
                why = "%s in %s line %d" % (".".join(parts), path, statement.line)
                self.doubt(level, path, why)
                if parts[0] in ("importlib", "pkgutil"):  # a package's data files too
                    self.doubt("files", path, why)

    def doubt(self, level, path, why):
        if level == "module":
            self.widen(path, why)
        elif level == "project":
            self.whole["*"] = min(why, self.whole.get("*", why))
            for module in list(self.project.modules):
                self.widen(module, why)
        else:
            self.any[level] = min(why, self.any.get(level, why))

    def digest(self):
        """Over what is reached, in the order of each module, however it was reached."""
        said = []
        for path, index in sorted(self.statements):
            statement = self.project.modules[path].statements[index]
            said.append("%s %s %s" % (path, "+".join(sorted(statement.facts.binds)), self.reach.text_digest(path, index)))
        said.extend(sorted(self.externals))
        return hashlib.sha256("\n".join(said).encode("utf-8", "surrogatepass")).hexdigest()

    def parts(self, method=""):
        """
        ({what: digest}, {(path, index, name in the statement): what}): "own", "name NAME", "code PATH", "all PATH", "import MODULE". A class
        is a part without the bodies of its methods, which are parts of their own. `method`: the one that is the function's own.
        """
        found, keys = {}, {}
        effects, whole = {}, {}
        for (path, index), role in sorted(self.statements.items()):
            statement = self.project.modules[path].statements[index]
            digest = self.reach.text_digest(path, index)
            said = anatomy_of(statement)
            if role in ("own", "definition") and said.kind == "class":
                name = self.part_name(path, statement, index)
                self._add(found, name, said.shell + "".join(counted.digest for counted in self.reach.counting(path, index)))
                for inner, definition in said.definitions.items():
                    key = "own" if role == "own" and inner == method else "%s.%s" % (name, inner)
                    self._add(found, key, definition.digest)
                    keys[(path, index, inner)] = key
            elif role == "own":
                found["own"] = digest
                keys[(path, index, "")] = "own"
            elif role == "effect":
                effects.setdefault(path, []).append(digest)
            elif role == "whole":
                whole.setdefault(path, []).append(digest)
            else:
                key = self.part_name(path, statement, index)
                self._add(found, key, digest)
                if said.kind == "function":
                    keys[(path, index, "")] = key
        for path, digests in effects.items():
            found["code " + path] = _short(digests)
        for path, digests in whole.items():
            found["all " + path] = _short(digests)
        for external in self.externals:
            found["import " + external.strip()] = "1"
        return found, keys

    def where(self, keeping):
        """{part: (path, names that the statement binds, whether calls can change the value)} of the parts "name …"."""
        found = {}
        for (path, index), role in self.statements.items():
            if role == "definition":
                statement = self.project.modules[path].statements[index]
                names = "+".join(sorted(statement.facts.binds)) or str(index)
                steady = statement.kind == "define" or keeping.value_role(path, statement) == "code"
                found[self.part_name(path, statement, index)] = (path, names, not steady)
        return found

    def part_name(self, path, statement, index):
        names = "+".join(sorted(statement.facts.binds)) or str(index)
        return "name %s.%s" % (module_name(path), names) if path != self.home else "name " + names

    def _add(self, found, key, digest):
        found[key] = found[key] + digest if key in found else digest


def _short(digests):
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:32]


def module_name(path):
    stem = path[:-3] if path.endswith(".py") else path
    return (stem[: -len("/__init__")] if stem.endswith("/__init__") else stem).replace("/", ".")
