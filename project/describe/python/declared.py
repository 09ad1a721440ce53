"""② The apps and functions that a project's modules declare, as far as the syntax tree tells: all but the decorators' arguments."""

import ast

import facts
from names import chain_of


class Declared:
    """`@APP.function(...)` or `@APP.local()` above a top-level function."""

    __slots__ = ("path", "index", "app", "app_at", "kind", "name", "decorator", "said", "statement")

    def __init__(self, path, index, statement, app, app_at, kind, decorator, said):
        self.path, self.index, self.statement = path, index, statement
        self.app, self.app_at, self.kind = app, app_at, kind
        self.decorator, self.said = decorator, said
        self.name = statement.name

    @property
    def line(self):
        return self.decorator.lineno + self.statement.offset


def declarations(reach, path):
    """(declared functions, diagnostics) of one module."""
    found, diagnostics = [], []
    module = reach.project.modules[path]
    for index, statement in enumerate(module.statements):
        node = statement.node
        if statement.kind == "assign" and _is_app(reach, path, statement) and _app_name(node) is None:
            diagnostics.append(fault(module, node, statement, "hob.App(...) needs its name as a constant text: hob.App(\"images\")"))
        if not isinstance(node, facts.FUNCTIONS):
            continue
        for decorator, said in statement.decorators:
            chain = chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if chain is None or len(chain) < 2 or chain[-1] not in ("function", "local"):
                continue
            for target in reach.project.resolve(path, ("name",) + chain[:-1]):
                if target[0] != "statement":
                    continue
                bound = reach.project.modules[target[1]].statements[target[2]]
                if bound.kind != "assign" or not _is_app(reach, target[1], bound):
                    continue
                name = _app_name(bound.node)
                if name is not None:
                    app_at = (target[1], target[2])
                    found.append(Declared(path, index, statement, name, app_at, chain[-1], decorator, said))
                break
    return found, diagnostics


def _is_app(reach, path, statement):
    """Whether an assignment's value is `hob.App(...)`, however hob was imported."""
    value = getattr(statement.node, "value", None)
    chain = chain_of(value.func) if isinstance(value, ast.Call) else None
    if chain is None or chain[-1] != "App" and len(chain) > 1:
        return False
    found = reach.project.resolve(path, ("name",) + chain)
    return any(target[0] == "external" and target[1].strip() in ("hob", "hob App") for target in found)


def _app_name(node):
    call = node.value
    first = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "name"), None)
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value else None


def fault(module, node, statement, message):
    line = node.lineno + statement.offset
    source = module.lines[line - 1] if 0 < line <= len(module.lines) else ""
    return {"file": module.path, "line": line, "column": node.col_offset + 1, "message": message, "sourceLine": source}


def parameters(node):
    arguments = node.args
    positional = [(a, "positional-only") for a in arguments.posonlyargs] + [(a, "positional") for a in arguments.args]
    plain = len(positional) - len(arguments.defaults)
    found = [_parameter(a, kind, at >= plain) for at, (a, kind) in enumerate(positional)]
    if arguments.vararg:
        found.append(_parameter(arguments.vararg, "variadic", False))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults):
        found.append(_parameter(argument, "keyword-only", default is not None))
    if arguments.kwarg:
        found.append(_parameter(arguments.kwarg, "keywords", False))
    return found


def _parameter(argument, kind, has_default):
    return {"name": argument.arg, "kind": kind, "hasDefault": has_default, "annotation": annotation(argument.annotation)}


def annotation(node):
    return ast.unparse(node) if node is not None else ""


def doc(node):
    text = ast.get_docstring(node)
    return text.strip().split("\n")[0] if text and text.strip() else ""
