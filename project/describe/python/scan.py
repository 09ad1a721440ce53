"""② One definition's use of objects: which it made itself, which others see too, and what it changes or gives away of those."""

import ast
import re

import facts
from anatomy import CONTAINER_METHODS, SAFE_BUILTINS, inert
from doubts import WHOLE_MODULE, WHOLE_PROJECT
from names import chain_of, kind_is_store, locals_of

#: Of the containers' methods, those that change the container.
MUTATORS = {"append", "add", "extend", "update", "insert", "setdefault", "pop", "remove", "discard", "clear", "sort", "popitem", "popleft", "appendleft"}
#: Functions from outside that change something of the whole process.
PROCESS_WIDE = MUTATORS | {
    "seed", "chdir", "putenv", "setenv", "register", "unregister", "basicConfig", "addHandler", "setLevel", "setrecursionlimit", "signal", "setlocale", "umask",
    "install", "reload", "simplefilter", "filterwarnings", "start", "submit", "setattr", "cache_clear",
}
#: Of an object that may be a generator, or fill in what is missing, even reading takes something or leaves something.
READERS_OF_ANYTHING = {"len", "isinstance", "type", "id", "repr", "str", "bool", "issubclass", "callable", "hash", "int", "float", "print", "format"}
#: What these give has no part in what they are given.
OF_ITS_OWN = {"str", "int", "float", "bool", "bytes", "bytearray", "range", "len", "repr", "hash", "isinstance", "round", "abs", "any", "all"}
#: What methods of libraries are called that store something: `put`, `set_weights`, `heappush`, and torch's in-place methods (`add_`).
STORING = re.compile(r"(^|_)(set|put|add|insert|append|extend|update|write|save|store|fill|load|record|remember|register|log|send|pop|remove|delete|clear|reset|sort|shuffle|step|fit|train|next)(_|[A-Z]|s?$)|push|pop|_$")
INITIALISERS = {"__init__", "__new__", "__post_init__"}
CONSTRUCTORS = {"list", "dict", "set", "frozenset", "tuple", "bytearray", "bytes", "str", "int", "float", "bool", "range"}


class Scan:
    """
    One definition. Objects are "own" (made here, or given by the caller, who is looked at too), "shared" (of the module, of `self`, or
    reached through them) or "returned" (by code of the project: shared where that shares anything).
    """

    def __init__(self, keeping, path, node, methods, method):
        self.keeping, self.path, self.methods = keeping, path, methods
        self.keeps = self.shares = self.keeps_if_shared = False
        self.unsure = False  # what lives on goes to code of libraries, which is not looked into
        self.given = set()  # the names of what it is given to
        self.depths = [{}]
        self.initialises = method in INITIALISERS
        static = method is not None and any(isinstance(item, ast.Name) and item.id == "staticmethod" for item in node.decorator_list)
        arguments = node.args.posonlyargs + node.args.args
        self.receiver = arguments[0].arg if method is not None and not static and arguments else None
        self.nested = 0
        self.scope(node)

    def scope(self, node):
        names = {name: "own" for name in locals_of(node)}
        arguments = node.args
        positional = arguments.posonlyargs + arguments.args
        defaults = list(zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults))
        defaults += [(argument, value) for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults) if value is not None]
        for argument, value in defaults:
            if not (inert(value) and not isinstance(value, (ast.List, ast.Dict, ast.Set))):
                names[argument.arg] = "shared"
        if self.nested == 0 and self.receiver is not None:
            names[self.receiver] = "shared"
        body = node.body if isinstance(node.body, list) else [node.body]
        self.depths.append(names)
        for _ in range(3):  # until what flows from name to name is known
            before = dict(names)
            for statement in body:
                self.flow(statement, names)
            if names == before:
                break
        if isinstance(node, ast.Lambda) and self.kind(node.body) == "shared":
            self.shares = True
        for statement in body:
            self.visit(statement)
        self.depths.pop()

    def flow(self, node, names):
        for inner in _own_nodes(node):
            if isinstance(inner, ast.Assign):
                for target in inner.targets:
                    self.bind(target, inner.value, names)
            elif isinstance(inner, (ast.AnnAssign, ast.NamedExpr)) and inner.value is not None:
                self.bind(inner.target, inner.value, names)
            elif isinstance(inner, ast.AugAssign):
                self.bind(inner.target, inner.value, names)
            elif isinstance(inner, (ast.For, ast.AsyncFor, ast.comprehension)):
                if isinstance(inner, ast.comprehension):
                    for target in ast.walk(inner.target):
                        if isinstance(target, ast.Name):
                            names.setdefault(target.id, "own")
                self.bind(inner.target, inner.iter, names)
            elif isinstance(inner, ast.withitem) and inner.optional_vars is not None:
                self.bind(inner.optional_vars, inner.context_expr, names)
            elif isinstance(inner, ast.Match):
                kind = self.kind(inner.subject)
                for case in inner.cases:
                    for pattern in ast.walk(case.pattern):
                        name = getattr(pattern, "name", None) or getattr(pattern, "rest", None)
                        if isinstance(name, str):
                            _raise(names, name, kind)

    def bind(self, target, value, names):
        kind = self.kind(value)
        for inner in ast.walk(target):
            if isinstance(inner, ast.Name) and (kind_is_store(inner) or kind == "shared"):
                _raise(names, inner.id, kind)

    def lookup(self, name):
        for depth in range(len(self.depths) - 1, 0, -1):
            if name in self.depths[depth]:
                return self.depths[depth][name] if depth == len(self.depths) - 1 else "shared"  # a closure's: it may live on
        role = self.keeping.role(self.path, name)
        return "shared" if role in ("solid", "object") else "code"

    def kind(self, node):
        """The worst that an expression's value may be."""
        if isinstance(node, ast.Name):
            found = self.lookup(node.id)
            return "own" if found == "code" else found
        if isinstance(node, (ast.Constant, ast.JoinedStr, ast.Compare, ast.Lambda, ast.BinOp)) or isinstance(node, facts.FUNCTIONS):
            return "own"
        if isinstance(node, ast.UnaryOp):
            return "own"
        if isinstance(node, ast.Attribute):
            chain = chain_of(node)
            if chain is not None and self.lookup(chain[0]) == "code" and self.role(chain) in ("solid", "object"):
                return "shared"
            return self.kind(node.value)
        if isinstance(node, ast.Call):
            given = [self.kind(item) for item in node.args + [keyword.value for keyword in node.keywords]]
            function = node.func
            if isinstance(function, ast.Attribute) and self.kind(function.value) == "shared":
                return "shared"
            if isinstance(function, ast.Name) and self.builtin(function.id):
                if function.id in OF_ITS_OWN:
                    return "own"
                return "shared" if "shared" in given else "returned" if "returned" in given else "own"
            if self.of_project(function) and not self.is_class(function):
                return "shared" if "shared" in given else "returned"
            return "shared" if "shared" in given else "returned" if "returned" in given else "own"
        kinds = {self.kind(inner) for inner in ast.iter_child_nodes(node) if isinstance(inner, (ast.expr, ast.comprehension, ast.keyword))}
        if isinstance(node, ast.comprehension):
            kinds = {self.kind(node.iter)}
        return "shared" if "shared" in kinds else "returned" if "returned" in kinds else "own"

    def role(self, chain):
        """Of `helpers.TABLE`, which is the project's: what it is there."""
        roles = set()
        for target in self.keeping.project.resolve(self.path, ("name",) + chain):
            if target[0] == "statement":
                statement = self.keeping.project.modules[target[1]].statements[target[2]]
                if statement.kind == "define" and statement.name != chain[-1]:
                    roles.add("object")  # an attribute of a class or of a function
                    continue
                roles.add("code" if statement.kind == "define" else self.keeping.value_role(target[1], statement))
            elif target[0] == "module":
                roles.add("object")
        if len(chain) > 2 and "code" in roles and self.keeping.role(self.path, chain[0]) == "code" and chain[-1] not in CONTAINER_METHODS:
            return "code"
        return "object" if "object" in roles else "solid" if "solid" in roles else "code"

    def builtin(self, name):
        return self.lookup(name) == "code" and self.keeping.role(self.path, name) == "builtin"

    def of_project(self, function):
        chain = chain_of(function)
        if chain is None:
            return False
        targets = self.keeping.project.resolve(self.path, ("name",) + chain)
        return any(target[0] != "external" for target in targets)

    def is_class(self, function):
        targets = self.keeping.project.resolve(self.path, ("name",) + chain_of(function))
        modules = self.keeping.project.modules
        return all(target[0] == "statement" and isinstance(modules[target[1]].statements[target[2]].node, ast.ClassDef) for target in targets)

    def change(self, node):
        """Something of what this expression gives is changed."""
        kind = self.kind(node)
        if kind == "returned":
            self.keeps_if_shared = True
        elif kind == "shared" or not isinstance(node, ast.Name) or self.lookup(node.id) == "code":
            self.keeps = True

    def visit(self, node):
        handler = getattr(self, "on_" + node.__class__.__name__, None)
        if handler is not None and handler(node):
            return
        for inner in ast.iter_child_nodes(node):
            self.visit(inner)

    def on_FunctionDef(self, node):
        for item in getattr(node, "decorator_list", ()):
            self.visit(item)
        self.nested += 1
        self.scope(node)
        self.nested -= 1
        return True

    on_AsyncFunctionDef = on_Lambda = on_FunctionDef

    def on_ClassDef(self, node):
        self.keeps = True  # a class made by a call: not looked into

    def on_Global(self, node):
        self.keeps = True

    on_Nonlocal = on_Global

    def on_Attribute(self, node):
        if kind_is_store(node):
            if self.initialises and self.nested == 0 and isinstance(node.value, ast.Name) and node.value.id == self.receiver:
                return
            self.change(node.value)

    def on_Subscript(self, node):
        if kind_is_store(node):
            self.change(node.value)
        elif self.object(node.value):
            self.keeps = True  # a defaultdict fills in what is missing

    def object(self, node):
        """Whether it is an object of the module of which nothing is known."""
        chain = chain_of(node)
        if chain is None or self.lookup(chain[0]) not in ("shared", "code") or self.local(chain[0]):
            return False
        return (self.keeping.role(self.path, chain[0]) if len(chain) == 1 else self.role(chain)) == "object"

    def local(self, name):
        return any(name in scope for scope in self.depths[1:])

    def on_AugAssign(self, node):
        if isinstance(node.target, ast.Name) and self.kind(node.target) == "shared":
            self.keeps = True

    def iterated(self, node):
        if self.object(node):
            self.keeps = True  # a generator is used up

    def on_For(self, node):
        self.iterated(node.iter)

    on_AsyncFor = on_comprehension = on_For

    def on_YieldFrom(self, node):
        self.iterated(node.value)
        self.shares = self.shares or self.kind(node.value) == "shared"

    def on_Starred(self, node):
        self.iterated(node.value)

    def on_withitem(self, node):
        if self.kind(node.context_expr) == "shared":
            self.keeps = True

    def on_Return(self, node):
        if node.value is not None and self.kind(node.value) == "shared":
            self.shares = True

    on_Yield = on_Return

    def on_Await(self, node):
        if self.kind(node.value) == "shared":
            self.keeps = True

    def on_Call(self, node):
        function = node.func
        given = node.args + [keyword.value for keyword in node.keywords]
        kinds = {self.kind(item) for item in given}
        if isinstance(function, ast.Name):
            if self.builtin(function.id):
                return self.on_builtin(function.id, given, kinds)
            if self.lookup(function.id) == "shared":
                self.entrust(function.id)
        elif isinstance(function, ast.Attribute):
            self.on_method(function, kinds)
        elif self.kind(function) == "shared" and not self.of_table(function):
            self.entrust("")
        if "shared" in kinds:
            self.give(function)
        elif "returned" in kinds and not self.of_project(function):
            self.keeps_if_shared = True
        return False

    def entrust(self, name):
        """An object that lives on does something of which no more than its name is known."""
        if STORING.search(name):
            self.keeps = True
        else:
            self.unsure = True

    def give(self, function):
        """An object that lives on is an argument: the project's own code may change it, for a definition is taken to own what it is given."""
        name = getattr(function, "id", None) or getattr(function, "attr", None)
        if name is None or self.of_project(function):
            self.keeps = True
        else:
            self.given.add(name)
            self.entrust(name)

    def of_table(self, function):
        """`HANDLERS[x](…)`, where that holds definitions: each is looked at itself."""
        value = getattr(function, "value", None)
        return isinstance(function, ast.Subscript) and isinstance(value, ast.Name) and not self.local(value.id) and self.keeping.table(self.path, value.id)

    def on_builtin(self, name, given, kinds):
        if name in WHOLE_MODULE | WHOLE_PROJECT and name != "getattr" or name == "input":
            self.keeps = True
        elif name == "getattr" and "shared" in kinds:
            self.keeps = True
        elif name not in READERS_OF_ANYTHING:
            if any(self.object(item) for item in given) or "shared" in kinds and (name not in SAFE_BUILTINS or len(given) > 1 or name in ("next", "iter")):
                self.keeps = True
            elif "returned" in kinds and name in ("next", "iter"):
                self.keeps_if_shared = True
        return False

    def on_method(self, function, kinds):
        receiver, name = function.value, function.attr
        if isinstance(receiver, ast.Name) and receiver.id == self.receiver and name in self.methods:
            return  # looked at itself
        if isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Name) and receiver.func.id == "super":
            return
        kind = self.kind(receiver)
        chain = chain_of(function)
        if chain is not None and self.lookup(chain[0]) == "code":
            if self.role(chain[:-1]) == "solid" if len(chain) > 2 else self.keeping.role(self.path, chain[0]) == "solid":
                kind = "shared"
            elif not self.of_project(function) and name in PROCESS_WIDE:
                self.keeps = True
                return
        if kind == "shared":
            if name in MUTATORS:
                self.keeps = True
            elif name not in CONTAINER_METHODS:
                self.entrust(name)
        elif kind == "returned":
            self.keeps_if_shared = self.keeps_if_shared or name not in CONTAINER_METHODS or name in MUTATORS
        elif name in MUTATORS and not isinstance(receiver, (ast.Name, ast.Call)):
            self.keeps = True


def _own_nodes(node):
    """The nodes below, those of nested definitions left out."""
    todo = [node]
    while todo:
        inner = todo.pop()
        yield inner
        if not isinstance(inner, facts.FUNCTIONS + (ast.Lambda,)):
            todo.extend(ast.iter_child_nodes(inner))


def _raise(names, name, kind):
    order = ("own", "returned", "shared")
    if name in names and order.index(kind) > order.index(names[name]):
        names[name] = kind
