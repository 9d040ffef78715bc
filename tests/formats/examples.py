"""What tests of several formats share: the grammars' example lines, and values with their types."""

from fcbench.paths import data_folder

BEYOND = "beyond "


def example_lines(name: str, sign: str, *, within_bounds: bool = False) -> list[str]:
    """Return a grammar's lines after //+ or //-; perhaps only those that a constraint can make."""
    lines = (data_folder("grammars") / f"{name}.lark").read_text(encoding="utf-8").splitlines()
    found = [line.removeprefix(f"//{sign} ") for line in lines if line.startswith(f"//{sign} ")]
    if within_bounds:
        found = [line for line in found if not line.startswith(BEYOND)]
    return [line.removeprefix(BEYOND).replace(r"\n", "\n") for line in found]


def typed(value: object) -> object:
    """Return a value that differs wherever JSON types differ: 1 from 1.0 and True, 0.0 from -0.0."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value).__name__, repr(value)
