"""The calculation of what many models cost, by hand."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.scale import Measured, Stated, as_markdown, row

STATED = Stated(
    models=10, cases=3600, gpu_tflops=1.0, gpu_share_reached=0.5, gpu_dollars=3.0, cpu_dollars=1.0,
    storage_gb_per_second=2.0, bytes_per_parameter=2.0,
)  # fmt: skip
MEASURED = Measured(
    driver_seconds_per_answer=0.01, driver_seconds_per_answer_without_ray=0.005, driver_answers=9,
    judging_seconds_per_answer=0.002, start_seconds=9.0, cpu_answers_per_second=2.0, cpus=2,
    prompt_tokens=200, answer_tokens=50, sample_bytes=500, prompt_bytes=1000,
)  # fmt: skip
STORED = Path(__file__).parents[2] / "results" / "benchmarks" / "scale.json"


def test_hours_and_dollars_are_those_of_a_calculation_by_hand():
    found = row(STATED, MEASURED, billions=1.0)
    # 2 x 1e9 x 250 operations an answer, at 0.5e12 a second: one answer a second.
    assert found["answers_per_second"] == pytest.approx(1.0)
    assert found["loading_seconds"] == pytest.approx(9 + 2 / 2)
    assert found["hours"] == pytest.approx(
        {"generating": 10, "loading": 100 / 3600, "driving": 0.1, "judging": 0.02}
    )
    assert found["longest"] == "generating"
    assert found["dollars"] == pytest.approx((10 + 100 / 3600) * 3 + 0.12)
    assert found["gpus_per_driver"] == pytest.approx(100)
    assert found["log_gb"] == pytest.approx(36_000 * 500 / 1e9)


def test_more_gpus_than_one_driver_hears_are_no_faster():
    one, eight, many = row(STATED, MEASURED, billions=0.1)["one_model"]
    loading = 9.1
    assert one["seconds"] == pytest.approx(loading + 360)
    assert eight["seconds"] == pytest.approx(loading + 45)
    assert many["seconds"] == pytest.approx(loading + 36)  # 100 answers a second, not 640


def test_the_stored_page_is_what_the_stored_numbers_say():
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    stated, measured = Stated(**stored["stated"]), Measured(**stored["measured"])
    assert stored["rows"] == [row(stated, measured, found["billions"]) for found in stored["rows"]]
    assert STORED.with_suffix(".md").read_text(encoding="utf-8") == as_markdown(stored)
