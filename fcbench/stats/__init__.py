"""Intervals, tests and their power: how sure one may be of a number.

One idea a module, on nothing but the standard library; numpy where random numbers are drawn.
"""

from fcbench.stats._clustered import clustered, clustered_means, mean
from fcbench.stats._coverage import coverage
from fcbench.stats._difference import non_inferiority, paired_bootstrap
from fcbench.stats._estimate import Estimate
from fcbench.stats._paired import Alternative, mcnemar, sign_flip
from fcbench.stats._power import detectable_difference, smallest_significant
from fcbench.stats._proportion import Method, clopper_pearson, wilson
from fcbench.stats._repeats import pass_at_k, pass_hat_k
from fcbench.stats._several import holm

__all__ = [
    "Alternative",
    "Estimate",
    "Method",
    "clopper_pearson",
    "clustered",
    "clustered_means",
    "coverage",
    "detectable_difference",
    "holm",
    "mcnemar",
    "mean",
    "non_inferiority",
    "paired_bootstrap",
    "pass_at_k",
    "pass_hat_k",
    "sign_flip",
    "smallest_significant",
    "wilson",
]
