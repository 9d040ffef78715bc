"""bfcl-eval's own decoder and checker, from its wheel, without what else it would install.

Source: bfcl-eval 2026.3.23 on PyPI, Apache-2.0. The wheel is fetched to the cache folder and read
from there; nothing of it is copied into this repository.
"""

from __future__ import annotations

import os
import sys
import tempfile
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from fcbench.errors import SuiteError
from fcbench.suite._bfcl_wheel import VERSION, fetch_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VERSION", "Unavailable", "load"]
MODEL = "any"  # ast_checker looks up a model's name, to know how it spells dots in function names


class Unavailable(Exception):
    """bfcl-eval cannot be had here, and why."""


def load() -> tuple[Callable[[str], Any], Callable[..., bool]]:
    """Return bfcl-eval's decoder, and a function that decodes and checks as its runner does.

    The first takes a turn and raises for what it cannot decode. The second takes a turn, function
    docs, possible answers and a category, and says whether the turn is right. Raises Unavailable.
    """
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
        from bfcl_eval.constants.enums import Language, ReturnFormat
        from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker
        from bfcl_eval.model_handler.utils import default_decode_ast_prompting
        from bfcl_eval.utils import is_function_calling_format_output
    except ImportError as error:
        raise Unavailable(f"{error}; pip install '.[bench]'") from error

    def decode(text: str) -> Any:
        return default_decode_ast_prompting(text, ReturnFormat.PYTHON)

    def is_right(text: str, functions: Any, answers: Any, category: str) -> bool:
        # The steps of _evaluate_single_ast_entry in its eval_runner.
        try:
            decoded = default_decode_ast_prompting(text, ReturnFormat.PYTHON)
        except Exception:  # noqa: BLE001  its decoder raises whatever went wrong
            return False
        if not is_function_calling_format_output(decoded):
            return False
        verdict = ast_checker(functions, decoded, answers, Language.PYTHON, category, MODEL)
        return bool(verdict["valid"])

    return decode, is_right
