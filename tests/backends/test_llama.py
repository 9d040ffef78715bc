"""The llama.cpp backend with llama.cpp: small files of random weights, and Gemma 3 270M."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading

import pytest

from fcbench.backends import ModelOptions, gguf, open_model
from fcbench.errors import ModelError
from fcbench.formats import until_stop
from fcbench.formats.functiongemma import STOP_TOKENS
from fcbench.types import Call, Case, Decoding, Request, Tool
from tests.backends import small_gguf
from tests.backends.generated import as_requests

pytestmark = pytest.mark.model
pytest.importorskip("xllamacpp")

DECODING = Decoding(max_new_tokens=8, stops=STOP_TOKENS)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    # Tests share the machine: threads that wait for each other take their time.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_gguf.write_model(tmp_path_factory.mktemp("small") / "model.gguf")


def answers(backend, requests, decoding=DECODING):
    found = {(s.case_id, s.repeat): s for s in backend.answer(requests, decoding)}
    assert len(found) == len(requests)
    return [found[request.case.id, request.repeat] for request in requests]


def opened(path, **options):
    return open_model(f"gguf:{path}", ModelOptions(**options))


def follower(tmp_path, follows, **more):
    return opened(small_gguf.write_model(tmp_path / "m.gguf", follows=follows, **more))


def test_a_file_is_opened_and_says_what_it_is(model):
    backend = opened(model)
    assert backend.bos == "<bos>"
    assert backend.template is None
    assert backend.manifest["name"] == f"gguf:{model}"
    assert (backend.manifest["dtype"], backend.manifest["kv"]) == ("float32", "float32")
    assert len(backend.manifest["weights_sha256"]) == 64
    backend.close()


def test_how_many_are_asked_together_changes_no_greedy_answer(model):
    prompts = [f"<bos>{'word ' * n}" for n in range(1, 12)]
    texts = []
    for batch_size in (1, 4):
        backend = opened(model, batch_size=batch_size)
        texts.append([sample.text for sample in answers(backend, as_requests(prompts))])
        backend.close()
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1


def test_draws_depend_on_seed_case_and_repeat_alone(model):
    decoding = Decoding("sample", max_new_tokens=8, stops=STOP_TOKENS, temperature=1.5)
    requests = as_requests(["<bos>ab", "<bos>cd"], repeats=3)
    backend = opened(model, batch_size=3)
    first = [s.text for s in answers(backend, requests, decoding)]
    again = [s.text for s in answers(backend, requests[::-1], decoding)][::-1]
    backend.close()
    assert first == again
    assert len(set(first)) == 6


def test_prompts_longer_than_a_slot_get_a_larger_one(tmp_path):
    path = small_gguf.write_model(tmp_path / "long.gguf", context=4096)
    backend = opened(path, batch_size=2)
    short, long = answers(backend, as_requests(["<bos>a", "b" * 3000]))
    backend.close()
    assert (short.error, long.error, long.prompt_tokens) == (None, None, 3000)


def test_where_larger_slots_cannot_be_had_it_is_said_each_time_and_short_prompts_are_answered(
    tmp_path, monkeypatch
):
    class Narrow(gguf.Llama):
        def __init__(self, settings, options):
            if settings.slot_tokens > gguf.FIRST_TOKENS:
                raise ModelError("out of memory")
            super().__init__(settings, options)

    monkeypatch.setattr(gguf, "Llama", Narrow)
    backend = opened(small_gguf.write_model(tmp_path / "long.gguf", context=4096), batch_size=1)
    for letter in "ab":
        with pytest.raises(ModelError, match="out of memory"):
            answers(backend, as_requests([letter * 3000]))
    assert answers(backend, as_requests(["<bos>a"]))[0].error is None
    backend.close()


def test_a_prompt_that_fills_the_context_to_the_last_token_is_answered(model):
    backend = opened(model, batch_size=1)
    fits, exceeds = answers(backend, as_requests(["a" * 504, "a" * 505]))
    backend.close()
    assert (fits.output_tokens, fits.stop, fits.error) == (8, "limit", None)
    assert exceeds.error == (
        "refused_request: 505 prompt tokens and 8 new ones exceed the model's context of 512"
    )


def test_a_prompt_without_a_token_is_an_error(model):
    backend = opened(model)
    (sample,) = answers(backend, as_requests([""]))
    backend.close()
    assert sample.error == "refused_request: the prompt holds no token"


def test_control_tokens_stay_in_the_text_and_the_formats_stop_too(tmp_path):
    start, end = "<start_function_call>", "<end_function_call>"
    response = "<start_function_response>"
    backend = follower(tmp_path, {"!": start, start: "f", "f": end, end: response})
    (sample,) = answers(backend, as_requests(["<bos>!"]))
    backend.close()
    assert sample.text == f"{start}f{end}{response}"
    assert (sample.stop, sample.output_tokens) == ("token", 4)


def test_the_models_own_stop_token_is_left_out_of_the_text(tmp_path):
    backend = follower(tmp_path, {"!": "f", "f": "<eos>"})
    decoding = Decoding(max_new_tokens=8, stops=("<start_function_response>",))
    (sample,) = answers(backend, as_requests(["<bos>!"]), decoding)
    backend.close()
    assert (sample.text, sample.stop, sample.output_tokens) == ("f", "token", 2)


def test_the_same_token_for_ever_is_an_answer(tmp_path):
    backend = follower(tmp_path, {"!": "!"})
    (sample,) = answers(backend, as_requests(["<bos>!"]))
    backend.close()
    assert (sample.text, sample.stop, sample.error) == ("!!!!!!!!", "limit", None)


def test_logits_that_stop_being_finite_are_an_error(tmp_path):
    backend = follower(tmp_path, {"!": "~", "f": "f"}, broken="~")
    decoding = Decoding(max_new_tokens=12, stops=STOP_TOKENS)
    broken, whole = answers(backend, as_requests(["<bos>!", "<bos>f"]), decoding)
    backend.close()
    assert broken.error == "failed: the logits are not finite"
    assert whole.error is None


def test_a_model_of_nan_is_a_model_error(tmp_path):
    path = small_gguf.write_model(tmp_path / "nan.gguf", broken="all")
    with pytest.raises(ModelError, match="not finite"):
        opened(path)


def test_a_file_that_llama_cannot_load_is_a_model_error(model, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="cannot load it"):
        opened(cut)


# Adapters


def test_an_adapter_changes_answers_and_the_record_says_so(model, tmp_path):
    lora = small_gguf.write_lora(tmp_path / "lora.gguf")
    plain, adapted = opened(model), opened(model, adapter=str(lora))
    record = adapted.manifest["adapter"]
    assert (record["name"], record["active"]) == (str(lora), True)
    assert record["max_logprob_difference"] > 0.01
    requests = as_requests(["<bos>ab", "<bos>cd"])
    texts = [[s.text for s in answers(backend, requests)] for backend in (plain, adapted)]
    plain.close()
    adapted.close()
    assert texts[0] != texts[1]


def test_an_adapter_of_zeros_warns_and_is_not_active(model, tmp_path):
    lora = small_gguf.write_lora(tmp_path / "lora.gguf", scale=0.0)
    with pytest.warns(UserWarning, match="changes no logit"):
        backend = opened(model, adapter=str(lora))
    assert backend.manifest["adapter"]["active"] is False
    backend.close()


def test_an_adapter_of_another_size_is_a_model_error(model, tmp_path):
    lora = small_gguf.write_lora(tmp_path / "wide.gguf", width=128)
    with pytest.raises(ModelError, match="with the adapter"):
        opened(model, adapter=str(lora))


# Native requests

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n"
    "{{ m.content }}<end_of_turn>\n{% endfor %}<start_of_turn>model\n"
)


def test_native_requests_go_through_the_files_own_template(tmp_path):
    # Letters, since what is no UTF-8 is handed on in other ways.
    backend = follower(
        tmp_path, {"Ċ": "f", "f": "g", "g": "h", "h": "i", "i": "f"}, template=TEMPLATE
    )
    messages = [{"role": "user", "content": "hi"}]
    case = Case("case", messages, [], [])
    native = Request(case, json.dumps({"messages": messages}), "native", 0, native=True)
    rendered = Request(case, backend.template(messages, []), "rendered", 1)
    by_template, by_us = answers(backend, [native, rendered])
    backend.close()
    assert by_template.error is None
    assert by_template.native_calls == []
    assert by_template.text == by_us.text == "fghifghi"
    assert by_template.prompt_tokens == by_us.prompt_tokens


# The server's end


def test_the_server_ends_with_the_backend(model):
    httpx = pytest.importorskip("httpx")
    for end in (lambda backend: backend.close(), lambda backend: None):
        backend = opened(model)
        address = backend._llama.endpoint.url
        assert httpx.get(f"{address}/health").is_success
        end(backend)
        del backend
        gc.collect()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health")


def test_the_server_ends_in_the_middle_of_an_answer(tmp_path):
    path = small_gguf.write_model(tmp_path / "m.gguf", follows={"!": "!"}, context=2**17)
    backend = opened(path, batch_size=2)
    backend._make_room(100_010)  # as answer() would, with another way to it
    endpoint = backend._llama.endpoint
    asked, post = threading.Semaphore(0), endpoint.post

    def noted(path, body, **more):
        if path == "/completion":
            asked.release()
        return post(path, body, **more)

    def close():
        for _ in range(2):
            asked.acquire(timeout=60)
        backend.close()

    endpoint.post = noted
    closing = threading.Thread(target=close)
    closing.start()
    requests = as_requests(["<bos>!", "<bos>!!"])
    found = list(backend.answer(requests, Decoding(max_new_tokens=100_000)))
    closing.join(timeout=60)
    assert not closing.is_alive()
    # Both would have taken minutes.
    assert all(sample.error is not None for sample in found)


def test_a_process_ends_quietly_in_the_middle_of_an_answer(tmp_path):
    path = small_gguf.write_model(tmp_path / "m.gguf", follows={"!": "!"}, context=2**17)
    script = (
        "import threading, time\n"
        "from fcbench.backends import ModelOptions, open_model\n"
        "from fcbench.types import Case, Decoding, Request\n"
        "requests = [Request(Case(p, [], [], []), p, p) for p in ('!', '!!')]\n"
        f"backend = open_model({f'gguf:{path}'!r}, ModelOptions(batch_size=2))\n"
        "ask = lambda: list(backend.answer(requests, Decoding(max_new_tokens=100_000)))\n"
        "threading.Thread(target=ask, daemon=True).start()\n"
        "time.sleep(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# The real model


@pytest.fixture(scope="session")
def gemma(tmp_path_factory):
    """Gemma 3 270M as a file of float32."""
    from fcbench.train.export import export_gguf

    path = tmp_path_factory.mktemp("gemma") / "gemma-f32.gguf"
    export_gguf("gemma3-270m", str(path), type="f32", format="functiongemma", check=False)
    return path


def test_gemma_answers_as_transformers_does(gemma):
    from tests.backends import real_models

    requests = real_models.requests(real_models.GEMMA, 3)
    decoding = Decoding(max_new_tokens=16, stops=STOP_TOKENS)
    reference = open_model("gemma3-270m", ModelOptions(dtype="float32"))
    expected = answers(reference, requests, decoding)
    ids = [reference._encode(request) for request in requests]
    source = reference.template.source
    del reference
    gc.collect()
    backend = opened(gemma)
    found = answers(backend, requests, decoding)
    assert [backend._asking.tokens(request) for request in requests] == ids
    assert backend.template.source == source
    backend.close()
    for theirs, ours in zip(expected, found, strict=True):
        assert until_stop(STOP_TOKENS, ours.text) == until_stop(STOP_TOKENS, theirs.text)
        assert (ours.output_tokens, ours.stop) == (theirs.output_tokens, theirs.stop)


def test_gemma_renders_native_requests_as_the_chat_prompt(gemma):
    from fcbench import prompts

    case = Case(
        "case",
        [{"role": "user", "content": "Turn on the light."}],
        [Tool("light", "Turns on the light.", {"type": "object", "properties": {}})],
        [[Call("light")]],
    )
    backend = opened(gemma)
    style = prompts.Style("functiongemma", backend.template, backend.bos)
    chat, native = (
        backend._asking.tokens(prompts.requests([case], mode, style)[0])
        for mode in ("chat", "native")
    )
    backend.close()
    assert chat == native
