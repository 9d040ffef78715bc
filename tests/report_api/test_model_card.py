"""Model cards, read back by huggingface_hub's own reader."""

import json
import shlex
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, metadata_load
from huggingface_hub.repocard_data import (
    eval_results_to_model_index,
    model_index_to_eval_results,
)

import fcbench
from fcbench.cli import main
from fcbench.errors import UsageError
from fcbench.report.leaderboard import SHOWN
from fcbench.report.model_card import About, measure, metadata, model_card
from fcbench.runs import command_of, read_run

RESULTS = Path(__file__).parents[2] / "results"
TUNED = sorted(RESULTS.glob("*--mobile-actions-chat--*"))
BASE = sorted(RESULTS.glob("*--gemma3-270m--chat"))
RIGHT = fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})])


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """Return the path of a card of all stored runs of the adapter."""
    out = tmp_path_factory.mktemp("card") / "README.md"
    about = ["--license", "gemma", "--base-model", "google/gemma-3-270m", "--language", "en"]
    assert main(["export", "model-card", *map(str, TUNED), *about, "--out", str(out)]) == 0
    return out


def test_the_hubs_own_reader_finds_every_number_with_its_interval(card):
    data = ModelCard.load(card).data
    assert (data.license, data.base_model, data.language) == (
        "gemma",
        "google/gemma-3-270m",
        ["en"],
    )
    assert data.model_name == "mobile-actions-chat"
    scored = {path.name: fcbench.score(path) for path in TUNED}
    wanted = [
        (found.metrics[name], name)
        for found in scored.values()
        for name in SHOWN
        if found.metrics[name].n
    ]
    assert len(data.eval_results) == len(wanted) > 10
    for result, (estimate, name) in zip(data.eval_results, wanted, strict=True):
        assert result.metric_type == name
        args = result.metric_args
        told = result.metric_value, args["low"], args["high"], args["n"]
        assert told == pytest.approx(estimate, abs=5e-5)


def test_the_hub_writes_the_same_model_index_that_it_read(card):
    data = metadata_load(card)
    name, results = model_index_to_eval_results(data["model-index"])
    assert eval_results_to_model_index(name, results) == data["model-index"]
    again = ModelCard(str(ModelCard.load(card)))
    assert again.data.to_dict() == ModelCard.load(card).data.to_dict()


def test_the_card_says_hashes_prompts_decoding_and_how_to_repeat_each_run(card):
    text = ModelCard.load(card).text
    for path in TUNED:
        manifest = read_run(path).manifest
        assert manifest["suite"]["sha256"] in text
        assert manifest["prompt"]["sha256"] in text
        assert manifest["model"]["adapter"]["sha256"] in text
        assert command_of(manifest) in text
    assert "greedy, at most 256 tokens, seed 0" in text
    assert "84.2 [69.6–92.6] of 38" in text
    assert "argument exact match: 1.0 if the calls equal an accepted answer" in text


@pytest.mark.parametrize("path", [*TUNED, *BASE], ids=lambda path: path.name)
def test_the_command_that_repeats_a_run_plans_that_run(path, monkeypatch, tmp_path):
    from fcbench.cli import run as command

    plans = []
    monkeypatch.setattr(
        command, "run", lambda args: plans.extend(command._plans(args, *args.model)) or 0
    )
    manifest = read_run(path).manifest
    words = shlex.split(command_of(manifest))
    assert words[:3] == ["python", "-m", "fcbench"]
    monkeypatch.chdir(RESULTS.parent)
    assert main(words[3:]) == 0
    (plan,) = plans
    assert plan.model == manifest["model"]["name"]
    assert (plan.suite.sha256, len(plan.cases)) == (
        manifest["suite"]["sha256"],
        manifest["suite"]["n_cases"],
    )
    assert (plan.prompt, plan.few_shot) == (
        manifest["prompt"]["mode"],
        manifest["prompt"]["few_shot"],
    )
    assert (plan.decode, plan.max_new_tokens, plan.seed) == (
        manifest["decoding"]["mode"],
        manifest["decoding"]["max_new_tokens"],
        manifest["seed"],
    )
    assert plan.dtype == manifest["model"]["dtype"]
    assert plan.adapter == (manifest["model"].get("adapter") or {}).get("name")


def test_the_command_of_an_unusual_run_says_all_of_it(write_lines, case_row, tmp_path):
    path = write_lines(*(case_row(id=f"c{i}", tags=["t"]) for i in range(4)))
    (tmp_path / "mine.jinja").write_text("{{ user }}")
    made = fcbench.run(lambda prompts: ["No."] * len(prompts), path, prompt_file=str(tmp_path / "mine.jinja"), tags=("t",), sample=2, seed=7, repeats=3, format="hermes", max_new_tokens=9, batch_size=5)  # fmt: skip
    words = shlex.split(command_of(made.manifest))
    told = dict(zip(words[4::2], words[5::2], strict=True))
    assert told.pop("--model").startswith("python:")
    assert told == {"--suite": str(path), "--tags": "t", "--sample": "2", "--prompt-file": str(tmp_path / "mine.jinja"), "--format": "hermes", "--repeats": "3", "--max-new-tokens": "9", "--batch-size": "5", "--seed": "7"}  # fmt: skip


def test_runs_of_two_models_and_two_runs_of_one_kind_are_refused():
    with pytest.raises(UsageError, match="runs of different models"):
        measure([TUNED[0], BASE[0]])
    with pytest.raises(UsageError, match="in the same way"):
        measure([TUNED[0], TUNED[0]])


def test_outputs_alone_make_no_card(tmp_path):
    outputs = tmp_path / "outputs.jsonl"
    outputs.write_text('{"id": "map", "text": "No."}\n')
    with pytest.raises(UsageError):
        measure([outputs])


class Hostile:
    """A model whose name is an attack."""

    template, bos, has_answered = None, "", False

    def __init__(self, name):
        self.manifest = {"name": name, "backend": "hostile"}

    def answer(self, requests, decoding):
        for i, r in enumerate(requests):
            if i:
                yield fcbench.Sample(r.case.id, text=RIGHT, prompt_sha256=r.prompt_sha256)
            else:
                yield fcbench.Sample(r.case.id, error="timeout")


@pytest.mark.parametrize(
    "name",
    ["a\n---\nlicense: mit\n---\n# b", "!!python/object:os.system x", "yes", "1e3", "null", "a: b # c", "\u202e\x00\x1b[2J|<script>", "\ud800`", "- [x](y)", "&a *b"],
)  # fmt: skip
def test_a_hostile_name_is_a_name_and_nothing_else(write_lines, case_row, tmp_path, name, capsys):
    suite = write_lines(*(case_row(id=f"c{i}") for i in range(3)))
    model = Hostile(name if "\ud800" not in name else "lone")  # which no manifest holds
    run = fcbench.run(model, suite, results=tmp_path / "results")
    out = tmp_path / "CARD.md"
    assert main(["export", "model-card", run.folder, "--model-name", name, "--out", str(out)]) == 3
    assert "1 samples are errors" in capsys.readouterr().err
    loaded = ModelCard.load(out)
    shown = name.encode("unicode_escape").decode() if not name.isprintable() else name
    assert loaded.data.model_name == shown
    assert set(loaded.data.to_dict()) == {"pipeline_tag", "tags", "model-index"}
    assert loaded.text.startswith("\n# ")
    assert "<script>" not in loaded.text.split("```")[0]
    assert "1 answers are errors" in loaded.text
    (result, *_) = loaded.data.eval_results
    assert result.dataset_args == {"n_cases": 3, "n_errors": 1}
    assert result.metric_args["n"] == 2


def test_chosen_metrics_are_those_of_the_card_and_amounts_have_their_unit():
    found = measure(TUNED[:1])
    data = metadata(found, About(), ("seconds", "argument_f1"))
    (result,) = data["model-index"][0]["results"]
    assert [m["type"] for m in result["metrics"]] == ["seconds", "argument_f1"]
    assert result["metrics"][0]["args"]["unit"] == "seconds"
    assert "seconds, 40 cases" in model_card(found, About(), ("seconds", "argument_f1"))
    with pytest.raises(UsageError, match="server_parser is over"):
        metadata(found, About(), ("server_parser",))


def test_a_file_that_is_there_is_kept_unless_it_may_go(tmp_path, capsys):
    out = tmp_path / "README.md"
    out.write_text("mine")
    command = ["export", "model-card", str(TUNED[0]), "--out", str(out), "--json"]
    assert main(command) == 2
    assert out.read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--model-name", "tuned"]) == 0
    assert json.loads(capsys.readouterr().out)["model-index"][0]["name"] == "tuned"
    assert out.read_text() != "mine"


def test_an_unknown_metric_is_found_before_any_run_is_read(tmp_path, capsys):
    command = ["export", "model-card", str(tmp_path / "none"), "--out", str(tmp_path / "x.md")]
    assert main([*command, "--metric", "name_mach"]) == 2
    assert "did you mean name_match" in capsys.readouterr().err
