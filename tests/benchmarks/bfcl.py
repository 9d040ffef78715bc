"""bfcl-eval's own decoder and checker, from its wheel, without what else it would install.

Source: bfcl-eval 2026.3.23 on PyPI, Apache-2.0. The wheel is downloaded to the cache folder and
read from there; nothing of it is copied into this repository.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from fcbench.paths import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VERSION = "2026.3.23"
WHEEL = f"bfcl_eval-{VERSION}-py3-none-any.whl"
SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
MODEL = "any"  # ast_checker looks up a model's name, to know how it spells dots in function names


class Unavailable(Exception):
    """bfcl-eval cannot be had here, and why."""


def load() -> tuple[Callable[[str], Any], Callable[..., bool]]:
    """Return bfcl-eval's decoder, and a function that decodes and checks as its runner does.

    The first takes a turn and raises for what it cannot decode. The second takes a turn, function
    docs, possible answers and a category, and says whether the turn is right. Raises Unavailable.
    """
    sys.path.insert(0, str(_wheel()))
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


def _wheel() -> Path:
    wheel = cache_folder() / "bfcl-eval" / WHEEL
    if not wheel.is_file():
        wheel.parent.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary", ":all:", "--dest", str(wheel.parent)),
            f"bfcl-eval=={VERSION}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not wheel.is_file():
            last = done.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
            raise Unavailable(f"pip cannot download bfcl-eval {VERSION}: {last[0]}")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        raise Unavailable(f"{WHEEL} in the cache has SHA-256 {found}, expected {SHA256}")
    return wheel
