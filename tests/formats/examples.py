"""The example lines that every grammar carries in its comments."""

from fcbench.paths import data_folder

BEYOND = "beyond "


def example_lines(name: str, sign: str, *, within_bounds: bool = False) -> list[str]:
    """Return a grammar's lines after //+ or //-; perhaps only those that a constraint can make."""
    lines = (data_folder("grammars") / f"{name}.lark").read_text(encoding="utf-8").splitlines()
    found = [line.removeprefix(f"//{sign} ") for line in lines if line.startswith(f"//{sign} ")]
    if within_bounds:
        found = [line for line in found if not line.startswith(BEYOND)]
    return [line.removeprefix(BEYOND).replace(r"\n", "\n") for line in found]
