"""Measures of one source file."""

import ast
import collections
import re


def functions(path: str) -> list[ast.FunctionDef]:
    with open(path, encoding="utf-8", errors="replace") as file:
        tree = ast.parse(file.read())
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def count_functions(path: str) -> int:
    return len(functions(path))


def longest_function(path: str) -> tuple[str, int]:
    name, lines = "", 0
    for node in functions(path):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > lines:
            name, lines = node.name, length
    return name, lines


def words(path: str) -> collections.Counter:
    with open(path, encoding="utf-8", errors="replace") as file:
        return collections.Counter(word.lower() for word in re.findall(r"[A-Za-z]{4,}", file.read()))
