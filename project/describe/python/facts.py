"""② What one top-level statement says: its normal form, what it binds, and what it refers to.

The normal form is the syntax tree without positions, so comments, blank lines and formatting do not count. One pass gathers
everything, because this is on the way from a save to its result.
"""

import ast
import hashlib

from doubts import ANY_FILE_NAMES, OPENER_ROOTS, OPENERS, PROJECT_ATTRIBUTES, READER_ROOTS, READERS, WHOLE_MODULE, WHOLE_PROJECT
from names import chain_of, kind_is_store, locals_of, root_of

# A reference is ("name", root, attribute, ...), looked up in the module, or ("import", level, module, name, attribute, ...).

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Facts:
    """Everything the rest needs to know about a statement or a decorator."""

    __slots__ = ("digest", "refs", "called", "binds", "touches", "imports", "lazy_imports", "dynamic", "files")

    def __init__(self):
        self.digest = ""
        self.refs = set()
        self.called = set()  # roots of what is called while the module is imported
        self.binds = set()  # names of the module that it binds, functions' `global` ones included
        self.touches = set()  # roots of what it changes in place while the module is imported
        self.imports = set()  # (level, module, name or "") executed while the module is imported
        self.lazy_imports = set()  # the same, executed when a function runs
        self.dynamic = []  # (level "module" | "project" | "files", what, node)
        self.files = set()  # constant paths that it opens

    def shape(self):
        """Equal shapes: the same reach, whatever the bodies say."""
        return (self.refs, self.called, self.binds, self.touches, self.imports, self.lazy_imports, self.files,
                [(level, what) for level, what, _ in self.dynamic])


def facts_of(node, text):
    """The facts of one node; `text` (its source) stands for a tree that is too deep to walk."""
    walker = _Walker()
    try:
        walker.visit(node)
    except RecursionError:
        walker.out = [text]
        walker.facts.dynamic.append(("project", "a very deeply nested expression", node))
    walker.facts.digest = hashlib.sha256("\x1f".join(walker.out).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return walker.facts


class _Walker:
    def __init__(self):
        self.facts = Facts()
        self.out = []
        self.scopes = []  # of functions and comprehensions: {name: import target or None}
        self.running = True  # False inside function bodies: they do not run while the module is imported
        self.inside_class = 0
        self.top = True  # the statement itself has not been entered yet

    def visit(self, node):
        handler = _HANDLERS.get(node.__class__)
        if handler is None:
            self.plain(node)
        else:
            handler(self, node)
        return self.facts

    def plain(self, node):
        out = self.out
        out.append(node.__class__.__name__)
        self.top = False
        for field in node._fields:
            value = getattr(node, field, None)
            if value.__class__ is list:
                out.append("[")
                for item in value:
                    if isinstance(item, ast.AST):
                        self.visit(item)
                    else:
                        out.append(repr(item))
                out.append("]")
            elif isinstance(value, ast.AST):
                self.visit(value)
            else:
                out.append(repr(value))
        out.append(")")

    def local(self, name):
        """(True, import target or None) for a name of an enclosing function."""
        for scope in reversed(self.scopes):
            if name in scope:
                return True, scope[name]
        return False, None

    def refer(self, chain, node):
        root = chain[0]
        found, target = self.local(root)
        if found:
            if target is not None:
                self.facts.refs.add(("import",) + target + chain[1:])
            return
        self.facts.refs.add(("name",) + chain)
        if len(chain) == 1:
            if root in WHOLE_MODULE:
                self.widen("module", root + "()", node)
            elif root in WHOLE_PROJECT:
                self.widen("project", root + "()", node)
            elif root in ANY_FILE_NAMES:
                self.widen("files", root, node)

    def widen(self, level, what, node):
        self.facts.dynamic.append((level, what, node))

    def constant(self, node):
        self.out.append(repr(node.value))

    def name(self, node):
        self.out.append(node.id)
        if kind_is_store(node):
            if not self.scopes and not self.inside_class:
                self.facts.binds.add(node.id)
            elif not self.local(node.id)[0] and not self.inside_class:
                self.facts.binds.add(node.id)  # a function with `global`
        else:
            self.refer((node.id,), node)

    def attribute(self, node):
        chain = chain_of(node)
        self.out.append("." + node.attr)
        if chain is None:
            if node.attr in PROJECT_ATTRIBUTES:
                self.widen("project", "." + node.attr, node)
            self.visit(node.value)
            return
        self.out.append(".".join(chain))
        if node.attr in PROJECT_ATTRIBUTES:
            self.widen("project", ".".join(chain), node)
        if kind_is_store(node) and self.running:
            self.facts.touches.add(chain[0])
        self.refer(chain, node)

    def subscript(self, node):
        if kind_is_store(node) and self.running:
            root = root_of(node)
            if root is not None:
                self.facts.touches.add(root)
        self.plain(node)

    def call(self, node):
        function = node.func
        out = self.out
        out.append("Call")
        if self.running:
            root = root_of(function)
            if root is not None:
                self.facts.called.add(root)
        handled = False
        first = node.args[0] if node.args else None
        text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
        if isinstance(function, ast.Name) and not self.local(function.id)[0]:
            handled = self.builtin(function.id, node, text)
        elif isinstance(function, ast.Attribute):
            handled = self.method(function, node, text)
        if handled:
            out.append(ast.dump(function))
        else:
            self.visit(function)
        out.append("(")
        for argument in node.args:
            if handled == "attribute" and argument is first:
                out.append(ast.dump(argument))  # not the object as a whole: just that attribute of it
            else:
                self.visit(argument)
        for keyword in node.keywords:
            out.append("%s=" % keyword.arg)
            self.visit(keyword.value)
        out.append(")")

    def builtin(self, name, node, text):
        """True, or "attribute", when a call of a dangerous builtin is harmless because its argument is a constant."""
        if name == "open":
            mode = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "mode"), None)
            writes = isinstance(mode, ast.Constant) and isinstance(mode.value, str) and mode.value[:1] in ("w", "a", "x") and "+" not in mode.value
            if text is not None and not writes:
                self.facts.files.add(text)
            if text is not None or writes:
                self.facts.refs.add(("name", "open"))
                return True
        elif name in ("getattr", "setattr", "delattr"):
            second = node.args[1] if len(node.args) > 1 else None
            if isinstance(second, ast.Constant) and isinstance(second.value, str):
                chain = chain_of(node.args[0])
                self.facts.refs.add(("name", name))
                if chain is None:
                    return True
                self.refer(chain + (second.value,), node)
                if self.running and name != "getattr":
                    self.facts.touches.add(chain[0])
                return "attribute"
        elif name in ("vars", "dir") and node.args:
            self.facts.refs.add(("name", name))
            return True  # of an object: its class is reached by whoever made it; of a module: the bare name counts as a whole
        elif name == "__import__" and text is not None and len(node.args) == 1:
            self.facts.refs.add(("import", 0, text, ""))
            return True
        return False

    def method(self, function, node, text):
        chain = chain_of(function)
        if chain is not None and chain[-1] == "import_module" and text is not None and len(node.args) == 1 and not text.startswith("."):
            self.facts.refs.add(("import", 0, text, ""))
            return True
        if function.attr in READERS or (chain is not None and chain[-2:] in READER_ROOTS):
            inner = function.value
            if function.attr in OPENERS and (chain is None or chain[0] not in OPENER_ROOTS):
                text = None  # path.open("r"), path.read_text("utf-8"): the name is in the path
                if not (isinstance(inner, ast.Call) and chain_of(inner.func) in (("Path",), ("pathlib", "Path"))):
                    inner = None
            if text is None and isinstance(inner, ast.Call) and len(inner.args) == 1 and isinstance(inner.args[0], ast.Constant):
                if isinstance(inner.args[0].value, str):  # Path("data.csv").read_text()
                    text = inner.args[0].value
            if function.attr in ("iterdir", "glob", "iglob", "rglob", "listdir", "scandir") or text is None:
                self.widen("files", "." + function.attr + "()", node)
            else:
                self.facts.files.add(text)
        return False

    def function(self, node):
        """A definition that is nested, or the undecorated rest of a top-level one: decorators of that are facts of their own."""
        top, self.top = self.top, False
        out = self.out
        out.append(node.__class__.__name__ + " " + node.name)
        if not self.scopes and not self.inside_class:
            self.facts.binds.add(node.name)
        if not top:
            for decorator in node.decorator_list:
                out.append("@")
                self.decorator(decorator)
        self.signature(node.args)
        if node.returns is not None:
            out.append("->")
            self.visit(node.returns)
        for parameter in getattr(node, "type_params", []):
            self.visit(parameter)
        self.body(node, node.body)

    def decorator(self, node):
        if self.running:
            root = root_of(node)
            if root is not None:
                self.facts.called.add(root)
        self.visit(node)

    def signature(self, arguments):
        self.plain(arguments)

    def body(self, node, statements):
        running, inside = self.running, self.inside_class
        self.running, self.inside_class = False, 0
        self.scopes.append(locals_of(node))
        for statement in statements:
            self.visit(statement)
        self.scopes.pop()
        self.running, self.inside_class = running, inside
        self.out.append("end")

    def lambda_(self, node):
        self.out.append("Lambda")
        self.signature(node.args)
        self.body(node, [node.body])

    def class_(self, node):
        top, self.top = self.top, False
        out = self.out
        out.append("Class " + node.name)
        if not self.scopes and not self.inside_class:
            self.facts.binds.add(node.name)
        if not top:
            for decorator in node.decorator_list:
                self.decorator(decorator)
        if self.running:
            for base in node.bases + [keyword.value for keyword in node.keywords]:
                root = root_of(base)
                if root is not None:
                    self.facts.called.add("class " + root)
        for base in node.bases:
            self.visit(base)
        for keyword in node.keywords:
            out.append("%s=" % keyword.arg)
            self.visit(keyword.value)
        self.inside_class += 1
        for statement in node.body:
            self.visit(statement)
        self.inside_class -= 1
        out.append("end")

    def comprehension(self, node):
        names = {}
        for generator in node.generators:
            for inner in ast.walk(generator.target):
                if isinstance(inner, ast.Name):
                    names[inner.id] = None
        self.visit(node.generators[0].iter)  # evaluated outside
        self.scopes.append(names)
        self.plain(node)
        self.scopes.pop()

    def named(self, node):
        self.out.append(":=" + node.target.id)
        if not self.local(node.target.id)[0] and not self.inside_class:
            self.facts.binds.add(node.target.id)
        self.visit(node.value)

    def augmented(self, node):
        root = root_of(node.target)
        if root is not None:
            if self.running:
                self.facts.touches.add(root)
            if not self.local(root)[0]:
                self.facts.refs.add(("name", root))
        self.plain(node)

    def global_(self, node):
        self.out.append("global " + " ".join(sorted(node.names)))
        self.facts.binds.update(node.names)
        for name in node.names:
            self.facts.refs.add(("name", name))

    def delete(self, node):
        for target in node.targets:
            root = root_of(target)
            if root is not None and self.running:
                self.facts.touches.add(root)
        self.plain(node)

    def import_(self, node):
        top, self.top = self.top, False
        self.out.append("import " + ",".join("%s as %s" % (a.name, a.asname) for a in node.names))
        for alias in node.names:
            (self.facts.imports if self.running else self.facts.lazy_imports).add((0, alias.name, ""))
            name = alias.asname or alias.name.split(".")[0]
            if self.scopes and self.local(name) != (True, (0, alias.name if alias.asname else name, "")):
                # A name of several meanings, or a global: where it is used it cannot be followed, so the module counts whole.
                self.facts.refs.add(("import", 0, alias.name, ""))
            if not self.scopes:
                if not self.inside_class:
                    self.facts.binds.add(alias.asname or alias.name.split(".")[0])
                if not top:
                    self.facts.refs.add(("import", 0, alias.name, ""))

    def import_from(self, node):
        top, self.top = self.top, False
        names = ",".join("%s as %s" % (a.name, a.asname) for a in node.names)
        self.out.append("from %s%s import %s" % ("." * node.level, node.module, names))
        for alias in node.names:
            where = (node.level, node.module or "", alias.name)
            (self.facts.imports if self.running else self.facts.lazy_imports).add(where)
            if alias.name == "*":
                self.facts.refs.add(("import", node.level, node.module or "", ""))
            elif not top:
                self.facts.refs.add(("import",) + where)
            if not self.scopes and not self.inside_class:
                self.facts.binds.add(alias.asname or alias.name)


_HANDLERS = {
    ast.Constant: _Walker.constant,
    ast.Name: _Walker.name,
    ast.Attribute: _Walker.attribute,
    ast.Subscript: _Walker.subscript,
    ast.Call: _Walker.call,
    ast.FunctionDef: _Walker.function,
    ast.AsyncFunctionDef: _Walker.function,
    ast.Lambda: _Walker.lambda_,
    ast.ClassDef: _Walker.class_,
    ast.ListComp: _Walker.comprehension,
    ast.SetComp: _Walker.comprehension,
    ast.DictComp: _Walker.comprehension,
    ast.GeneratorExp: _Walker.comprehension,
    ast.NamedExpr: _Walker.named,
    ast.AugAssign: _Walker.augmented,
    ast.Global: _Walker.global_,
    ast.Delete: _Walker.delete,
    ast.Import: _Walker.import_,
    ast.ImportFrom: _Walker.import_from,
}
