"""The HTML report without a browser: what is in it, and that nothing in it is markup of others."""

import base64
import hashlib
import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest

import fcbench
from fcbench.cli import main
from fcbench.errors import RunError
from fcbench.report.html import read_log, report
from fcbench.report.html._evidence import evidence
from fcbench.report.html._gather import gathered_of
from fcbench.report.html._subject import groups_of, subjects_of
from fcbench.report.html._text import INVISIBLE, shown
from tests.report import hostile

RESULTS = Path(__file__).parent.parent.parent / "results"
CHAT = "mobile_actions-40--gemma3-270m--mobile-actions-chat--chat"
BARE = "mobile_actions-40--gemma3-270m--mobile-actions-chat--bare"
EXPERIMENT = "original_experiment--gemma3-270m--mobile-actions-chat--chat"
RIGHT = fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})])
WRONG = fcbench.render([fcbench.Call("show_map", {"query": "Bergen"})])


def words_of(text):
    return set(text.split())


# Every element and attribute that the template and the drawings write; a text brings no others.
TAGS = words_of(
    """html head meta title style body a header h1 h2 h3 p nav ul li button main section table caption
    thead tbody tr th td div span details summary figure figcaption dl dt dd pre code strong bdi wbr
    svg line circle rect polyline polygon text noscript article footer script"""
)
ATTRIBUTES = words_of(
    """lang charset http-equiv content name class href role id type hidden scope tabindex aria-label
    aria-hidden focusable data-label open title viewbox width height x y x1 x2 y1 y2 cx cy r points
    fill-opacity stroke-width text-anchor font-weight xmlns preserveaspectratio"""
)


class Page(HTMLParser):
    """Collects the elements of a page, its visible words, and what scripts and styles hold."""

    def __init__(self, html):
        super().__init__()
        self.html = html
        self.elements, self.words, self.raw = [], [], {}
        self._inside = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self._inside = tag if tag == "style" else dict(attributes).get("type", "code")

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside = None

    def handle_data(self, data):
        if self._inside:
            self.raw[self._inside] = self.raw.get(self._inside, "") + data
        else:
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def data(self):
        return json.loads(self.raw["application/json"])


def report_of_stored_runs():
    """Return the report of three stored runs over two suites, with a training log."""
    paths = [str(RESULTS / name) for name in (BARE, CHAT, EXPERIMENT)]
    log = read_log(RESULTS / "original_experiment" / "curves-chat.jsonl")
    return report(paths, [fcbench.score(path) for path in paths], [log])


@pytest.fixture(scope="module")
def stored():
    return Page(report_of_stored_runs())


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    paths, scores = hostile.scored(tmp_path_factory.mktemp("hostile"))
    return Page(report(paths, scores, title=hostile.ATTACKS[1]))


@pytest.fixture
def outputs(write_lines, case_row):
    """Return a function that scores outputs of three cases and returns the parsed report of them."""
    suite = write_lines(
        case_row(id="a", tags=["x"]), case_row(id="b", tags=["x"]), case_row(id="c")
    )

    def made(*texts, names=None):
        names = names or [f"out{i}.jsonl" for i in range(len(texts))]
        scores = [fcbench.score(found, suite=suite) for found in texts]
        return Page(report(names, scores))

    return made


def test_the_same_runs_make_the_same_report(stored):
    assert report_of_stored_runs() == stored.html


def test_numbers_are_those_of_the_scores(stored):
    text = stored.text
    for name in (BARE, CHAT, EXPERIMENT):
        found = fcbench.score(RESULTS / name).metrics["argument_exact_match"]
        low, high = (f"{100 * bound:.1f}" for bound in (found.low, found.high))
        assert f"{100 * found.value:.1f} {low}–{high} of {found.n}" in text


def test_tables_and_charts_need_no_script(stored):
    page = stored
    kinds = {attributes.get("class") for attributes in page.all("svg")}
    assert kinds == {"whiskers", "bars", "histogram", "curves"}
    for section in ("Leaderboard", "Metrics by tag", "What the turns were", "Comparisons"):
        assert section in page.text
    assert "stray whitespace" in page.text
    assert "create_calendar_event" in page.text.replace("_ ", "_")


@pytest.mark.parametrize("name", ["stored", "attacked"])
def test_no_text_becomes_an_element_or_an_attribute(name, request):
    page = request.getfixturevalue(name)
    assert {tag for tag, _ in page.elements} <= TAGS
    assert {key for _, attributes in page.elements for key in attributes} <= ATTRIBUTES
    assert len(page.all("script")) == 2
    assert [a["type"] for a in page.all("script") if a] == ["application/json"]
    assert all(a["href"].startswith("#") for a in page.all("a"))


@pytest.mark.parametrize("name", ["stored", "attacked"])
def test_the_policy_allows_the_page_s_own_script_and_style_by_their_hashes_alone(name, request):
    page = request.getfixturevalue(name)
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    assert allowed["default-src"] == "'none'"
    for directive, kind in (("script-src", "code"), ("style-src", "style")):
        digest = hashlib.sha256(page.raw[kind].encode()).digest()
        assert allowed[directive] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert "unsafe" not in policy
    # A policy that comes after a script does not hold for it.
    kinds = [tag for tag, a in page.elements if "http-equiv" in a or tag in ("script", "style")]
    assert kinds == ["meta", "style", "script", "script"]


def test_the_script_never_reads_a_string_as_markup_or_code(stored):
    script = stored.raw["code"]
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert forbidden not in script
    assert not re.search(r"setAttribute\(\s*.style", script)
    assert "http" not in script


def test_attacks_arrive_in_the_data_as_they_were(attacked):
    (group,) = attacked.data["groups"]
    assert "</" not in attacked.raw["application/json"]
    for i, attack in enumerate(hostile.ATTACKS):
        case = group["cases"][i]
        assert case["id"] == f"{i} {attack}"
        assert case["tags"] == [attack]
        assert [message[1] for message in case["messages"]] == [attack, attack]
        assert case["runs"][1][0]["text"] == attack
    assert group["cases"][-2]["runs"][0][0]["text"] == hostile.LONG["long"]


def test_nothing_invisible_is_left_outside_the_data(attacked):
    invisible = {chr(c) for a, b in INVISIBLE for c in range(a, b + 1)} - {"\n"}
    assert not invisible & set("".join(attacked.words))
    values = [v or "" for _, attributes in attacked.elements for v in attributes.values()]
    assert not invisible & set("".join(values))


def test_every_character_that_has_no_shape_counts_as_invisible():
    found = {chr(c) for a, b in INVISIBLE for c in range(a, b + 1)}
    shapeless = [
        chr(c)
        for c in range(0x110000)
        if unicodedata.category(chr(c)) in ("Cc", "Cf", "Zs", "Zl", "Zp", "Cs", "Co")
    ]
    left = {c for c in shapeless if c not in found}
    # A space is one, and these signs of Arabic, Syriac and Kaithi are drawn.
    drawn = "0600 0601 0602 0603 0604 0605 06DD 070F 0890 0891 08E2 110BD 110CD"
    assert left == {" ", *(chr(int(code, 16)) for code in drawn.split())}
    assert shown("\ud800") == '<bdi><span class="unseen" title="lone surrogate">U+D800</span></bdi>'


def test_prompts_in_pieces_are_the_prompts_that_were_sent(stored):
    data = stored.data
    folder = RESULTS / CHAT
    rows = map(json.loads, (folder / "prompts.jsonl").read_text(encoding="utf-8").splitlines())
    sent = {row["prompt"] for row in rows}
    chat = [case["runs"][1][0] for case in data["groups"][0]["cases"]]
    joined = {"".join(data["pieces"][i] for i in answer["prompt"]) for answer in chat}
    assert joined == sent
    # Seven tools stand in each of forty prompts, and once in the data.
    assert len(json.dumps(data["pieces"])) < len(json.dumps(sorted(sent))) / 5


def test_a_failure_s_place_counts_what_javascript_counts(write_lines, case_row):
    suite = write_lines(case_row())
    scores = fcbench.score({"a": RIGHT.replace("Oslo", "😀😀") + "oops"}, suite=suite)
    (group,) = groups_of(subjects_of(["x"], [gathered_of(scores)]), ["x"])
    (case,) = evidence([group])["groups"][0]["cases"]
    failure = case["runs"][0][0]["failure"]
    assert failure["at"] - failure["offset"] == 2


def test_runs_over_other_cases_are_not_compared(stored):
    page = stored
    groups = page.data["groups"]
    assert [[run["letter"] for run in group["runs"]] for group in groups] == [["A", "B"], ["C"]]
    assert [len(group["cases"]) for group in groups] == [40, 5]
    assert page.text.count("Comparison of argument exact match") == 1


def test_a_comparison_says_the_difference_the_test_and_the_flips(outputs):
    page = outputs({"a": WRONG, "b": RIGHT, "c": RIGHT}, {"a": RIGHT, "b": RIGHT, "c": RIGHT})
    assert "66.7 100.0 +33.3" in page.text
    assert "3 cases are too few to show any difference at the 5 % level" in page.text
    assert "1 of argument exact match" in page.text
    assert "#case=a" in [a["href"] for a in page.all("a")]


def test_of_many_runs_one_metric_is_compared(outputs):
    page = outputs(*[{"a": RIGHT, "b": WRONG if i % 2 else RIGHT, "c": RIGHT} for i in range(9)])
    assert "Of more than 8 runs one metric is compared" in page.text
    assert page.text.count("Comparison of ") == 1
    assert "Cases that flipped" not in page.text
    assert len(page.data["groups"][0]["runs"]) == 9


def test_a_missing_answer_is_an_error_and_said_so_first(outputs):
    page = outputs({"a": RIGHT, "b": WRONG})
    assert "A, out0.jsonl: 1 of 3 samples have no answer" in page.text
    (case,) = [case for case in page.data["groups"][0]["cases"] if case["id"] == "c"]
    assert case["runs"][0][0]["error"] == "no output was given"
    assert "right" in case["runs"][0][0]
    assert case["runs"][0][0]["right"] is False


def test_what_no_case_asks_for_has_no_number(outputs):
    page = outputs({"a": RIGHT, "b": RIGHT, "c": RIGHT})
    cells = [a for a in page.all("td") if a.get("data-label") == "abstention"]
    assert len(cells) == 1
    assert "— 0 —" in page.text  # abstention, errors, seconds


def test_runs_of_one_name_are_told_apart(outputs):
    right = {"a": RIGHT, "b": RIGHT, "c": RIGHT}
    page = outputs(right, right, right, names=["x/out.jsonl", "y/out.jsonl", "other.jsonl"])
    labels = [run["label"] for run in page.data["groups"][0]["runs"]]
    assert labels == ["out.jsonl · x/out.jsonl", "out.jsonl · y/out.jsonl", "other.jsonl"]


def test_every_repeat_of_a_case_is_there(write_lines, case_row):
    suite = write_lines(case_row(id="a"), case_row(id="b"))
    samples = [
        fcbench.Sample(i, repeat, RIGHT if repeat else WRONG) for i in "ab" for repeat in (0, 1)
    ]
    page = Page(report(["x"], [fcbench.score(samples, suite=suite)]))
    for case in page.data["groups"][0]["cases"]:
        assert [[answer["right"] for answer in run] for run in case["runs"]] == [[False, True]]
    assert "pass@2 2 100.0" in page.text


def test_numbers_too_large_for_javascript_are_shown_as_written(write_lines, case_row):
    answer = [[{"name": "show_map", "arguments": {"query": 2**63 + 1}}]]
    suite = write_lines(case_row(expected=answer))
    text = f"<start_function_call>call:show_map{{query:{2**63}}}<end_function_call>"
    page = Page(report(["x"], [fcbench.score({"a": text}, suite=suite)]))
    pair = page.data["groups"][0]["cases"][0]["runs"][0][0]["pairs"][0]
    assert pair[2] == [["query", "different", "9223372036854775809", "9223372036854775808"]]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "holds no loss"),
        ('{"step": 1, "loss": 2.0}\n{"step": "x", "loss": 1}\n', "log.jsonl:2: not a line"),
        ('{"step": 1}\n', "holds no loss"),
        ('[1]\n{"step": 1, "loss": 2}\n', "log.jsonl:1: not a line"),
        ("\x00\n", "log.jsonl:1: not a line"),
    ],
)
def test_a_file_that_is_no_training_log_is_refused_where_it_is_none(lines, said, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(lines, encoding="utf-8")
    with pytest.raises(RunError, match=said):
        read_log(path)


def test_a_loss_that_is_no_number_leaves_a_gap_and_half_a_line_is_dropped(tmp_path, outputs):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": 3.5}\n{"ste', encoding="utf-8")
    log = read_log(path)
    assert [loss for _, loss in log.losses] == [None, 3.5]
    run = str(RESULTS / EXPERIMENT)
    page = Page(report([run], [fcbench.score(run)], [log]))
    (line,) = page.all("polyline")
    assert len(line["points"].split()) == 1


def test_the_command_writes_the_file_and_says_so(tmp_path, capsys):
    out = tmp_path / "r.html"
    assert main(["report", str(RESULTS / CHAT), "-o", str(out), "--title", "Mine", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bytes"] == out.stat().st_size
    assert said["n_cases"] == 40
    assert "<title>Mine</title>" in out.read_text(encoding="utf-8")


def test_the_command_says_by_its_exit_code_that_some_samples_are_errors(
    write_lines, case_row, tmp_path, capsys
):
    suite = write_lines(case_row(id="a"), case_row(id="b"))
    made = write_lines({"id": "a", "text": RIGHT}, name="out.jsonl")
    out = tmp_path / "r.html"
    assert main(["report", str(made), "--suite", str(suite), "-o", str(out)]) == 3
    assert "1 samples are errors" in capsys.readouterr().err
    assert main(["report", str(tmp_path), "-o", str(out)]) == 2
    assert main(["report", str(made), "--suite", str(suite), "-o", str(tmp_path / "no" / "r")]) == 2


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_colours_have_the_contrast_that_wcag_aa_asks_for_in_both_modes():
    style = (Path(fcbench.__file__).parent / "report" / "html" / "report.css").read_text()
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)
    modes = [{name: pair[i] for name, *pair in found} for i in (0, 1)]
    assert len(modes[0]) > 15
    for mode, on_badge in zip(modes, ("#ffffff", "#101215"), strict=True):
        for ground in ("paper", "card"):
            for ink in ("ink", "soft", "accent", "good", "bad", "unseen"):
                assert contrast(mode[ink], mode[ground]) >= 4.5, (ink, ground)
            # What is drawn needs 3, and the badges' letters 4.5.
            assert all(contrast(mode[f"c{i}"], mode[ground]) >= 3 for i in range(8))
        assert all(contrast(mode[f"c{i}"], on_badge) >= 4.5 for i in range(8))
        for ink in ("good", "bad", "unseen"):
            assert contrast(mode[ink], mode[f"{ink}-wash"]) >= 4.5, ink
