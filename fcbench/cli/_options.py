"""What several commands understand."""

from __future__ import annotations

import argparse


def threshold(text: str) -> tuple[str, float]:
    """Return METRIC=X as a pair; X is a share between 0 and 1."""
    from fcbench.errors import nearest
    from fcbench.metrics import metric_names

    name, equals, value = text.partition("=")
    names = metric_names()
    if not equals:
        raise argparse.ArgumentTypeError(f"expected METRIC=X, got {text}")
    if name not in names:
        raise argparse.ArgumentTypeError(f"no such metric: {name} ({nearest(name, names)})")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {value}")
    return name, share
