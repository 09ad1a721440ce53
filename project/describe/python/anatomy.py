"""② A top-level statement taken apart: the definitions in it, what of it runs while the module is imported, and what a definition says."""

import ast
import hashlib

import facts
from names import chain_of

HOOKS = ("enter", "exit", "method")
#: Called with an object, these run no method of it but special ones, and hand it to nobody.
SAFE_BUILTINS = {
    "abs", "all", "any", "bool", "bytearray", "bytes", "complex", "dict", "divmod", "enumerate", "float", "format", "frozenset", "hash", "id", "int",
    "isinstance", "issubclass", "iter", "len", "list", "max", "min", "next", "object", "ord", "pow", "print", "range", "repr", "reversed", "round",
    "set", "slice", "sorted", "str", "sum", "super", "tuple", "type", "zip", "callable", "chr", "hex", "oct", "bin", "ascii", "map", "filter",
}
#: Methods of the builtin containers and texts: they keep what they are given, and run no method of it.
CONTAINER_METHODS = {
    "append", "add", "extend", "update", "insert", "setdefault", "get", "items", "keys", "values", "pop", "remove", "discard", "clear", "copy",
    "index", "count", "join", "format", "split", "strip", "replace", "lower", "upper", "encode", "decode", "startswith", "endswith", "sort",
}


class Definition:
    """A function or a method, as far as its body can be replaced in place."""

    __slots__ = ("name", "node", "facts", "outline", "digest", "attributes", "own", "escapes", "passes", "receiver")

    def __init__(self, name, node, known=None):
        self.name, self.node = name, node
        self.facts = known or facts.facts_of(node, "")
        arguments = node.args.posonlyargs + node.args.args
        self.receiver = arguments[0].arg if arguments else ""
        self.outline = _outline(node, "." in name)
        self.digest = _digest(sorted(self.outline.values()) + [ast.dump(item) for item in node.body])
        said = Said(node.body, self.receiver)
        self.attributes, self.own, self.escapes, self.passes = said.attributes, said.own, said.escapes, said.passes


class Said:
    """What a piece of code does with objects: names of attributes, those of `self`, whether `self` as such goes anywhere, and calls with objects."""

    def __init__(self, nodes, receiver=""):
        self.attributes = set()
        self.own = set()  # NAME of `self.NAME` and `super().NAME`
        self.escapes = False
        self.passes = []  # callees (chains, or None) that are given anything but constants
        held = set()
        for root in nodes:
            for node in ast.walk(root):
                if isinstance(node, ast.Attribute):
                    self.attributes.add(node.attr)
                    value = node.value
                    if isinstance(value, ast.Name) and value.id == receiver:
                        held.add(id(value))
                        self.own.add(node.attr)
                    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "super":
                        self.own.add(node.attr)
                elif isinstance(node, ast.Call):
                    given = node.args + [keyword.value for keyword in node.keywords]
                    if any(not literal(item) for item in given):
                        self.passes.append(_callee(node.func))
        if receiver:
            self.escapes = any(
                isinstance(node, ast.Name) and node.id == receiver and id(node) not in held for root in nodes for node in ast.walk(root)
            )


def _callee(node):
    return chain_of(node) or (("", node.attr) if isinstance(node, ast.Attribute) else ("",))


class Anatomy:
    """`definitions` by name in the statement ("" for a function of its own, else the methods); `running`: (facts, said) of what runs at import."""

    __slots__ = ("kind", "definitions", "running", "shell", "repeated")

    def __init__(self, statement):
        node = statement.node
        self.definitions, self.repeated = {}, set()
        self.shell = ""
        pieces = []
        if isinstance(node, facts.FUNCTIONS):
            self.kind = "function"
            self.definitions[""] = Definition(node.name, node, statement.facts)
            pieces = _evaluated(node)
        elif isinstance(node, ast.ClassDef):
            self.kind = "class"
            pieces = self._take_class(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            self.kind = "lambda"
            pieces = [item for item in node.value.args.defaults + node.value.args.kw_defaults if item is not None]
        else:
            self.kind = "other"
            value = getattr(node, "value", None)
            if statement.kind == "assign" and (value is None or inert(value)):
                pieces = []
            elif statement.kind not in ("import", "skip"):
                pieces = [node]
        methods = [definition.node for definition in self.definitions.values()] if self.kind == "class" else []
        pieces = [piece for piece in pieces if not inert(piece)] + [item for method in methods for item in method.decorator_list]
        self.running = [(_executed(piece), Said([piece])) for piece in pieces]

    def _take_class(self, node):
        shell = [node.name] + [ast.dump(item) for item in node.bases + node.keywords + getattr(node, "type_params", [])]
        pieces = [keyword.value for keyword in node.keywords]
        for item in node.body:
            if not isinstance(item, facts.FUNCTIONS):
                shell.append(ast.dump(item))
                pieces.append(item)
                continue
            shell.append("def " + item.name)
            pieces.extend(_evaluated(item))
            if item.name in self.definitions:
                self.repeated.add(item.name)
                shell.append(ast.dump(item))
            self.definitions[item.name] = Definition("%s.%s" % (node.name, item.name), item)
        self.shell = _digest(shell)
        return pieces


def _executed(node):
    """An import in a condition or a `try` binds a name: it runs nothing but the module, unless the name is used."""
    said = facts.facts_of(node, "")
    if isinstance(node, (ast.If, ast.Try)) and not any(isinstance(inner, facts.FUNCTIONS + (ast.Lambda,)) for inner in ast.walk(node)):
        said.refs = {ref for ref in said.refs if ref[0] != "import"}
    return said


def _evaluated(node):
    """Of a definition, what is evaluated when it is made: defaults, and annotations that call something."""
    arguments = node.args
    pieces = [item for item in arguments.defaults + arguments.kw_defaults if item is not None]
    every = arguments.posonlyargs + arguments.args + arguments.kwonlyargs + [a for a in (arguments.vararg, arguments.kwarg) if a]
    notes = [a.annotation for a in every if a.annotation is not None] + ([node.returns] if node.returns else [])
    return pieces + [note for note in notes if any(isinstance(inner, ast.Call) for inner in ast.walk(note))]


def literal(node):
    return all(isinstance(inner, (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.UnaryOp, ast.USub, ast.Load)) for inner in ast.walk(node))


def inert(node):
    """Evaluating it runs no code: displays of names and constants, and lambdas."""
    if isinstance(node, (ast.Constant, ast.Name)):
        return True
    if isinstance(node, ast.Lambda):
        return all(inert(item) for item in node.args.defaults + node.args.kw_defaults if item is not None)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return all(inert(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        return all(item is not None and inert(item) for item in node.keys + node.values)
    return isinstance(node, ast.UnaryOp) and inert(node.operand)


def _outline(node, method):
    """All but the body, as "WHAT=DIGEST …", so that what changed can be named."""
    arguments = node.args
    every = arguments.posonlyargs + arguments.args + arguments.kwonlyargs
    names = [a.arg if a else "" for a in every + [arguments.vararg, arguments.kwarg]] + [str(len(arguments.posonlyargs)), str(len(arguments.args))]
    notes = [ast.dump(a.annotation) if a and a.annotation else "" for a in every + [arguments.vararg, arguments.kwarg]]
    notes += [ast.dump(node.returns) if node.returns else ""] + [ast.dump(item) for item in getattr(node, "type_params", [])]
    kind = [node.__class__.__name__, node.name, str(_yields(node))]
    defaults = [ast.dump(item) if item else "" for item in arguments.defaults + [None] + arguments.kw_defaults]
    decorators = [ast.dump(item) for item in node.decorator_list] if method else []
    said = {"kind": kind, "arguments": names, "default": defaults, "annotation": notes, "decorators": decorators, "use of super()": [str(_uses_class_cell(node))]}
    return {what: _digest(items)[:16] for what, items in said.items()}


def _yields(node):
    todo = list(node.body)
    while todo:
        inner = todo.pop()
        if isinstance(inner, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(inner, facts.FUNCTIONS + (ast.Lambda, ast.ClassDef)):
            todo.extend(ast.iter_child_nodes(inner))
    return False


def _uses_class_cell(node):
    return any(isinstance(inner, ast.Name) and inner.id in ("super", "__class__") for inner in ast.walk(node))


def _digest(said):
    return hashlib.sha256("\x1f".join(said).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def anatomy_of(statement):
    if statement.anatomy is None:
        statement.anatomy = Anatomy(statement)
    return statement.anatomy


def hook_of(project, path, decorator):
    """ "enter", "exit" or "method" for the SDK's marks on methods, however they were imported."""
    chain = chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
    if chain is None or chain[-1] not in HOOKS and len(chain) > 1:
        return None
    for target in project.resolve(path, ("name",) + chain):
        if target[0] == "external" and target[2][:1] == ("hob",) and len(target[2]) == 2 and target[2][1] in HOOKS:
            return target[2][1]
    return None
