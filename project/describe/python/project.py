"""② The project's modules, and what a name in one of them stands for."""

import posixpath

import source


class Project:
    def __init__(self):
        self.modules = {}  # path -> source.Module
        self._resolved = {}  # (folder of the importer, dotted name) -> paths
        self._env = {}  # path -> {name: [statement index]}
        self._imports = {}  # path -> paths of the modules that it imports while it is imported

    def update(self, path, text):
        """True when the reach of functions may be another one now."""
        module = self.modules.get(path)
        known = module is not None
        if not known:
            module = self.modules[path] = source.Module(path)
        reshaped = module.update(text) or not known
        if not known:
            self._resolved.clear()
            self._imports.clear()
        if reshaped:
            self._env.pop(path, None)
            self._imports.pop(path, None)
        return reshaped

    def remove(self, path):
        if self.modules.pop(path, None) is None:
            return False
        self._resolved.clear()
        self._imports.clear()
        self._env.pop(path, None)
        return True

    def env(self, path):
        found = self._env.get(path)
        if found is None:
            found = self._env[path] = {}
            for index, statement in enumerate(self.modules[path].statements):
                if statement.kind != "skip":
                    for name in statement.facts.binds:
                        found.setdefault(name, []).append(index)
        return found

    def find(self, importer, dotted):
        """Paths of the project's module `dotted` as `importer` would import it: from the root, its own folder, or src/."""
        folder = posixpath.dirname(importer)
        key = (folder, dotted)
        found = self._resolved.get(key)
        if found is None:
            found = []
            for base in {"", folder, "src"}:
                stem = posixpath.join(base, dotted.replace(".", "/"))
                for path in (stem + ".py", stem + "/__init__.py"):
                    if path in self.modules and path not in found:
                        found.append(path)
            self._resolved[key] = sorted(found)
        return found

    def absolute(self, importer, level, module):
        """The dotted name, from the project's root, that an import statement means; None when it leaves the project."""
        if level == 0:
            return module
        folder = posixpath.dirname(importer)
        for _ in range(level - 1):
            if not folder:
                return None
            folder = posixpath.dirname(folder)
        return ".".join(part for part in (folder.replace("/", "."), module) if part)

    def targets(self, importer, level, module):
        dotted = self.absolute(importer, level, module)
        if dotted is None:
            return []
        if dotted == "":
            return [path for path in ("__init__.py",) if path in self.modules]
        return self.find("" if level else importer, dotted)

    def executed(self, importer, level, module, name):
        """Paths of the project's modules that an import executes: packages on the way, the module, a submodule of that name."""
        dotted = self.absolute(importer, level, module)
        if dotted is None:
            return []
        parts = [part for part in dotted.split(".") if part]
        if name and name != "*":
            parts.append(name)
        found = []
        origin = "" if level else importer
        for count in range(1, len(parts) + 1):
            found.extend(self.find(origin, ".".join(parts[:count])))
        return found

    def imports(self, path):
        """Paths that importing `path` imports directly."""
        found = self._imports.get(path)
        if found is None:
            seen = set()
            for statement in self.modules[path].statements:
                if statement.kind == "skip":
                    continue
                for said in [statement.facts] + [facts for _, facts in statement.decorators]:
                    for target in said.imports:
                        seen.update(self.executed(path, *target))
            folder = posixpath.dirname(path)
            while folder:  # packages around it are imported first
                if folder + "/__init__.py" in self.modules:
                    seen.add(folder + "/__init__.py")
                folder = posixpath.dirname(folder)
            seen.discard(path)
            found = self._imports[path] = sorted(seen)
        return found

    def resolve(self, path, ref):
        """
        What a reference stands for: ("statement", path, index), ("module", path) for a module as a whole, or
        ("external", text, parts) for something from outside the project.
        """
        if ref[0] == "import":
            return self._imported(path, ref[1], ref[2], ref[3], ref[4:], set())
        return self._named(path, ref[1:], set())

    def _named(self, path, chain, seen):
        key = (path, chain)
        if key in seen:
            return []
        seen.add(key)
        found = []
        for index in self.env(path).get(chain[0], ()):
            statement = self.modules[path].statements[index]
            if statement.kind == "import":
                found.extend(self._through(path, statement.node, chain, seen))
            else:
                found.append(("statement", path, index))
        return found

    def _through(self, path, node, chain, seen):
        """A name that an import statement binds."""
        found = []
        level = getattr(node, "level", None)
        for alias in node.names:
            if level is not None:
                if (alias.asname or alias.name) == chain[0]:
                    found.extend(self._imported(path, level, node.module or "", alias.name, chain[1:], seen))
            elif alias.asname == chain[0]:
                found.extend(self._imported(path, 0, alias.name, "", chain[1:], seen))
            elif alias.asname is None and alias.name.split(".")[0] == chain[0]:
                found.extend(self._imported(path, 0, chain[0], "", chain[1:], seen))
        return found

    def _imported(self, path, level, module, name, attributes, seen):
        """`attributes` of `name` of `module`, or of the module itself when there is no name."""
        modules = self.targets(path, level, module)
        wanted = ((name,) if name else ()) + tuple(attributes)
        outside = wanted
        if not modules and name:  # `from package import module` where the package is a folder without __init__
            dotted = self.absolute(path, level, module)
            modules = self.find("" if level else path, ".".join(part for part in (dotted, name) if part)) if dotted is not None else []
            wanted = tuple(attributes)
        if not modules and not name and attributes:  # `import folder.module`
            dotted, rest = module, list(attributes)
            while rest and not modules:
                dotted += "." + rest.pop(0)
                modules = self.find(path, dotted)
            wanted = tuple(rest)
        if not modules:
            return [("external", "%s%s %s" % ("." * level, module, name), tuple(module.split(".")) + outside)]
        found = []
        for target in modules:
            found.extend(self._inside(target, wanted, seen))
        return found

    def _inside(self, target, wanted, seen):
        """`a.b.c` looked up in a module of the project: a name of it, or a submodule."""
        if not wanted:
            return [("module", target)]
        name = wanted[0]
        found = self._named(target, wanted, seen) if name in self.env(target) else []
        if target.endswith("__init__.py"):
            folder = posixpath.dirname(target)
            for path in (posixpath.join(folder, name + ".py"), posixpath.join(folder, name, "__init__.py")):
                if path in self.modules:
                    found.extend(self._inside(path, wanted[1:], seen))
        if not found and (target, wanted) not in seen and name not in self.env(target):
            return [("module", target)]  # __getattr__, a star import, or a mistake: the module as a whole
        return found
