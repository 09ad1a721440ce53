"""Measures the Python standard library's own source, inside the image: real input that every machine has.

Edit a function while the workbench is open, save, and see it answer again. `survey` calls `profile` once for each module, over
all warm containers at once.
"""

import hob

from measure.library import module_paths
from measure.source import count_functions, longest_function, words

app = hob.App("quickstart")
image = hob.Image.host()


@app.function(image=image, timeout=10)
def longest(module: str = "argparse") -> dict:
    """The longest function of one module."""
    path = module_paths()[module]
    name, lines = longest_function(path)
    print(f"{module}: read {path}")
    return {"module": module, "function": name, "lines": lines}


@app.function(image=image, timeout=10)
def profile(module: str) -> dict:
    """How many functions and lines a module has."""
    path = module_paths()[module]
    return {"module": module, "functions": count_functions(path), "lines": sum(1 for _ in open(path, errors="replace"))}


@app.function(image=image, timeout=120)
def survey(limit: int = 40) -> dict:
    """The modules with most functions, each one measured by a call of its own."""
    names = sorted(module_paths())[:limit]
    rows = []
    for done, row in enumerate(profile.map(names), start=1):
        rows.append(row)
        if done % 10 == 0:
            print(f"{done} of {len(names)} modules")
    rows.sort(key=lambda row: row["functions"], reverse=True)
    return {"modules": len(rows), "functions": sum(row["functions"] for row in rows), "top": rows[:3]}


@app.function(image=image, timeout=60)
def histogram(module: str = "typing", top: int = 8) -> dict:
    """The most frequent words of a module's source."""
    return dict(words(module_paths()[module]).most_common(top))


@app.local()
def main(limit: int = 40):
    """`hob run examples/quickstart/app.py`: the survey, printed here."""
    result = survey.remote(limit)
    for row in result["top"]:
        print(f"{row['module']:<20} {row['functions']:>5} functions {row['lines']:>6} lines")
    return result
