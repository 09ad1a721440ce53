"""② Images: a function's root filesystem, as a base and steps. Each method gives another image; nothing is built where it is written."""

from __future__ import annotations

import posixpath
import re
from typing import Any

_suite = re.compile(r"[a-z][a-z0-9-]{0,31}")
_tag = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_reference = re.compile(
    r"(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+(?=:\d))(?::\d{1,5})?/)?"
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    rf"(?::{_tag}|@sha256:[0-9a-f]{{64}}|:{_tag}@sha256:[0-9a-f]{{64}})"
)
_apt = re.compile(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?(?:=[A-Za-z0-9.+:~-]+|/[a-z][a-z0-9-]*)?")
_pip = re.compile(r"[A-Za-z0-9][^\x00-\x1f\x7f]*")
_npm = re.compile(r"[@A-Za-z0-9][^\x00-\x20\x7f]*")
_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_user = re.compile(r"[a-z_][a-z0-9_-]{0,31}|\d{1,10}")


class Image:
    """Made by `host`, `debian` and `oci`; immutable. `definition` is what `hob` reads."""

    __slots__ = ("definition",)

    definition: dict[str, Any]

    def __init__(self, source: str, reference: str = "", steps: tuple[dict[str, Any], ...] = ()) -> None:
        object.__setattr__(self, "definition", {"source": source, "reference": reference, "steps": list(steps)})

    @classmethod
    def host(cls) -> Image:
        """The agent's own Python and Node runtimes, captured once as a content-addressed image."""
        return cls("host")

    @classmethod
    def debian(cls, suite: str = "bookworm") -> Image:
        """A minimal Debian of that suite, with its package manager."""
        return cls("debian", _checked("debian", suite, _suite, "a suite", 'Image.debian("bookworm")'))

    @classmethod
    def oci(cls, reference: str) -> Image:
        """An image of a registry, by its name with a tag or a digest; a name without a host is one of Docker's own registry."""
        example = 'Image.oci("registry.example/team/name:1.0")'
        return cls("oci", _checked("oci", reference, _reference, "HOST/NAME:TAG or HOST/NAME@sha256:DIGEST", example))

    def apt_install(self, *packages: str) -> Image:
        """Packages of the distribution; for example `apt_install("python3-numpy", "ffmpeg")`."""
        return self._with("apt", _list("apt_install", packages, _apt, "a package's name", '"python3-numpy"'))

    def pip_install(self, *packages: str) -> Image:
        """Python packages, as pip takes them; for example `pip_install("httpx", "numpy>=2")`."""
        return self._with("pip", _list("pip_install", packages, _pip, "a requirement", '"numpy>=2"'))

    def npm_install(self, *packages: str) -> Image:
        """Node packages, as npm takes them, importable from anywhere; for example `npm_install("zod@4")`."""
        return self._with("npm", _list("npm_install", packages, _npm, "a package", '"zod@4"'))

    def run(self, *commands: str) -> Image:
        """Shell commands, each a step of its own."""
        for command in _some("run", commands, '"make install"'):
            if not isinstance(command, str) or not command.strip() or "\0" in command:
                raise ValueError(f'run({command!r}) is not a command; write for example run("make install")')
        return self._and([{"kind": "run", "arguments": [command]} for command in commands])

    def copy(self, source: str, target: str) -> Image:
        """
        A file or a folder of the project, by its path from the project's folder. A folder's files go below `target`; a file becomes `target`, or goes
        into it when that ends with a slash. What .gitignore and .hobignore name stays out; an edit of a file makes another image.
        """
        example = 'copy("assets", "/srv/assets")'
        if not isinstance(source, str) or not source or "\0" in source or "\\" in source:
            raise ValueError(f"copy({source!r}, …) is not a path in the project; write for example {example}")
        clean = posixpath.normpath(source)
        if clean.startswith("/") or clean == ".." or clean.startswith("../"):
            raise ValueError(f"copy({source!r}, …) lies outside the project; give a path from the project's folder: {example}")
        return self._and([{"kind": "copy", "arguments": [_absolute("copy", target, example)], "source": clean}])

    def env(self, **variables: str) -> Image:
        """Environment variables; for example `env(LANG="C.UTF-8")`."""
        steps = []
        for name, value in variables.items():
            if not _name.fullmatch(name):
                raise ValueError(f'env: {name!r} is not a variable\'s name; write for example env(LANG="C.UTF-8")')
            if not isinstance(value, str) or "\0" in value:
                raise TypeError(f'env({name}={value!r}): a variable\'s value is text; write for example env({name}="1")')
            steps.append({"kind": "env", "arguments": [name, value]})
        _some("env", steps, 'LANG="C.UTF-8"')
        return self._and(steps)

    def workdir(self, path: str) -> Image:
        """The folder in which later steps run."""
        return self._with("workdir", [_absolute("workdir", path, 'workdir("/srv")')])

    def user(self, name: str) -> Image:
        """Who later steps run as: a name that the image knows, or a number."""
        return self._with("user", [_checked("user", name, _user, "a user's name or number", 'user("nobody")')])

    def _with(self, kind: str, arguments: list[str]) -> Image:
        return self._and([{"kind": kind, "arguments": arguments}])

    def _and(self, steps: list[dict[str, Any]]) -> Image:
        source, reference, before = self.definition["source"], self.definition["reference"], self.definition["steps"]
        return Image(source, reference, (*before, *steps))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an image does not change: {name} cannot be set; each method gives another image")

    def __repr__(self) -> str:
        reference = self.definition["reference"]
        kinds = [step["kind"] + "_install" * (step["kind"] in ("apt", "pip", "npm")) for step in self.definition["steps"]]
        steps = "".join(f".{kind}(…)" for kind in kinds)
        return f"Image.{self.definition['source']}({repr(reference) if reference else ''}){steps}"


def _some(method: str, given: Any, example: str) -> Any:
    if not given:
        raise TypeError(f"{method}() has nothing to do; write for example {method}({example})")
    return given


def _list(method: str, given: tuple[str, ...], pattern: re.Pattern[str], what: str, example: str) -> list[str]:
    return [_checked(method, one, pattern, what, f"{method}({example})") for one in _some(method, given, example)]


def _checked(method: str, value: Any, pattern: re.Pattern[str], what: str, example: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{method}({value!r}) is not {what}; write for example {example}")
    return value


def _absolute(method: str, path: Any, example: str) -> str:
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise ValueError(f"{method}: {path!r} is not an absolute path in the image; write for example {example}")
    clean = posixpath.normpath(path)
    clean = "/" + clean.lstrip("/")
    return clean + "/" if method == "copy" and path.endswith("/") and clean != "/" else clean
