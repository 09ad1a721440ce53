"""② Which of the definitions that a function reaches can be replaced in a process that has loaded them, and why others can't."""

import ast

from anatomy import anatomy_of, hook_of
from names import chain_of

#: Above a method they change nothing about where its body is found.
PLAIN = {"staticmethod", "classmethod", "property"}


def units_of(reached, running, keys):
    """
    ({part: unit}, {part: why it takes a new process}). A part in both can be put in place again, with the same text at other lines; its
    text can't change. `keys` gives the parts' names: (path, index, name in the statement) -> part.
    """
    units, fixed = {}, {}
    documented = _reads_documentation(reached)
    for (path, index), role in reached.statements.items():
        if role not in ("own", "definition"):
            continue
        statement = reached.project.modules[path].statements[index]
        parts = anatomy_of(statement)
        for name, definition in parts.definitions.items():
            part = keys.get((path, index, name))
            if part is None:
                continue
            replaceable = _replaceable(reached, path, index, name, definition)
            why = replaceable
            if not why and (path in reached.whole or "*" in reached.whole):
                why = "%s counts as a whole" % (path if path in reached.whole else "the project")
            if not why and (path, index, name) in running.why:
                why = "%s %s" % (definition.name, running.why[(path, index, name)])
            if why:
                fixed[part] = why
            if not replaceable:
                node = definition.node
                first = min([node.lineno] + [item.lineno for item in node.decorator_list])
                units[part] = {
                    "path": path,
                    "name": definition.name,
                    "line": first + statement.offset,
                    "endLine": node.end_lineno + statement.offset,
                    "outline": {**definition.outline, "documentation": ast.get_docstring(node) or ""} if documented else definition.outline,
                }
    return units, fixed


def _reads_documentation(reached):
    """Replacing a body leaves the object's `__doc__` as it was, so then it belongs to the outline."""
    for path, index in reached.statements:
        statement = reached.project.modules[path].statements[index]
        if any("__doc__" in ref or "getdoc" in ref for ref in statement.facts.refs):
            return True
        if any({"__doc__", "getdoc"} & definition.attributes for definition in anatomy_of(statement).definitions.values()):
            return True
    return False


def _replaceable(reached, path, index, name, definition):
    """Why the body of a definition can't be found and replaced in a loaded process, or ""."""
    project, reach = reached.project, reached.reach
    module = project.modules[path]
    statement = module.statements[index]
    parts = anatomy_of(statement)
    if project.env(path).get(statement.name) != [index]:
        return "%s is bound more than once in %s" % (statement.name, path)
    if reach.counting(path, index):
        said = next(item for item, said in statement.decorators if reach.counts(path, index, said))
        return "%s is decorated with %s" % (statement.name, ast.unparse(said).split("(")[0])
    if parts.kind == "class":
        if name in parts.repeated:
            return "%s is defined more than once" % definition.name
        for decorator in definition.node.decorator_list:
            mark = hook_of(project, path, decorator)
            if mark is None and not (isinstance(decorator, ast.Name) and decorator.id in PLAIN and decorator.id not in project.env(path)):
                return "%s is decorated with %s" % (definition.name, ast.unparse(decorator).split("(")[0])
        if _named_in_class(statement.node, name):
            return "%s is used in the body of %s" % (definition.name, statement.name)
        if _foreign_bases(project, path, statement.node):
            return "%s has a base class from outside of the project" % statement.name
    for inner in ast.walk(definition.node):
        if isinstance(inner, ast.Global):
            for wanted in inner.names:
                if not [at for at in project.env(path).get(wanted, ()) if at != index]:
                    return "%s makes the global %s" % (definition.name, wanted)
    return ""


def _named_in_class(node, name):
    for item in node.body:
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if any(isinstance(inner, ast.Name) and inner.id == name for inner in ast.walk(item)):
            return True
    return False


def _foreign_bases(project, path, node):
    if node.keywords:
        return True
    for base in node.bases:
        chain = chain_of(base)
        targets = project.resolve(path, ("name",) + chain) if chain else []
        if not targets and not (chain and len(chain) == 1 and (chain[0] == "object" or chain[0].endswith(("Error", "Exception")))):
            return True
        if any(target[0] != "statement" for target in targets):
            return True
    return False
