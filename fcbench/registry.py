"""Name -> module: one scan of a package's folder, plus entry points for other packages.

Adding a format, backend, metric, matcher or prompt mode is adding one file: its name is its
registry name. Other packages add theirs with an entry point in the group `fcbench.<kind>`, which
names a module like ours: `polite = "my_package.polite"`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from fcbench.errors import UsageError, nearest

if TYPE_CHECKING:
    from types import ModuleType


@cache
def _modules(kind: str) -> dict[str, str]:
    package = importlib.import_module(f"fcbench.{kind}")
    ours = {
        info.name: f"fcbench.{kind}.{info.name}"
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_") and info.name not in getattr(package, "UNREGISTERED", ())
    }
    theirs = {point.name: point.value for point in entry_points(group=f"fcbench.{kind}")}
    # Ours win: an installed package must not change what a published name means.
    return theirs | ours


def names(kind: str) -> list[str]:
    """Return the sorted names of a kind: formats, backends, metrics, matching or prompts."""
    return sorted(_modules(kind))


@cache
def load(kind: str, name: str) -> ModuleType:
    """Return the module behind a name. An unknown name is a UsageError that names the nearest.

    UsageError too for a module of another package that cannot be imported.
    """
    modules = _modules(kind)
    if name not in modules:
        raise UsageError(f"no such name among {kind}: {name}", hint=nearest(name, modules))
    module = modules[name]
    if module.startswith("fcbench."):
        return importlib.import_module(module)
    try:
        return importlib.import_module(module)
    # The boundary to another package: importing it may raise anything.
    except Exception as error:
        raise UsageError(
            f"{name} among {kind} is the module {module} of another package, and cannot be "
            f"imported: {type(error).__name__}: {error}",
            hint="mend the package, or uninstall it; an entry point names a module, nothing in it",
        ) from error
