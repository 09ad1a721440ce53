"""② A module's source as a row of top-level statements; an edit parses again only the statements that it touched."""

import ast
import hashlib

import facts
from names import chain_of, root_of

DEFINITIONS = facts.FUNCTIONS + (ast.ClassDef,)


class Statement:
    """One top-level statement. `offset` shifts its tree's lines to the file's: a tree stays as it was parsed."""

    __slots__ = ("node", "offset", "kind", "name", "facts", "decorators", "anatomy")

    def __init__(self, node, text):
        self.node = node
        self.offset = 0
        self.anatomy = None  # anatomy.Anatomy, once it is asked for
        self.kind = _kind(node)
        self.name = node.name if isinstance(node, DEFINITIONS) else None
        self.facts = facts.facts_of(node, text)
        self.decorators = [(d, facts.facts_of(d, text)) for d in getattr(node, "decorator_list", [])]
        for decorator, said in self.decorators:  # a decorator is called with what it decorates
            root = root_of(decorator)
            if root is not None:
                said.called.add(root)
        if self.kind == "docstring":
            self.kind = "assign"
            self.facts.binds.add("__doc__")

    @property
    def line(self):
        return self.node.lineno + self.offset

    def shape(self):
        return (self.kind, self.name, self.facts.shape(), [(said.digest, said.shape()) for _, said in self.decorators])


def _kind(node):
    if isinstance(node, DEFINITIONS):
        return "define"
    if isinstance(node, ast.Import):
        return "import"
    if isinstance(node, ast.ImportFrom):
        star = any(alias.name == "*" for alias in node.names)
        return "effect" if star or node.module == "__future__" else "import"
    if isinstance(node, ast.Assign):
        return "assign" if all(_plain_target(target) for target in node.targets) else "effect"
    if isinstance(node, ast.AnnAssign):
        return "assign" if isinstance(node.target, ast.Name) else "effect"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return "docstring" if isinstance(node.value.value, str) else "skip"
    if isinstance(node, ast.Pass) or (isinstance(node, ast.If) and not node.orelse and _never(node.test)):
        return "skip"
    return "assign" if node.__class__.__name__ == "TypeAlias" else "effect"


def _plain_target(target):
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(_plain_target(element) for element in target.elts)
    if isinstance(target, ast.Starred):
        return _plain_target(target.value)
    return isinstance(target, ast.Name)


def _never(test):
    """`__name__ == "__main__"` and TYPE_CHECKING do not hold in a container."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        sides = (test.left, test.comparators[0])
        return any(isinstance(s, ast.Name) and s.id == "__name__" for s in sides) and any(
            isinstance(s, ast.Constant) and s.value == "__main__" for s in sides
        )
    chain = chain_of(test)
    return chain in (("TYPE_CHECKING",), ("typing", "TYPE_CHECKING"))


class Chunk:
    """The lines from a statement's first to the one before the next statement's first."""

    __slots__ = ("start", "statements")

    def __init__(self, start, statements):
        self.start = start  # 0-based line
        self.statements = statements


class Module:
    """The last text that parsed, and the fault of the present text if it does not."""

    def __init__(self, path):
        self.path = path
        self.lines = []
        self.chunks = []
        self.fault = None  # (line, column, message, source line)
        self.statements = []
        self.digest = ""
        self.parsed_lines = 0  # of the last update, for tests

    def update(self, text):
        """Takes a new text. True when what the module says has another shape, so that reach must be found anew."""
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        try:
            before, after = self._replace(lines)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.fault = _fault(error, lines)
            return True
        mended, self.fault = self.fault is not None, None
        self.lines = lines
        self.statements = [statement for chunk in self.chunks for statement in chunk.statements]
        self.digest = hashlib.sha256("".join(s.facts.digest for s in self.statements).encode()).hexdigest()[:32]
        return mended or [s.shape() for s in before] != [s.shape() for s in after]

    def _replace(self, lines):
        old = self.lines
        low = 0
        most = min(len(old), len(lines))
        while low < most and old[low] == lines[low]:
            low += 1
        high = 0
        while high < most - low and old[-1 - high] == lines[-1 - high]:
            high += 1
        chunks = self.chunks
        end = len(old) - high  # old lines low..end differ
        # A chunk before the first touched line belongs to the region too: what follows it may have become a part of it (`else:`).
        first = 0
        while first + 1 < len(chunks) and chunks[first + 1].start < low:
            first += 1
        last = first
        while last + 1 < len(chunks) and chunks[last + 1].start < end:
            last += 1
        shift = len(lines) - len(old)
        if chunks and not (first == 0 and last == len(chunks) - 1):
            start = 0 if first == 0 else chunks[first].start
            stop = len(lines) if last == len(chunks) - 1 else chunks[last + 1].start + shift
            fresh = None
            if stop == len(lines) or not lines[stop - 1].endswith("\\"):  # the next chunk would continue its last line
                try:
                    fresh = self._parse(lines, start, stop)
                except (SyntaxError, ValueError):
                    pass  # it may parse as a part of the whole, and if not, the whole's message is the right one
            if fresh is not None:
                before = [s for chunk in chunks[first : last + 1] for s in chunk.statements]
                for chunk in chunks[last + 1 :]:
                    chunk.start += shift
                    for statement in chunk.statements:
                        statement.offset += shift
                self.chunks = chunks[:first] + fresh + chunks[last + 1 :]
                return before, [s for chunk in fresh for s in chunk.statements]
        fresh = self._parse(lines, 0, len(lines))
        before = [s for chunk in chunks for s in chunk.statements]
        self.chunks = fresh
        return before, [s for chunk in fresh for s in chunk.statements]

    def _parse(self, lines, start, stop):
        self.parsed_lines = stop - start
        text = "\n".join(lines[start:stop]) + "\n"
        chunks = []
        end = -1
        for node in ast.parse(text, self.path).body:
            first = min([node.lineno] + [d.lineno for d in getattr(node, "decorator_list", [])]) - 1
            statement = Statement(node, "\n".join(lines[start + first : start + node.end_lineno]))
            statement.offset = start
            if first <= end:  # a second statement on the line where the last one ends
                chunks[-1].statements.append(statement)
            else:
                chunks.append(Chunk(start + first, [statement]))
            end = max(end, node.end_lineno - 1)
        return chunks


def _fault(error, lines):
    line = getattr(error, "lineno", None) or 0
    source = lines[line - 1] if 0 < line <= len(lines) else ""
    message = getattr(error, "msg", None) or str(error) or error.__class__.__name__
    if isinstance(error, (RecursionError, MemoryError)):
        message = "the file is nested too deeply to be understood"
    return (line, getattr(error, "offset", None) or 0, message, source)
