"""A real model on two workers."""

import msgspec
import pytest

import fcbench
from fcbench.errors import MissingExtra
from fcbench.executors import Where

pytest.importorskip("ray")
pytestmark = pytest.mark.model


def told(run):
    return [msgspec.structs.replace(sample, seconds=None) for sample in run.samples]


def test_two_replicas_in_float32_give_the_samples_of_one_process():
    from fcbench.executors._cluster import Cluster

    asked = {"limit": 8, "max_new_tokens": 16, "dtype": "float32"}
    adapter = "results/adapters/mobile-actions-chat"
    try:
        alone = fcbench.run("gemma3-270m", "mobile_actions", adapter=adapter, **asked)
    except MissingExtra as error:
        pytest.skip(str(error))
    where = {"executor": "ray", "workers": 2, "cpus_per_worker": 1}
    cluster = Cluster(Where(**where))
    try:
        spread = fcbench.run("gemma3-270m", "mobile_actions", adapter=adapter, **asked, **where)
    finally:
        cluster.close()
    assert told(spread) == told(alone)
    assert len({sample.text for sample in spread.samples}) > 4
    assert spread.manifest["model"] == alone.manifest["model"]
