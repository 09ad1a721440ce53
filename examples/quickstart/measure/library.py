"""Which modules the image's standard library has."""

import pathlib
import sysconfig


def module_paths() -> dict[str, str]:
    """Top-level pure-Python modules by name."""
    folder = pathlib.Path(sysconfig.get_paths()["stdlib"])
    return {path.stem: str(path) for path in folder.glob("*.py") if not path.stem.startswith("_")}
