"""Losses and measurements as JSON lines, a drawing, and lines for a terminal."""

import json
import xml.etree.ElementTree as ET

import pytest

import fcbench
from fcbench.train._curves import Curves
from tests import tiny


def scores(n_right):
    """Scores over the 16 tiny cases of which so many are right and the others malformed."""
    cases = tiny.cases()
    texts = {
        case.id: fcbench.render(case.expected[0]) if i < n_right else "<start_function_call>"
        for i, case in enumerate(cases)
    }
    suite = fcbench.Suite("tiny", cases, sha256="", source="")
    return fcbench.score(texts, suite=suite)


@pytest.fixture
def curves(tmp_path):
    made = Curves(tmp_path, up_to=0)
    for step in range(1, 9):
        made.add_loss(step, step / 8, 4.0 / step, 1e-3)
        if step % 4 == 0:
            made.add_calls(step, step / 8, scores(2 * step))
    return made


def test_a_measurement_has_its_n_and_interval(curves, tmp_path):
    lines = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert lines == curves.lines
    half = curves.measured[0]["calls"]["argument_exact_match"]
    assert (half["value"], half["n"]) == (0.5, 16)
    assert half["low"] < 0.3
    assert half["high"] > 0.7
    assert curves.last_measured == 8


def test_the_terminal_shows_the_mean_loss_of_the_steps_since_the_last_measurement(curves):
    text = curves.text()
    assert "loss 4 █▄▃▂▂▁▁▁ 0.5" in text
    rows = [line.split()[:2] for line in text.splitlines() if line[:1].isdigit()]
    means = [sum(4 / s for s in steps) / 4 for steps in (range(1, 5), range(5, 9))]
    assert rows == [["4", f"{means[0]:.3f}"], ["8", f"{means[1]:.3f}"]]
    assert "50 [28–72]" in text


def test_abstention_is_measured_where_cases_expect_no_call(tmp_path):
    cases = tiny.cases()
    texts = {case.id: fcbench.render(case.expected[0]) for case in cases}
    silent = fcbench.Case("silent", [{"role": "user", "content": "Hello."}], cases[0].tools, [[]])
    suite = fcbench.Suite("tiny", [*cases, silent], sha256="", source="")
    made = Curves(tmp_path, up_to=0)
    called = fcbench.score({**texts, "silent": texts[cases[0].id]}, suite=suite)
    line = made.add_calls(1, 0.5, called)
    assert (line["calls"]["abstention"]["value"], line["calls"]["abstention"]["n"]) == (0.0, 1)
    said = fcbench.score({**texts, "silent": "Hello."}, suite=suite)
    assert "abstention 100 [" in made.sentence(made.add_calls(2, 1.0, said))
    header, _, first, second, *_ = made.text().splitlines()
    assert header.split()[-1] == "abstention"
    assert [row.split()[-2] for row in (first, second)] == ["0", "100"]
    assert "16 cases that expect a call; abstention of 1 that expect none" in made.text()
    assert Curves(tmp_path).lines == made.lines


def test_the_drawing_is_xml_with_a_line_a_curve(curves, tmp_path):
    root = ET.fromstring((tmp_path / "curves.svg").read_text("utf-8"))
    name = "{http://www.w3.org/2000/svg}"
    lines = root.findall(f"{name}polyline")
    assert [len(line.get("points").split()) for line in lines] == [8, 2, 2, 2]
    assert len(root.findall(f"{name}polygon")) == 3
    texts = {t.text for t in root.findall(f"{name}text")}
    assert {"loss", "argument exact match", "100", "step"} <= texts
    # A value of 100 % stands at the top of its panel, and a loss of 4 below the top of its own.
    points = [tuple(map(float, p.split(","))) for p in lines[3].get("points").split()]
    assert points[1][1] < points[0][1]


def test_curves_of_nothing_can_be_drawn(tmp_path):
    assert ET.fromstring(Curves(tmp_path).svg()) is not None
    assert Curves(tmp_path).text() == ""


def test_going_on_drops_what_was_done_after_the_checkpoint_and_half_a_line(curves, tmp_path):
    with (tmp_path / "curves.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    again = Curves(tmp_path, up_to=6)
    assert [line["step"] for line in again.losses] == list(range(1, 7))
    assert [line["step"] for line in again.measured] == [4]
    again.add_loss(7, 1.0, 0.1, None)
    assert Curves(tmp_path).lines == again.lines
