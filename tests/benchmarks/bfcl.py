"""bfcl-eval's own decoder and checker, from its wheel, without what else it would install.

Source: bfcl-eval 2026.3.23 on PyPI, Apache-2.0. The wheel is fetched to the cache folder and read
from there; nothing of it is copied into this repository.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench.errors import SuiteError
from fcbench.suite._bfcl_wheel import VERSION, fetch_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VERSION", "Unavailable", "load"]
MODEL = "any"  # ast_checker looks up a model's name, to know how it spells dots in function names


class Unavailable(Exception):
    """bfcl-eval cannot be had here, and why."""


class BfclEval(NamedTuple):
    """What bfcl-eval does. Each function raises whatever its own code raises.

    `decode` takes a turn. `check` takes function docs, decoded calls, possible answers and a
    category, and says whether the calls are right. `is_right` takes a turn, function docs, possible
    answers and a category, and does both as its runner does.
    """

    decode: Callable[[str], Any]
    check: Callable[[Any, Any, Any, str], bool]
    is_right: Callable[[str, Any, Any, str], bool]


def load() -> BfclEval:
    """Return bfcl-eval's decoder and checker. Raises Unavailable."""
    try:
        sys.path.insert(0, str(fetch_wheel()))
    except SuiteError as error:
        raise Unavailable(error.message) from error
    # It makes folders for results as soon as it is imported.
    os.environ.setdefault("BFCL_PROJECT_ROOT", tempfile.mkdtemp(prefix="bfcl-"))
    # The real module imports the handler of every API, and with them 149 packages.
    stub = ModuleType("bfcl_eval.constants.model_config")
    stub.MODEL_CONFIG_MAPPING = {MODEL: SimpleNamespace(underscore_to_dot=False)}
    sys.modules[stub.__name__] = stub
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what its sources and requirements are warned of
            from bfcl_eval.constants.enums import Language, ReturnFormat
            from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker
            from bfcl_eval.model_handler.utils import default_decode_ast_prompting
            from bfcl_eval.utils import is_function_calling_format_output
    except ImportError as error:
        raise Unavailable(f"{error}; pip install '.[bench]'") from error

    def decode(text: str) -> Any:
        return default_decode_ast_prompting(text, ReturnFormat.PYTHON)

    def check(functions: Any, calls: Any, answers: Any, category: str) -> bool:
        verdict = ast_checker(functions, calls, answers, Language.PYTHON, category, MODEL)
        return bool(verdict["valid"])

    def is_right(text: str, functions: Any, answers: Any, category: str) -> bool:
        # The steps of _evaluate_single_ast_entry in its eval_runner.
        try:
            decoded = decode(text)
        except Exception:  # noqa: BLE001  its decoder raises whatever went wrong
            return False
        if not is_function_calling_format_output(decoded):
            return False
        return check(functions, decoded, answers, category)

    return BfclEval(decode, check, is_right)
