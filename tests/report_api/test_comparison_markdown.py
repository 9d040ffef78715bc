"""Comparisons as Markdown, read back by a Markdown parser: what was written, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import fcbench
from fcbench.cli import main
from fcbench.metrics import Metric
from fcbench.report._safe import code, fenced, plain, table
from fcbench.report.comparison_markdown import as_markdown
from fcbench.runs import compare_all
from fcbench.text import visible

RIGHT = fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})])
ATTACKS = [
    "<script>alert(1)</script>",
    "![x](javascript:alert(1)) [y](http://example.com) <http://example.com>",
    "```\n```text\n# no heading\n````\n~~~",
    "a | b || c \\| d \\\\| e",
    "\u202ereversed\u2066 \x00\x1b[2J\ud800\r\u2028",
    "# heading\n\n- item\n\n    code\n\n> quote\n\n---\n\n<!-- comment",
    "*bold* _em_ __strong__ ~~del~~ `code` ``two`` &amp; &#60;b&#62; $x$ @someone",
    "`",
    " ",
    "x" * 100_000,
]
HARMLESS = {
    "heading_open", "heading_close", "inline", "paragraph_open", "paragraph_close", "fence", "text",
    "code_inline", "softbreak", "table_open", "table_close", "thead_open", "thead_close",
    "tbody_open", "tbody_close", "tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close",
    "text_special",
}  # fmt: skip


def tokens_of(page):
    """Return every token of a page as GitHub's Markdown reads it, those of lines included."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    found = parser.parse(page)
    return found + [child for token in found for child in token.children or ()]


def words_of(page):
    return "".join(t.content for t in tokens_of(page) if t.type in ("text", "text_special"))


@given(st.text())
def test_a_plain_text_is_shown_as_it_is_and_is_one_cell(text):
    page = table(["a", "b"], [[f"x{plain(text)}x", "last"]])
    found = tokens_of(page)
    cells = [t for t, before in zip(found[1:], found, strict=False) if before.type == "td_open"]
    assert len(cells) == 2
    shown = "".join(child.content for child in cells[0].children)
    assert shown.split() == f"x{visible(text)}x".split()
    assert {t.type for t in found} <= HARMLESS


@given(st.text(min_size=1) | st.text("` a", min_size=1))
def test_a_text_in_a_line_of_code_is_shown_as_it_is(text):
    (found,) = [t for t in tokens_of(f"### {code(text)}") if t.type == "code_inline"]
    assert found.content == visible(text)


@given(st.text() | st.text("`~ \na"))
@pytest.mark.parametrize("before", ["", "`````\n", "~~~\n"])
def test_a_text_in_a_fence_is_shown_as_it_is_and_ends_with_it(before, text):
    (found, *rest) = [
        t
        for t in tokens_of(fenced(before + text) + "\n\nafter")
        if t.type in ("fence", "paragraph_open")
    ]
    assert found.content == "".join(visible(line) + "\n" for line in (before + text).split("\n"))
    assert len(rest) == 1


@pytest.fixture
def suite(write_lines, case_row):
    """Cases whose ids and words are attacks."""
    rows = [
        case_row(
            id=f"c{i} {attack[:200]}",
            messages=[{"role": "user", "content": f"Show me {attack}"}],
            expected=[[{"name": "show_map", "arguments": {"query": {"$any": ["Oslo", attack[:999]]}}}], []][:1],
        )
        for i, attack in enumerate(ATTACKS)
        if "\ud800" not in attack
    ]  # fmt: skip
    return write_lines(*rows)


def scored(suite, texts):
    ids = [case.id for case in fcbench.load_suite(suite).cases]
    return fcbench.score(dict(zip(ids, texts, strict=True)), suite)


def test_texts_that_are_attacks_are_shown_and_nothing_of_them_is_markdown(suite):
    n = len(fcbench.load_suite(suite).cases)
    runs = [scored(suite, [RIGHT] * n), scored(suite, ATTACKS[:n])]
    found = {"argument_exact_match": compare_all(runs)}
    page = as_markdown(["a|b", "<i>c"], runs, found, 99)
    assert {t.type for t in tokens_of(page)} <= HARMLESS
    assert len(page) < 200_000  # a text of 100 kB is shown shortened
    fences = "\n".join(t.content for t in tokens_of(page) if t.type == "fence")
    for attack in ATTACKS[:4]:
        assert all(visible(line) in fences for line in attack.split("\n"))
    assert page.isascii() or all(c.isprintable() or c == "\n" for c in page)
    assert "a|b" in words_of(page)
    assert "<i>c" in words_of(page)


def test_the_page_has_the_table_the_test_the_square_and_each_flip(write_lines, case_row):
    path = write_lines(*(case_row(id=f"c{i}") for i in range(9)))
    wrong = "<start_function_call>call:show_map{query: <escape>Oslo<escape>}<end_function_call>"
    runs = [scored(path, [RIGHT] * 9), scored(path, [RIGHT] + [wrong] * 8)]
    found = {name: compare_all(runs) for name in ("argument_exact_match", "name_match")}
    page = as_markdown(["one", "two"], runs, found, 3)
    assert "-88.9 points" in page
    assert "0.008" in page  # 2 / 2**8
    assert "| A yes | 1       | 8      |" in page
    assert "## A, B: 8 flipped cases of argument exact match" in page
    assert "… and 5 more (`--flips 8`)." in page
    assert page.count("### `c") == 3
    fences = [t.content for t in tokens_of(page) if t.type == "fence"]
    assert fences[0] == "Show me Oslo.\n"
    assert fences[1] == 'show_map {"query": "Oslo"}\n'
    assert fences[2] == f"{RIGHT}\n"
    assert fences[3].startswith(
        f"{wrong}\n{' ' * wrong.index(' ')}^\nstray_whitespace at character"
    )
    assert "Holm" not in page


def test_three_runs_have_three_pairs_and_holms_correction(write_lines, case_row):
    path = write_lines(*(case_row(id=f"c{i}") for i in range(4)))
    runs = [scored(path, [RIGHT] * n + ["No."] * (4 - n)) for n in (4, 2, 0)]
    page = as_markdown(["a", "b", "c"], runs, {"name_match": compare_all(runs, "name_match")}, 9)
    assert "p, Holm" in page
    assert all(f"## {pair}: " in page for pair in ("A, B", "A, C", "B, C"))


def test_calls_without_text_and_an_amount_of_ones_own_are_shown_too(write_lines, case_row):
    path = write_lines(case_row(id="a"), case_row(id="b"))
    own = [Metric(lambda v: float(len(v.sample.native_calls or ())), "n_calls", "calls")]
    call = fcbench.Call("show_map", {"query": "Oslo"})
    runs = [
        fcbench.score([fcbench.Sample(case, native_calls=[call] * n) for case in "ab"], path, metrics=own)
        for n in (1, 2)
    ]  # fmt: skip
    page = as_markdown(["x", "y"], runs, {"n_calls": compare_all(runs, "n_calls")}, 1)
    assert "| +1 " in page
    assert 'show_map {"query": "Oslo"}\nshow_map {"query": "Oslo"}' in page


def test_the_command_writes_the_page_beside_what_it_prints(tmp_path, capsys, write_lines, case_row):
    path = write_lines(case_row(id="a"))
    for name, text in (("one", "No."), ("two", "Yes.")):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"id": "a", "text": "{text}"}}\n')
    command = [
        "compare",
        str(tmp_path / "one.jsonl"),
        str(tmp_path / "two.jsonl"),
        "--suite",
        str(path),
    ]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert main([*command, "-o", str(tmp_path / "page.md")]) == 0
    assert capsys.readouterr().out == printed
    assert (tmp_path / "page.md").read_text().startswith("# 2 runs over cases\n")
    assert main([*command, "-o", str(tmp_path / "none" / "page.md")]) == 2
    assert "cannot be written" in capsys.readouterr().err
