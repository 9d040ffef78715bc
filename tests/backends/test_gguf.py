"""The llama.cpp backend without llama.cpp: what a file says, what is refused, what is asked."""

from __future__ import annotations

import importlib.util

import pytest

from fcbench.backends import ModelOptions, check_model
from fcbench.backends._clock import Clock
from fcbench.backends._template import template_of
from fcbench.backends.gguf import _ask, _check
from fcbench.backends.gguf._ask import Asking
from fcbench.backends.gguf._file import read_metadata
from fcbench.backends.gguf._probe import adapter_record, is_finite
from fcbench.backends.gguf._server import fitting_slots, n_threads
from fcbench.errors import BackendError, MissingExtra, ModelError, UsageError
from fcbench.types import Call, Case, Decoding, Request
from tests.backends import small_gguf

STOPS = ("<end_of_turn>", "<start_function_response>")
NATIVE = '{"messages": [{"role": "user", "content": "hi"}]}'


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    return small_gguf.write_model(path, template="{{ bos_token }}{{ messages[0].content }}")


@pytest.fixture(scope="module")
def lora(tmp_path_factory):
    return small_gguf.write_lora(tmp_path_factory.mktemp("lora") / "lora.gguf")


def check(path, **options):
    check_model(f"gguf:{path}", ModelOptions(**options))


# What a file says


def test_a_file_says_what_it_holds(model):
    metadata = read_metadata(model)
    assert metadata.architecture == "llama"
    assert metadata.dtype == "float32"
    assert metadata.context_length == small_gguf.CONTEXT
    assert metadata.chat_template == "{{ bos_token }}{{ messages[0].content }}"
    assert not metadata.is_lora
    # Keys and values of each layer: two heads of half the width.
    assert metadata.cache_width == small_gguf.N_LAYERS * 2 * small_gguf.WIDTH


def test_an_adapter_says_that_it_is_one(lora):
    assert read_metadata(lora).is_lora


def test_a_file_cut_anywhere_is_a_model_error(model, tmp_path):
    whole = model.read_bytes()
    size_of_metadata = whole.index(b"token_embd.weight")
    cut = tmp_path / "cut.gguf"
    for n_bytes in range(4, size_of_metadata - 64, 97):
        cut.write_bytes(whole[:n_bytes])
        with pytest.raises(ModelError):
            read_metadata(cut)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x09\0\0\0", b"<html>not a model</html>"])
def test_what_is_no_gguf_is_a_model_error(content, tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="gguf"):
        check(path)


def test_lists_of_numbers_are_read_and_the_largest_counts(tmp_path):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_block_count(3)
    writer.add_embedding_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv([1, 4, 2])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert read_metadata(tmp_path / "m.gguf").cache_width == 3 * 4 * (16 + 16)


def saying(path, fields):
    """Return what is read of a file with some fields of its own."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in fields.items():
        add = writer.add_array if isinstance(value, list) else writer.add_int64
        add(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return read_metadata(path)


def test_numbers_that_cannot_be_are_as_good_as_none(tmp_path):
    narrow = {"block_count": 1, "attention.head_count": 2, "embedding_length": 1}
    found = saying(tmp_path / "a.gguf", {f"llama.{key}": n for key, n in narrow.items()})
    assert found.cache_width is None
    assert fitting_slots(found, 256, ModelOptions(), in_float32=False) == 8
    for i, n in enumerate([[[5], [6]], [0], -1, 0, 2**62]):
        found = saying(tmp_path / f"b{i}.gguf", {"llama.context_length": n})
        assert found.context_length is None
    assert saying(tmp_path / "c.gguf", {"general.file_type": [0]}).dtype is None


def test_a_template_is_rendered_with_the_files_own_bos(model):
    template = template_of(read_metadata(model).chat_template, "<s>", "</s>", "gguf:x")
    assert template([{"role": "user", "content": "hi"}], []) == "<s>hi"


def test_a_template_that_is_none_warns_and_is_left_out(caplog):
    assert template_of("{% if %}", "<s>", "</s>", "gguf:x") is None
    assert "gguf:x" in caplog.text
    assert template_of(None, "<s>", "</s>", "gguf:x") is None


# What is refused without loading


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "float16"}, "--dtype float16"),
        ({"dtype": "bfloat16"}, "--dtype bfloat16"),
        ({"decode": "constrained"}, "--decode constrained"),
        ({"decode": "constrained-or-text-schema"}, "--decode constrained-or-text-schema"),
        ({"repeats": 3}, "3 repeats at temperature 0"),
    ],
)
def test_what_llama_is_not_asked_for_is_a_usage_error(model, options, said):
    with pytest.raises(UsageError, match=said):
        check(model, **options)


def test_a_folder_and_a_file_that_is_not_there_are_model_errors(model):
    with pytest.raises(ModelError, match="is a folder"):
        check(model.parent)
    with pytest.raises(ModelError, match="no such file") as caught:
        check(model.with_name("modle.gguf"))
    assert caught.value.hint == "did you mean model.gguf?"


def test_an_adapter_named_as_a_model_says_how_it_is_asked(lora):
    with pytest.raises(ModelError, match="is an adapter") as caught:
        check(lora)
    assert "--adapter" in caught.value.hint


def test_a_peft_folder_is_refused_with_the_way_to_a_file(model, tmp_path):
    with pytest.raises(UsageError, match="not as folders") as caught:
        check(model, adapter=str(tmp_path))
    for way in ("merge", "export gguf", "trainable_token_indices"):
        assert way in caught.value.hint


def test_an_adapter_that_cannot_fit_is_a_model_error(model, lora, tmp_path):
    other = small_gguf.write_lora(tmp_path / "other.gguf", architecture="gemma3")
    for adapter, said in (
        (tmp_path / "none.gguf", "no such file"),
        (model, "a model, not an adapter"),
        (other, "it is for gemma3, the model is llama"),
    ):
        with pytest.raises(ModelError, match=said):
            check(model, adapter=str(adapter))


def test_an_absent_llama_is_a_missing_extra(model, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        _check.importlib.util, "find_spec", lambda n: None if n == "xllamacpp" else find_spec(n)
    )
    with pytest.raises(MissingExtra, match="xllamacpp") as caught:
        check(model)
    assert "fcbench[llama]" in caught.value.hint


# How much it is given


def test_threads_are_those_of_torch_and_never_more_than_there_are(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert n_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    most = n_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert most == n_threads() < 100000


def test_slots_are_as_many_as_fit_unless_their_number_is_given(model, monkeypatch):
    metadata = read_metadata(model)
    monkeypatch.setattr("fcbench.backends.gguf._server._memory_bytes", lambda: 4 * 2**20)
    # 256 numbers of 4 bytes a token: a quarter of 4 MiB holds 1024 tokens.
    options = ModelOptions()
    assert fitting_slots(metadata, 256, options, in_float32=True) == 4
    assert fitting_slots(metadata, 256, options, in_float32=False) == 8
    assert fitting_slots(metadata, 100_000, options, in_float32=True) == 1
    assert fitting_slots(metadata, 256, ModelOptions(batch_size=5), in_float32=True) == 5


def test_wall_time_is_divided_among_those_at_work():
    now = [0.0]
    clock = Clock(lambda: now[0])
    with clock.share() as first:
        now[0] = 2.0  # alone for 2
        with clock.share() as second:
            now[0] = 6.0  # together for 4
            assert second() == 2.0
        now[0] = 7.0
        assert first() == 2.0 + 2.0 + 1.0
    now[0] = 100.0  # nobody at work
    with clock.share() as third:
        assert third() == 0.0


# What is asked, and what the answer is


class StandIn:
    """A server that has its answers ready, by path, and keeps what it was asked."""

    def __init__(self, **answers):
        self.answers = {"tokenize": {"tokens": [2, 100]}, **answers}
        self.asked = []

    def post(self, path, body, *, read=None):
        self.asked.append((path, body))
        answer = self.answers[path.rpartition("/")[2].replace("-", "_")]
        if isinstance(answer, Exception):
            raise answer
        return answer if read is None else read(answer)


COMPLETED = {
    "content": "ok",
    "tokens": [7, 8, 106],
    "tokens_predicted": 3,
    "stop_type": "word",
    "stopping_word": "<end_of_turn>",
}


def ask(server, decoding=None, *, native=False, repeat=0):
    case = Case("case", [], [], [])
    request = Request(case, NATIVE if native else "<bos>hi", "hash", repeat, native)
    asking = Asking(server, keeps_prefixes=True)
    return asking.ask(request, decoding or Decoding(stops=STOPS, max_new_tokens=9))


def body_of(server, path):
    (body,) = [body for asked, body in server.asked if asked == path]
    return body


def test_a_prompt_is_sent_as_tokens_to_which_nothing_is_added():
    server = StandIn(completion=COMPLETED)
    sample = ask(server)
    assert body_of(server, "/tokenize") == {
        "content": "<bos>hi",
        "add_special": False,
        "parse_special": True,
    }
    body = body_of(server, "/completion")
    assert (body["prompt"], body["n_predict"], body["stop"]) == ([2, 100], 9, list(STOPS))
    assert body["cache_prompt"] is True
    assert (sample.prompt_tokens, sample.output_tokens) == (2, 3)


def test_a_stop_token_of_the_format_stays_in_the_text():
    sample = ask(StandIn(completion=COMPLETED))
    assert (sample.text, sample.stop) == ("ok<end_of_turn>", "token")


def test_a_stop_token_that_is_the_models_own_is_no_part_of_the_text():
    answer = {**COMPLETED, "content": "ok</s>", "stop_type": "eos", "stopping_word": ""}
    server = StandIn(completion=answer, detokenize={"content": "</s>"})
    sample = ask(server)
    assert (sample.text, sample.stop) == ("ok", "token")


def test_sampling_leaves_no_token_out():
    server = StandIn(completion=COMPLETED)
    ask(server, Decoding("sample", temperature=0.7, stops=STOPS))
    body = body_of(server, "/completion")
    assert body["samplers"] == ["temperature"]
    assert (body["temperature"], body["top_k"], body["top_p"], body["min_p"]) == (0.7, 0, 1, 0)
    assert body["repeat_penalty"] == 1


def test_seeds_differ_by_repeat_and_not_by_order():
    decoding = Decoding("sample", temperature=0.7)
    seeds = []
    for repeat in (0, 1, 0):
        server = StandIn(completion=COMPLETED)
        ask(server, decoding, repeat=repeat)
        seeds.append(body_of(server, "/completion")["seed"])
    assert seeds[0] == seeds[2] != seeds[1]


@pytest.mark.parametrize("answer", [None, [], {}, {"content": None}, {"content": 3}])
def test_an_answer_without_content_is_a_fault(answer):
    with pytest.raises(BackendError) as caught:
        ask(StandIn(completion=answer))
    assert caught.value.kind == "empty_choice"


def chat(ids=(7, 8, 106), finish_reason="tool_calls", **message):
    told = [{"id": i, "token": ""} for i in ids]
    return {
        "choices": [
            {
                "message": {"role": "assistant", **message},
                "finish_reason": finish_reason,
                "logprobs": {"content": told},
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3},
    }


CALLS = [{"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]


def native_server(end, **answers):
    """Return a server whose tokens are written in letters, the last one as `end`."""

    class Writing(StandIn):
        def post(self, path, body, *, read=None):
            if path == "/detokenize":
                last = end if 106 in body["tokens"] else ""
                return {"content": "".join("<é>"[: len(body["tokens"]) // 2 * 3]) + last}
            return super().post(path, body, read=read)

    return Writing(**answers)


def test_native_calls_are_the_servers_and_the_text_is_all_that_was_written():
    server = native_server("<end_of_turn>", completions=chat(content=None, tool_calls=CALLS))
    sample = ask(server, native=True)
    assert sample.native_calls == [Call("f", {"a": 1})]
    assert sample.text == "<é><end_of_turn>"
    assert (sample.prompt_tokens, sample.output_tokens, sample.stop) == (11, 3, "token")
    body = body_of(server, "/v1/chat/completions")
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    # Of none of the likeliest, llama.cpp tells no token at all.
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (9, True, 1)


def test_the_models_own_stop_token_is_no_part_of_a_native_text_either():
    server = native_server("</s>", completions=chat(content="<é></s>", finish_reason="stop"))
    assert ask(server, native=True).text == "<é>"


def test_calls_without_tokens_are_kept_beside_the_text_asked_for_again():
    server = StandIn(
        completions=chat(ids=(), content=None, tool_calls=CALLS),
        apply_template={"prompt": "rendered"},
        completion=COMPLETED,
    )
    sample = ask(server, native=True)
    assert sample.native_calls == [Call("f", {"a": 1})]
    assert sample.text == "ok<end_of_turn>"


def test_an_answer_in_words_without_tokens_is_its_content():
    server = StandIn(completions=chat(ids=(), content="words", finish_reason="stop"))
    sample = ask(server, native=True)
    assert (sample.native_calls, sample.text, sample.stop) == ([], "words", "token")


def test_what_the_servers_parser_refuses_is_no_call_beside_its_text():
    refusal = BackendError(
        "…: HTTP 500: The model produced output that does not match the expected peg-native format",
        kind="server_error",
    )
    server = StandIn(
        completions=refusal, apply_template={"prompt": "rendered"}, completion=COMPLETED
    )
    sample = ask(server, native=True)
    assert (sample.native_calls, sample.text, sample.error) == ([], "ok<end_of_turn>", None)
    # llama.cpp takes the bos out of what the template wrote, and reads it with one.
    assert body_of(server, "/tokenize")["content"] == "rendered"
    assert body_of(server, "/tokenize")["add_special"] is True


def test_the_tokens_of_no_more_prompts_are_kept_than_are_answered_together(monkeypatch):
    monkeypatch.setattr(_ask, "WINDOW", 3)
    server = StandIn()
    asking = Asking(server, keeps_prefixes=True)
    for i in (1, 2, 3, 3, 2, 1, 4, 4):
        request = Request(Case(f"{i}", [], [], []), f"{i}", f"hash {i}", 0, native=False)
        assert asking.tokens(request) == [2, 100]
        assert len(asking._tokens) <= 3
    assert [body["content"] for _, body in server.asked] == ["1", "2", "3", "4"]


def test_any_other_fault_of_the_chat_endpoint_stays_one():
    server = StandIn(completions=BackendError("HTTP 500: out of memory", kind="server_error"))
    with pytest.raises(BackendError, match="out of memory"):
        ask(server, native=True)


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [{"message": None}]}])
def test_a_chat_completion_without_a_message_is_a_fault(answer):
    with pytest.raises(BackendError) as caught:
        ask(StandIn(completions=answer), native=True)
    assert caught.value.kind == "empty_choice"


def probed(logprob):
    told = {"top_logprobs": [{"id": 5, "logprob": logprob}]}
    return {"completion_probabilities": [told]}


class Repeating(StandIn):
    """Writes one token for ever; what the second question to /completion finds is its logit."""

    def __init__(self, logprob):
        super().__init__()
        self.logprob = logprob

    def post(self, path, body, *, read=None):
        if path == "/completion" and "n_probs" in body:
            self.asked.append(("probe", body))
            return probed(self.logprob)
        if path == "/completion":
            tokens = [3, *[4] * 8]
            return {**COMPLETED, "tokens": tokens, "stop_type": "limit", "stopping_word": ""}
        return super().post(path, body)


def test_one_token_for_ever_is_an_answer_where_its_logits_are_numbers():
    server = Repeating(-0.1)
    assert ask(server).error is None
    assert body_of(server, "probe")["prompt"] == [2, 100, 3, *[4] * 7]


def test_one_token_for_ever_is_a_fault_where_its_logits_are_not_finite():
    with pytest.raises(BackendError, match="not finite"):
        ask(Repeating(None))


def test_nan_beside_numbers_is_not_finite():
    assert is_finite({1: -0.5, 2: -1.0})
    assert not is_finite({1: float("nan"), 2: -1.0})
    assert not is_finite({})


def test_an_adapter_that_changes_nothing_warns_and_is_recorded_as_not_active(lora):
    same = {1: -0.5, 2: -1.5}
    with pytest.warns(UserWarning, match="changes no logit"):
        record = adapter_record(str(lora), same, dict(same))
    assert (record["active"], record["max_logprob_difference"]) == (False, 0.0)
    record = adapter_record(str(lora), same, {1: -0.75, 3: -1.0})
    assert (record["active"], record["max_logprob_difference"]) == (True, 0.25)
