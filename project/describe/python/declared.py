"""② The apps and functions that a project's modules declare, as far as the syntax tree tells: all but the decorators' arguments."""

import ast

import facts
from anatomy import hook_of
from names import chain_of


class Declared:
    """`@APP.function(...)`, `@APP.endpoint(...)`, `@APP.asgi(...)` or `@APP.local()` above a top-level function, or one method of a class below `@APP.cls(...)`."""

    __slots__ = ("path", "index", "app", "app_at", "kind", "name", "decorator", "said", "statement", "node", "node_line", "method")

    def __init__(self, path, index, statement, app, app_at, kind, decorator, said):
        self.path, self.index, self.statement = path, index, statement
        self.app, self.app_at, self.kind = app, app_at, kind
        self.decorator, self.said = decorator, said
        self.name = statement.name
        self.node, self.node_line, self.method = statement.node, statement.line, ""

    def of_method(self, name, node, line):
        made = Declared(self.path, self.index, self.statement, self.app, self.app_at, self.kind, self.decorator, self.said)
        made.name, made.method = "%s.%s" % (self.name, name), name
        made.node, made.node_line = node, line
        return made

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
        if not isinstance(node, facts.FUNCTIONS + (ast.ClassDef,)):
            continue
        kinds = ("cls",) if isinstance(node, ast.ClassDef) else ("function", "local", "endpoint", "asgi")
        for decorator, said in statement.decorators:
            chain = chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if chain is None or len(chain) < 2 or chain[-1] not in kinds:
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
                    declared = Declared(path, index, statement, name, app_at, chain[-1], decorator, said)
                    if chain[-1] != "cls":
                        found.append(declared)
                        break
                    methods = [declared.of_method(*method) for method in methods_of(reach.project, path, index)]
                    found.extend(methods)
                    if not methods:
                        message = "%s has no method to call: put @hob.method() above one, or take @app.cls away" % statement.name
                        diagnostics.append(fault(module, decorator, statement, message))
                break
    return found, diagnostics


def methods_of(project, path, index):
    """(name, definition, line) of the methods that a class has marked with @hob.method(), inherited ones included."""
    found, seen = [], set()
    todo = [(path, index)]
    while todo:
        at = todo.pop(0)
        if at in seen:
            continue
        seen.add(at)
        statement = project.modules[at[0]].statements[at[1]]
        for item in statement.node.body:
            if isinstance(item, facts.FUNCTIONS) and item.name not in {name for name, _, _ in found}:
                if any(hook_of(project, at[0], decorator) == "method" for decorator in item.decorator_list):
                    found.append((item.name, item, item.lineno + statement.offset))
        for base in statement.node.bases:
            chain = chain_of(base)
            for target in project.resolve(at[0], ("name",) + chain) if chain else ():
                if target[0] == "statement" and isinstance(project.modules[target[1]].statements[target[2]].node, ast.ClassDef):
                    todo.append((target[1], target[2]))
    return found


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


def parameters(node, method=False):
    arguments = node.args
    positional = [(a, "positional-only") for a in arguments.posonlyargs] + [(a, "positional") for a in arguments.args]
    positional = positional[1:] if method else positional
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
