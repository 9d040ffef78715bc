"""pydoc teaches the library: every module can be shown, and what is public says what it is."""

import importlib
import inspect
import pkgutil
import pydoc

import pytest

import fcbench
from fcbench.cli import COMMANDS

MODULES = [
    info.name
    for info in pkgutil.walk_packages(fcbench.__path__, "fcbench.")
    if not any(part.startswith("_") for part in info.name.split("."))
]
TAUGHT = ["runs", "suite", "formats", "prompts", "matching", "metrics", "stats", "lint", "types"]
"""The packages that a reader learns the library from: each has an example that runs."""


def load(name):
    try:
        return importlib.import_module(name)
    except fcbench.FcbenchError as error:
        pytest.skip(str(error))  # an extra that is not installed
    except ImportError as error:
        if str(error.name).startswith("fcbench"):
            raise
        pytest.skip(str(error))


def public(module):
    """What a module offers: its __all__, or what is defined in it and has no underscore."""
    for name in getattr(module, "__all__", None) or vars(module):
        found = getattr(module, name)
        is_own = str(getattr(found, "__module__", "")).startswith(module.__name__)
        if (
            not name.startswith("_")
            and is_own
            and (inspect.isclass(found) or inspect.isfunction(found))
        ):
            yield name, found


@pytest.mark.parametrize("name", MODULES)
def test_pydoc_shows_every_module(name):
    # A record whose fields have types that are not there when it runs cannot be shown.
    text = pydoc.plain(pydoc.render_doc(load(name)))
    assert text.startswith(
        f"Python Library Documentation: {'module' if name.count('.') else ''}"[:30]
    )
    assert name in text


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_says_what_it_is(name):
    module = load(name)
    assert module.__doc__
    assert module.__doc__.split("\n")[0].strip()
    for own, found in public(module):
        assert inspect.getdoc(found), f"{name}.{own} has no docstring"
        if inspect.isclass(found):
            for method, member in vars(found).items():
                if inspect.isfunction(member) and not method.startswith("_"):
                    assert inspect.getdoc(member), f"{name}.{own}.{method} has no docstring"


@pytest.mark.parametrize("name", TAUGHT)
def test_the_main_packages_teach_by_examples_that_run(name):
    module = load(f"fcbench.{name}")
    texts = [module.__doc__, *(inspect.getdoc(found) or "" for _, found in public(module))]
    assert any(">>> " in text for text in texts)


def test_every_option_of_a_run_is_told():
    from fcbench.runs import Options

    for name in Options.__annotations__:
        assert f"\n  {name} " in inspect.getdoc(Options), name


def test_every_command_is_a_module_with_a_purpose():
    for name, purpose in COMMANDS.items():
        module = importlib.import_module(f"fcbench.cli.{name}")
        assert module.__doc__.startswith(f"python -m fcbench {name}")
        assert purpose
        assert purpose[0].islower()
