"""② Names in syntax trees: chains of attributes, and which names are local to a function."""

import ast

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def chain_of(node):
    """("a", "b", "c") for `a.b.c`, or None when it does not start at a name."""
    attributes = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    attributes.append(node.id)
    attributes.reverse()
    return tuple(attributes)


def root_of(node):
    """The name at which a chain of attributes, calls and subscripts starts, or None."""
    while True:
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return node.id if isinstance(node, ast.Name) else None


def locals_of(function):
    """Names that are local to a function, with the imports among them: {name: (level, module, name or "") or None}."""
    found = {}
    outer = set()
    arguments = function.args
    for argument in arguments.posonlyargs + arguments.args + arguments.kwonlyargs:
        found[argument.arg] = None
    for argument in (arguments.vararg, arguments.kwarg):
        if argument is not None:
            found[argument.arg] = None
    todo = list(function.body) if isinstance(function.body, list) else [function.body]
    while todo:
        node = todo.pop()
        kind = node.__class__
        if kind is ast.Name:
            if kind_is_store(node):
                found[node.id] = None
            continue
        if kind in (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef):
            found[node.name] = None
            continue
        if kind is ast.Lambda:
            continue
        if kind in COMPREHENSIONS:  # its targets are its own; a walrus inside binds here
            todo.extend(n for n in ast.walk(node) if n.__class__ is ast.NamedExpr)
            continue
        if kind is ast.NamedExpr:
            found[node.target.id] = None
            todo.append(node.value)
            continue
        if kind in (ast.Global, ast.Nonlocal):
            outer.update(node.names)
            continue
        if kind is ast.Import:
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                target = (0, alias.name if alias.asname else name, "")
                found[name] = target if found.get(name, target) == target else None
            continue
        if kind is ast.ImportFrom:
            for alias in node.names:
                name = alias.asname or alias.name
                target = (node.level, node.module or "", alias.name)
                found[name] = target if found.get(name, target) == target else None
            continue
        name = getattr(node, "name", None)  # except handlers, match captures
        if isinstance(name, str):
            found[name] = None
        rest = getattr(node, "rest", None)
        if isinstance(rest, str):
            found[rest] = None
        todo.extend(ast.iter_child_nodes(node))
    for name in outer:
        found.pop(name, None)
    return found


def kind_is_store(node):
    return node.ctx.__class__ is not ast.Load
