"""Intervals, tests and their power: how sure one may be of a number.

One idea a module, on nothing but the standard library; numpy where random numbers are drawn.
"""

from fcbench.stats._clustered import clustered, mean
from fcbench.stats._coverage import coverage
from fcbench.stats._estimate import Estimate
from fcbench.stats._proportion import Method, clopper_pearson, wilson

__all__ = [
    "Estimate",
    "Method",
    "clopper_pearson",
    "clustered",
    "coverage",
    "mean",
    "wilson",
]
