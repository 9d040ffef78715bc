"""From a file of cases to a model that calls, its curves, its card, and interruptions."""

import json
import shlex
import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, Trainer, TrainingArguments

import fcbench
from fcbench.cli import main
from fcbench.errors import FcbenchError, MissingExtra, ModelError, RunError, SuiteError, UsageError
from fcbench.train import CallsCallback, fine_tune
from fcbench.train._callback import drawn_cases
from fcbench.train._card import next_command
from fcbench.train._config import as_toml
from fcbench.train._fine_tune import WHOLE, _last_checkpoint
from fcbench.train._trainer import Collator, Progress
from tests import tiny


def weights(folder):
    (file,) = Path(folder).glob("*.safetensors")
    return load_file(file)


def test_a_model_that_calls_nothing_learns_to_and_the_card_says_so(config, suite_file):
    made = config(
        max_steps=90, eval_suite=suite_file, eval_every=30, schedule="linear",
        batch_size=16, accumulate=1,
    )  # fmt: skip
    trained = fine_tune(made)
    exact = [m["calls"]["argument_exact_match"]["value"] for m in trained.curves.measured]
    assert exact[0] < exact[-1] == 1.0
    assert trained.facts["first_loss"] > 10 * trained.facts["last_loss"]
    assert len(trained.curves.losses) == trained.facts["n_steps"] == 90
    run = fcbench.run(str(trained.folder), suite_file, dtype="float32")
    assert fcbench.score(run).metrics["argument_exact_match"].value == 1.0
    card = (trained.folder / "README.md").read_text("utf-8")
    assert f"The weights here are those of step {trained.facts['best_step']}" in card
    assert "Every target parses under the strict grammar." in card
    assert "16 of the measured cases ask, word for word" in card
    suite = shlex.quote(suite_file)
    asked = f"python -m fcbench run --model {trained.folder} --suite {suite} --prompt chat"
    assert asked in card
    # So that other engines stop there too.
    said = json.loads((trained.folder / "generation_config.json").read_text("utf-8"))
    stops = ("<eos>", "<end_of_turn>", "<start_function_response>")
    assert said["eos_token_id"] == sorted(map(tiny.SPECIAL.index, stops))


def test_an_adapter_is_saved_that_the_base_takes_and_that_names_it(config, untrained):
    trained = fine_tune(config(method="lora", lora_r=4, learning_rate=1e-2, max_steps=3))
    said = json.loads((trained.folder / "adapter_config.json").read_text("utf-8"))
    assert said["base_model_name_or_path"] == untrained
    run = fcbench.run(untrained, [*tiny.cases()] and write(tiny.cases()[:1], trained.folder),
                      adapter=str(trained.folder), dtype="float32", max_new_tokens=4)  # fmt: skip
    assert run.manifest["model"]["adapter"]["active"]
    assert trained.facts["n_trained"] < trained.facts["n_parameters"] / 4


def test_training_goes_on_from_an_adapter(config, tmp_path):
    lora = {"method": "lora", "lora_r": 4, "learning_rate": 1e-2, "max_steps": 6}
    first = fine_tune(config(**lora))
    again = {"adapter": str(first.folder), "learning_rate": 1e-3, "out": str(tmp_path / "again")}
    made = config(**lora | again)
    second = fine_tune(made)
    assert first.facts["last_loss"] < 0.8 * first.facts["first_loss"]
    assert second.facts["first_loss"] == pytest.approx(first.facts["last_loss"], rel=0.2)
    before, after = weights(first.folder), weights(second.folder)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert f"on from the adapter {first.folder}" in (second.folder / "README.md").read_text("utf-8")
    # It is part of what a run was made of.
    assert str(first.folder) in second.facts["data_sha256"]
    with pytest.raises(RunError, match="its adapter was"):
        fine_tune(msgspec.structs.replace(made, adapter=str(second.folder)), resume=True)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"method": "full", "adapter": "x"}, UsageError, "has no adapter to go on from"),
        ({"method": "lora", "adapter": "gone"}, ModelError, "gone"),
    ],
)
def test_an_adapter_that_cannot_be_gone_on_from_is_told(config, fields, error, message):
    with pytest.raises(error, match=message):
        fine_tune(config(**fields))


def test_calls_that_their_own_tools_refuse_are_warned_of(config, tmp_path, caplog):
    first, second, *others = tiny.cases()
    wrong = msgspec.structs.replace(first, expected=[[fcbench.Call("show_map", {"query": 7})]])
    unknown = msgspec.structs.replace(
        second, expected=[[fcbench.Call("show_map", {"query": "Oslo", "zoom": 3})]]
    )
    made = config(data=[write([wrong, unknown, *others], tmp_path)], max_steps=1)
    trained = fine_tune(made)
    said = f"2 of {len(others) + 2} training cases teach calls that their own tools refuse"
    assert said in caplog.text
    assert f"{first.id} $.expected[0][0].arguments.query: show_map" in caplog.text
    assert f"{second.id} $.expected[0][0].arguments.zoom: show_map has none" in caplog.text
    assert "The calls of 2 cases are refused" in (trained.folder / "README.md").read_text("utf-8")


def test_a_file_is_no_folder_to_train_into(config, tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(RunError, match="is a file"):
        fine_tune(config(out=str(tmp_path / "taken")))
    assert (tmp_path / "taken").read_text() == "mine"


def write(cases, folder):
    path = folder / "some.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(case) + b"\n" for case in cases))
    return str(path)


@pytest.mark.parametrize(
    ("method", "dtype"),
    [("full", "float32"), ("lora", "float32"), ("full", "bfloat16"), ("lora", "bfloat16")],
)
def test_an_interrupted_run_that_goes_on_ends_where_a_whole_one_does(
    config, suite_file, monkeypatch, method, dtype
):
    def make(out):
        return config(
            out=config().out + out, method=method, dtype=dtype, max_steps=7, save_every=2, eval_every=3,
            eval_suite=suite_file, eval_cases=2, schedule="cosine", batch_size=3, lora_dropout=0.1,
            train_tokens="<start_function_call>,<escape>",
        )  # fmt: skip

    whole = fine_tune(make("whole"))
    with monkeypatch.context() as during:
        interrupted_at(5, during)
        with pytest.raises(KeyboardInterrupt):
            fine_tune(make("parts"))
    parts = fine_tune(make("parts"), resume=True)
    assert parts.facts["is_resumed"]
    assert parts.curves.lines == whole.curves.lines
    for name, tensor in weights(whole.folder).items():
        assert torch.equal(weights(parts.folder)[name], tensor), name


def interrupted_at(step, monkeypatch):
    """Let every training end with an interruption after a step."""
    on_step_end = Progress.on_step_end

    def interrupt(self, args, state, control, **given):
        on_step_end(self, args, state, control, **given)
        if state.global_step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "on_step_end", interrupt)


def test_a_checkpoint_that_a_kill_cut_short_is_passed_over(config, tmp_path):
    made = config(max_steps=6, save_every=2, keep_checkpoints=3)
    whole = fine_tune(made)
    out = Path(made.out)
    for name in ("trainer_state.json", "optimizer.pt"):
        parts = msgspec.structs.replace(made, out=str(tmp_path / name))
        shutil.copytree(out, parts.out)
        last = Path(parts.out) / "checkpoints" / "checkpoint-6"
        if name == "optimizer.pt":
            (last / name).unlink()
        else:
            (last / name).write_text('{"epoch": 1.', "utf-8")
        trained = fine_tune(parts, resume=True)
        assert trained.facts["n_steps"] == 6
        assert all(torch.equal(weights(out)[k], v) for k, v in weights(trained.folder).items())
    assert whole.facts["n_steps"] == 6


def test_a_copy_beside_the_checkpoints_is_none_of_them(tmp_path):
    for name in ("checkpoint-2", "checkpoint-2-copy", "checkpoint-x", "checkpoint-"):
        (tmp_path / name).mkdir()
        for file in ("trainer_state.json", *WHOLE):
            (tmp_path / name / file).write_text("{}", "utf-8")
    assert _last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"


def test_a_run_that_was_only_not_written_is_written_and_not_trained_further(config, suite_file):
    made = config(max_steps=3, save_every=3, eval_suite=suite_file, eval_every=3, eval_cases=2)
    before = fine_tune(made)
    kept = weights(before.folder)
    (before.folder / "README.md").unlink()
    after = fine_tune(made, resume=True)
    assert after.facts["n_steps"] == 3
    assert after.curves.lines == before.curves.lines
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights(after.folder).items())
    assert (after.folder / "README.md").is_file()


def test_training_that_stopped_early_does_not_go_on_when_resumed(config, suite_file):
    made = config(
        max_steps=20, eval_suite=suite_file, eval_every=2, eval_cases=2, patience=2,
        learning_rate=1e-9, save_every=2,
    )  # fmt: skip
    assert fine_tune(made).facts["n_steps"] == 6
    assert fine_tune(made, resume=True).facts["n_steps"] == 6


def test_other_data_under_the_same_name_is_not_gone_on_with(config, suite_file, tmp_path):
    data = tmp_path / "mine.jsonl"
    shutil.copy(suite_file, data)
    made = config(data=[str(data)], max_steps=1)
    fine_tune(made)
    lines = data.read_text("utf-8").splitlines()
    data.write_text("\n".join(lines[1:]) + "\n", "utf-8")
    with pytest.raises(RunError, match="other data under the same name"):
        fine_tune(made, resume=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "no-such-model"}, "no such model folder"),
        ({"eval_suite": "no_such_suite"}, "no such suite"),
        ({"method": "lora", "train_tokens": "<escape>,<nothing>"}, "<nothing> is no single token"),
        ({"method": "lora", "lora_targets": "q_proj, v_prj"}, "no layer v_prj"),
    ],
)
def test_a_mistake_leaves_no_folder_behind_that_has_to_be_deleted(config, fields, message):
    with pytest.raises(FcbenchError, match=message):
        fine_tune(config(**fields))
    assert fine_tune(config(max_steps=1)).facts["n_steps"] == 1


def test_a_folder_is_not_written_over_and_another_run_is_not_resumed(config, tmp_path):
    made = config(max_steps=1)
    fine_tune(made)
    with pytest.raises(RunError, match="holds a training run already"):
        fine_tune(made)
    with pytest.raises(RunError, match=r"its learning_rate was 0\.004, not 0\.1"):
        fine_tune(config(max_steps=1, learning_rate=0.1), resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="holds no training run"):
        fine_tune(config(out=str(tmp_path / "mine")))


def test_training_stops_when_calls_no_longer_get_better(config, suite_file):
    made = config(
        max_steps=20, eval_suite=suite_file, eval_every=2, eval_cases=2, patience=2,
        learning_rate=1e-9,
    )  # fmt: skip
    trained = fine_tune(made)
    # The first is the best so far, two more are no better.
    assert [m["step"] for m in trained.curves.measured] == [2, 4, 6]
    assert trained.facts["n_steps"] == 6


def test_the_weights_with_the_best_calls_are_kept_whatever_came_after(
    config, suite_file, monkeypatch
):
    seen = []

    def worse_after_the_second(self, model, tokenizer):
        seen.append({n: p.detach().clone() for n, p in model.named_parameters()})
        n_right = [1, 3, 2][len(seen) - 1]
        texts = {
            c.id: fcbench.render(c.expected[0]) if i < n_right else ""
            for i, c in enumerate(self.cases)
        }
        return fcbench.score(texts, suite=fcbench.Suite("t", self.cases, sha256="", source=""))

    monkeypatch.setattr(CallsCallback, "measure", worse_after_the_second)
    trained = fine_tune(config(max_steps=6, eval_suite=suite_file, eval_every=2))
    assert trained.facts["best_step"] == 4
    kept = weights(trained.folder)
    assert all(torch.equal(kept[name], tensor) for name, tensor in seen[1].items() if name in kept)
    assert not all(torch.equal(kept[n], tensor) for n, tensor in seen[2].items() if n in kept)


def test_fewer_cases_are_drawn_with_the_seed(config):
    first, again, other = (
        fine_tune(config(out=config().out + str(i), n_cases=5, seed=seed, max_steps=1))
        for i, seed in enumerate([1, 1, 2])
    )
    assert first.facts["n_examples"] == 5
    assert first.facts["first_loss"] == again.facts["first_loss"] != other.facts["first_loss"]


def test_examples_longer_than_the_context_are_refused_unless_left_out(config):
    with pytest.raises(UsageError, match="every example has more than 20 tokens"):
        fine_tune(config(max_length=20))
    lengths = sorted(fine_tune(config(max_steps=1)).facts["lengths"])
    some = config(out=config().out + "2", max_length=lengths[-1] - 1, max_steps=1)
    assert fine_tune(some).facts["n_left_out"] == lengths.count(lengths[-1])


def test_raw_training_starts_only_when_it_is_allowed_to(config):
    with pytest.raises(UsageError, match="stray_whitespace: 16"):
        fine_tune(config(format_style="raw"))
    trained = fine_tune(config(format_style="raw", allow_invalid_targets=True, max_steps=1))
    assert trained.facts["faults"] == {"stray_whitespace": 16}
    card = (trained.folder / "README.md").read_text("utf-8")
    assert "Of the targets the strict grammar refuses 16: stray_whitespace 16." in card


def test_a_loss_that_is_not_finite_ends_the_training(config):
    with pytest.raises(ModelError, match=r"the loss is (nan|inf)"):
        fine_tune(config(learning_rate=1e20, clip_norm=0.0, max_steps=6))


def test_less_memory_gives_the_same_weights(config):
    plain, saving = (
        fine_tune(config(out=config().out + name, max_steps=2, gradient_checkpointing=is_saving))
        for name, is_saving in (("plain", False), ("saving", True))
    )
    for name, tensor in weights(plain.folder).items():
        torch.testing.assert_close(weights(saving.folder)[name], tensor)


def test_auto_takes_the_format_of_the_chat_template_and_the_next_command_says_it(config, untrained):
    made = fine_tune(config(format="auto", max_steps=1))
    assert made.facts["format"] == "functiongemma"
    assert "--format" not in next_command(config(), made.facts)
    other = next_command(config(), {**made.facts, "format": "hermes"})
    assert shlex.split(other)[-2:] == ["--format", "hermes"]
    tokenizer = AutoTokenizer.from_pretrained(untrained)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    mute = Path(config().out + "mute")
    shutil.copytree(untrained, mute)
    tokenizer.save_pretrained(mute)
    with pytest.raises(UsageError, match="writes no known format"):
        fine_tune(config(model=str(mute), out=config().out + "2", format="auto"))


def test_files_are_joined_and_two_cases_of_one_id_are_refused(config, tmp_path):
    first, second = tiny.cases()[:4], tiny.cases()[4:7]
    files = []
    for name, some in (("a", first), ("b", second)):
        (tmp_path / name).mkdir()
        files.append(write(some, tmp_path / name))
    assert fine_tune(config(data=files, max_steps=1)).facts["n_examples"] == 7
    with pytest.raises(SuiteError, match="stands in two files"):
        fine_tune(config(data=[files[0], files[0]], out=config().out + "2"))


def test_several_processes_are_refused(config, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without torchrun"):
        fine_tune(config())


def test_a_measurement_in_which_the_machinery_failed_is_never_the_best(
    config, suite_file, monkeypatch, capsys
):
    def measured(self, model, tokenizer):
        step = len(self.curves.measured)
        right = {c.id: fcbench.render(c.expected[0]) for c in self.cases[: 2 - step]}
        samples = [
            fcbench.Sample(
                c.id,
                text=right.get(c.id, ""),
                error="out of memory" if step == 0 and c.id not in right else None,
            )
            for c in self.cases
        ]
        return fcbench.score(samples, suite=fcbench.Suite("t", self.cases, sha256="", source=""))

    monkeypatch.setattr(CallsCallback, "measure", measured)
    made = config(max_steps=4, eval_suite=suite_file, eval_every=2)
    file = Path(made.out + ".toml")
    file.write_text(as_toml(made), "utf-8")
    # The first would have been: all that were answered are right.
    assert main(["train", "--config", str(file)]) == 3
    assert "14 samples of the measurements are errors" in capsys.readouterr().err
    assert json.loads((Path(made.out) / "best" / "best.json").read_text())["step"] == 4


# In anybody's Trainer


def plain_trainer(folder, tmp_path, **options):
    from fcbench.backends import ModelOptions
    from fcbench.backends.transformers import load

    loaded = load(folder, ModelOptions(dtype="float32"))
    rows = [{"input_ids": [2, 20, 21, 22], "labels": [2, 20, 21, 22]}] * 8
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "theirs"), max_steps=4, per_device_train_batch_size=2,
        logging_steps=1, report_to="none", disable_tqdm=True, save_strategy="no",
        learning_rate=1e-9, remove_unused_columns=False, dataloader_pin_memory=False,
    )  # fmt: skip
    return Trainer(
        model=loaded.model, args=arguments, train_dataset=rows, data_collator=Collator(0),
        **{"processing_class": loaded.tokenizer, **options},
    )  # fmt: skip


def test_two_lines_measure_calls_in_a_plain_trainer(tiny_folder, suite_file, tmp_path):
    trainer = plain_trainer(str(tiny_folder), tmp_path)
    attention = trainer.model.config._attn_implementation
    callback = CallsCallback(suite_file, every=3, n_cases=12)
    trainer.add_callback(callback)
    trainer.train()
    scores = fcbench.score(fcbench.run(str(tiny_folder), suite_file, dtype="float32"))
    asked = {case.id for case in callback.cases}
    right = [v.arguments for v in scores.verdicts if v.case.id in asked]
    share = sum(right) / len(right)
    assert share > 0
    measured = [line for line in trainer.state.log_history if "eval_argument_exact_match" in line]
    assert [(m["step"], m["eval_argument_exact_match"]) for m in measured] == [
        (3, share),
        (4, share),
    ]
    assert trainer.model.training
    assert trainer.model.config._attn_implementation == attention
    lines = (tmp_path / "theirs" / "curves.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if "calls" in line] == [3, 4]
    assert (tmp_path / "theirs" / "best" / "model.safetensors").is_file()


def test_without_a_tokenizer_the_callback_says_what_it_needs(tiny_folder, suite_file, tmp_path):
    trainer = plain_trainer(str(tiny_folder), tmp_path, processing_class=None)
    trainer.add_callback(CallsCallback(suite_file, every=1, n_cases=1))
    with pytest.raises(ModelError, match="processing_class=tokenizer"):
        trainer.train()


def test_measuring_changes_nothing_that_training_goes_on_with(tiny_folder, suite_file, tmp_path):
    trained = []
    for is_measured in (False, True):
        torch.manual_seed(0)
        trainer = plain_trainer(str(tiny_folder), tmp_path)
        trainer.args.learning_rate = 1e-3
        if is_measured:
            trainer.add_callback(CallsCallback(suite_file, every=1, n_cases=2))
        trainer.train()
        trained.append([p.detach().clone() for p in trainer.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*trained, strict=True))


def test_cases_are_drawn_with_a_seed_and_keep_their_order():
    cases = tiny.cases()
    drawn = drawn_cases(cases, 5, 1)
    assert drawn == drawn_cases(cases, 5, 1) != drawn_cases(cases, 5, 2)
    assert [cases.index(case) for case in drawn] == sorted(cases.index(case) for case in drawn)
    assert drawn_cases(cases, 99, 1) == cases


# The command


def test_the_command_trains_and_says_what_to_do_next(config, suite_file, tmp_path, capsys):
    file = tmp_path / "mine.toml"
    file.write_text(as_toml(config(eval_suite=suite_file, eval_cases=2, eval_every=2)), "utf-8")
    out = tmp_path / "from the command"
    assert main(["train", "--config", str(file), "--out", str(out), "--max-steps", "2"]) == 0
    said = capsys.readouterr().out
    assert "argument exact match" in said
    (line,) = (line for line in said.splitlines() if line.startswith("next: "))
    asked = ["run", "--model", str(out), "--suite", suite_file, "--prompt", "chat"]
    assert shlex.split(line)[1:] == ["python", "-m", "fcbench", *asked]
    assert main(["train", "--config", str(file), "--out", str(out), "--max-steps", "3", "--resume",
                 "--json"]) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out)["n_steps"] == 3


def test_the_command_lists_targets_that_teach_broken_calls(config, suite_file, capsys):
    arguments = ["--model", "no-such-model", "--data", suite_file, "--out", config().out]
    assert main(["train", *arguments, "--format-style", "raw"]) == 2
    said = capsys.readouterr().err
    assert "16 of 16 training targets are refused" in said
    assert "hint: --format-style chat" in said
    assert not Path(config().out).exists()


# Four bits


def test_an_adapter_is_trained_on_weights_of_four_bits_and_measured_meanwhile(
    config, tiny_folder, suite_file
):
    pytest.importorskip("bitsandbytes")
    made = config(
        model=str(tiny_folder), method="qlora", lora_r=4, learning_rate=1e-3, max_steps=6,
        eval_suite=suite_file, eval_every=3, eval_cases=4,
    )  # fmt: skip
    trained = fine_tune(made)
    losses = [line["loss"] for line in trained.curves.losses]
    assert losses[-1] < losses[0]
    assert [m["step"] for m in trained.curves.measured] == [3, 6]
    plain = fcbench.run(str(tiny_folder), suite_file, adapter=str(trained.folder), limit=1)
    assert plain.manifest["model"]["adapter"]["active"]


def test_four_bits_without_their_package_name_the_extra(config, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "bitsandbytes" else find(n, *a)
    )
    with pytest.raises(MissingExtra, match=r"fcbench\[qlora\]"):
        fine_tune(config(method="qlora"))
