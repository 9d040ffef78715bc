"""Ollama, as far as a server that follows its published API can tell: none could be installed."""

import json
import socket

import pytest

import fcbench
from fcbench import Call, Case, Tool
from fcbench.backends import ModelOptions, check_model, open_model
from fcbench.backends.ollama import as_ollama_has_them, host_of
from fcbench.errors import ModelError, UsageError
from fcbench.prompts import Style, requests
from fcbench.runs._asked import Asked
from fcbench.types import Decoding
from tests.backends.ollama_server import Model, Ollama, Served

CALL = "<start_function_call>call:show_map{query:<escape>Oslo<escape>}<end_function_call>"
TOOL = Tool(
    "show_map", "Shows a place.", {"type": "object", "properties": {"query": {"type": "string"}}}
)
DECODING = Decoding(max_new_tokens=64, stops=("<end_of_turn>", "<eos>"))


def case(id="a", words="Show me Oslo.", messages=None, expected=None):
    messages = messages or [{"role": "user", "content": words}]
    expected = [[Call("show_map", {"query": "Oslo"})]] if expected is None else expected
    return Case(id, messages, [TOOL], expected)


@pytest.fixture
def serve(monkeypatch):
    """Return a function that puts a model, "it", into an Ollama that OLLAMA_HOST names."""
    running = []

    def start(model=None, version="0.35.1"):
        ollama = Ollama({"it": model or Model()}, version)
        running.append(Served(ollama).__enter__())
        monkeypatch.setenv("OLLAMA_HOST", running[-1].host)
        return ollama

    yield start
    for served in running:
        served.__exit__()


def opened(*, native=False, name="it", **options):
    return open_model(f"ollama:{name}", ModelOptions(native=native, retries=0, **options))


def answers(backend, cases, decoding=DECODING, *, native=False):
    style = Style("functiongemma", backend.template, backend.bos)
    asked = requests(cases, "native" if native else "chat", style)
    found = {sample.case_id: sample for sample in backend.answer(asked, decoding)}
    assert len(found) == len(cases)
    return [found[case.id] for case in cases]


def answer(backend, *, native=False, decoding=DECODING, **fields):
    (sample,) = answers(backend, [case(**fields)], decoding, native=native)
    return sample


# The prompt


@pytest.mark.parametrize("version", ["0.13.5", "0.35.1"])
@pytest.mark.parametrize("adds_bos", [True, False, None])
def test_a_model_reads_one_bos_where_it_has_one(serve, version, adds_bos):
    # None: a GGUF that does not say so; its kind of tokenizer, "llama", adds one all the same.
    ollama = serve(Model(adds_bos=adds_bos), version)
    backend = opened()
    assert backend.bos == ("" if adds_bos is False else "<bos>")
    answer(backend)
    (read,) = ollama.read
    assert read.count("<bos>") == (0 if adds_bos is False else 1)
    assert read.removeprefix("<bos>").startswith("<start_of_turn>developer\n")


def test_another_bos_than_gemmas_is_found_out(serve):
    ollama = serve(Model(bos="<s>"), "0.13.5")
    backend = opened()
    assert backend.bos == "<s>"
    answer(backend)
    assert ollama.read[0].count("<s>") == 1


def test_nothing_is_rendered_of_a_rendered_prompt(serve):
    ollama = serve()
    answer(opened())
    ((path, body),) = ollama.bodies
    assert path == "/api/generate"
    assert body["raw"] is True
    assert not {"system", "template", "context", "format"} & set(body)


def test_tokens_are_drawn_from_all_that_the_model_gives(serve):
    ollama = serve(Model(parameters='top_k                          40\nstop "</s>"'))
    answer(
        opened(temperature=0.7, decode="sample"), decoding=Decoding("sample", 64, temperature=0.7)
    )
    options = ollama.bodies[0][1]["options"]
    assert options["temperature"] == 0.7
    assert (options["top_k"], options["top_p"], options["min_p"]) == (0, 1.0, 0.0)
    assert (options["repeat_penalty"], options["presence_penalty"]) == (1.0, 0.0)
    assert options["num_predict"] == 64


def test_each_repeat_has_its_seed_and_keeps_it(serve):
    ollama = serve()
    backend = opened(temperature=0.7, decode="sample", repeats=3)
    asked = requests([case()], "chat", Style("functiongemma", None, backend.bos), repeats=3)
    decoding = Decoding("sample", 64, temperature=0.7)
    for order in (asked, asked[::-1]):
        list(backend.answer(order, decoding))
    seeds = [body["options"]["seed"] for _, body in ollama.bodies]
    assert len(set(seeds)) == 3
    assert set(seeds[:3]) == set(seeds[3:])


def test_the_modelfiles_stops_are_kept_beside_the_formats(serve):
    ollama = serve(
        Model(parameters='num_ctx    2048\nstop       "<|im_end|>"\nstop       "\\"q\\""')
    )
    answer(opened())
    assert ollama.bodies[0][1]["options"]["stop"] == ["<end_of_turn>", "<eos>", "<|im_end|>", '"q"']


# The context


def test_the_context_holds_the_longest_prompt_and_is_one_for_all(serve):
    ollama = serve()
    cases = [case("short"), case("long", "word " * 5000)]
    for sample in answers(opened(), cases):
        assert sample.error is None
    assert len({body["options"]["num_ctx"] for _, body in ollama.bodies}) == 1
    assert all("developer" in read for read in ollama.read), "none was cut at its beginning"


def test_a_prompt_that_exceeds_the_models_context_is_refused_not_cut(serve):
    ollama = serve(Model(context_length=256))
    sample = answer(opened(), words="word " * 500)
    assert sample.error.startswith("refused_request: ")
    assert "exceeds the available context size (256 tokens)" in sample.error
    assert ollama.read == []


def test_an_older_server_that_cuts_prompts_is_found_out(serve):
    ollama = serve(Model(context_length=256), "0.11.0")
    sample = answer(opened(), words="word " * 500)
    assert "developer" not in ollama.read[0], "the test is void: nothing was cut"
    assert sample.error == (
        "refused_request: 256 prompt tokens and 64 new ones exceed the context of 256"
    )
    assert sample.text == ""


# The answer


def test_text_tokens_time_and_end_of_an_answer(serve):
    serve(Model(write=lambda _: f"{CALL}<end_of_turn>"))
    sample = answer(opened())
    assert sample.text == CALL
    assert sample.native_calls is None
    assert sample.stop == "token"
    assert sample.prompt_tokens > 20
    assert sample.output_tokens > 5
    assert sample.seconds == 1.5, "what the model took; loading it is not the sample's"


def test_the_token_limit_is_not_a_stop_token(serve):
    serve(Model(write=lambda _: CALL))
    sample = answer(opened(), decoding=Decoding(max_new_tokens=3))
    assert sample.stop == "limit"
    assert CALL.startswith(sample.text)
    assert sample.output_tokens == 3


def test_calls_are_the_servers(serve):
    serve(Model(write=lambda _: f"Here: {CALL}"))
    sample = answer(opened(native=True), native=True)
    assert sample.native_calls == [Call("show_map", {"query": "Oslo"})]
    assert sample.text == "", "the text beside calls is not what the model wrote"


def test_text_is_known_where_no_call_was_read(serve):
    serve(Model(write=lambda _: "call:show_map{}"))
    sample = answer(opened(native=True), native=True)
    assert (sample.native_calls, sample.text) == ([], "call:show_map{}")


def test_thinking_is_not_judged(serve):
    serve(Model(write=lambda _: "No.", thinking=CALL))
    sample = answer(opened(native=True), native=True)
    assert (sample.native_calls, sample.text) == ([], "No.")


def test_what_the_parser_keeps_to_itself_is_said(serve, caplog):
    serve(Model(write=lambda _: "<start_function_call>call:show_map{"))
    sample = answer(opened(native=True), native=True)
    assert (sample.native_calls, sample.text) == ([], "")
    assert "1 answers have tokens but neither text nor a call" in caplog.text


def test_an_empty_turn_is_no_swallowed_one(serve, caplog):
    serve(Model(write=lambda _: ""))
    sample = answer(opened(native=True), native=True)
    assert sample.error is None
    assert sample.output_tokens == 1
    assert not caplog.text


def test_control_tokens_that_raw_answers_lack_are_warned_of(serve, caplog):
    tokens = ("<start_function_call>", "<end_function_call>", "<escape>", "<unused3>")
    serve(Model(write=lambda _: CALL, control_tokens=tokens))
    sample = answer(opened())
    assert sample.text == "call:show_map{query:Oslo}", "the test is void: nothing was lost"
    assert "raw answers lack <end_function_call>, <escape>, <start_function_call>" in caplog.text
    assert "unused3" not in caplog.text


@pytest.mark.parametrize("native", [True, False])
def test_control_tokens_that_are_not_lost_are_not_warned_of(serve, caplog, native):
    serve(Model(control_tokens=("<escape>",)), "0.35.1" if native else "0.29.0")
    assert answer(opened(native=native), native=native).error is None
    assert not caplog.text


# Native messages


def test_messages_have_ollamas_shape(serve):
    ollama = serve(Model(write=lambda _: "Done."))
    called = {"type": "function", "function": {"name": "show_map", "arguments": {"query": "Oslo"}}}
    messages = [
        {"role": "developer", "content": "Today is Monday."},
        {"role": "user", "content": "Show me Oslo."},
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "content": '{"status": "done"}'},
        {"role": "user", "content": "And now?"},
    ]
    # The server refuses arguments that are text, results that name no tool, unknown roles.
    sample = answer(opened(native=True), native=True, messages=messages, expected=[[]])
    assert sample.error is None
    (read,) = ollama.read
    assert [message["role"] for message in read] == ["system", "user", "assistant", "tool", "user"]
    assert "Today is Monday." in read[0]["content"]
    assert read[2]["tool_calls"][0]["function"]["arguments"] == {"query": "Oslo"}
    assert read[3]["tool_name"] == "show_map"
    assert json.loads(read[3]["content"]) == {"status": "done"}
    ((path, body),) = ollama.bodies
    assert path == "/api/chat"
    assert body["tools"][0]["function"]["name"] == "show_map"
    assert (body["truncate"], body["shift"]) == (False, False)


def test_no_tools_are_sent_where_there_are_none():
    assert "tools" not in as_ollama_has_them({"messages": [{"role": "user", "content": "Hi."}]})


def test_a_template_without_tools_is_an_error_at_once(serve):
    serve(Model(capabilities=("completion",)))
    with pytest.raises(ModelError, match="its template takes no tools"):
        opened(native=True)
    assert opened(native=False).manifest["capabilities"] == ["completion"]


def test_an_ollama_that_does_not_tell_capabilities_is_asked(serve):
    serve(Model(write=lambda _: CALL, capabilities=None))
    assert answer(opened(native=True), native=True).native_calls


# Ctrl-C


@pytest.mark.parametrize("native", [True, False])
def test_an_interrupted_run_ends_after_what_the_server_is_at(serve, native):
    def write(_):
        if len(ollama.read) == 3:
            run.close()
        return CALL

    ollama = serve(Model(write=write))
    backend = opened(native=native, batch_size=1)
    cases = [case(f"c{n}") for n in range(20)]
    style = Style("functiongemma", None, backend.bos)
    run = Asked(requests(cases, "native" if native else "chat", style), cases, 1)
    found = list(backend.answer(run, DECODING))
    assert [(sample.case_id, sample.error) for sample in found] == [
        ("c0", None), ("c1", None), ("c2", None),
    ]  # fmt: skip
    assert len(ollama.read) == 3


# Faults


def test_a_wrong_model_name_is_an_error_with_its_kind(serve, caplog):
    serve()
    (sample,) = answers(opened(name="that"), [case()])
    assert sample.error.startswith("no_such_model: ")
    assert "model 'that' not found" in sample.error
    assert "ollama pull that" in caplog.text


def nobody_there(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{free.getsockname()[1]}")


def test_a_server_that_is_not_there_is_warned_of_and_its_answers_are_errors(monkeypatch, caplog):
    nobody_there(monkeypatch)
    backend = opened()
    assert "ollama serve" in caplog.text
    for sample in answers(backend, [case("a"), case("b")]):
        assert sample.error.startswith("connection_refused: ")
    assert not backend.has_answered


def test_a_server_that_comes_later_is_asked(monkeypatch, serve):
    ollama = serve()
    with monkeypatch.context() as later:
        nobody_there(later)
        backend = opened()
    backend._endpoint = opened()._endpoint
    assert answer(backend).error is None
    assert ollama.read[0].count("<bos>") == 1
    assert backend.has_answered


def test_prompts_made_for_another_bos_are_not_sent(monkeypatch, serve):
    ollama = serve(Model(bos="<s>"))
    with monkeypatch.context() as later:
        nobody_there(later)
        backend = opened()
    backend._endpoint = opened()._endpoint
    assert "the model with '<s>'" in answer(backend).error
    assert ollama.read == []


@pytest.mark.parametrize(
    ("said", "native"),
    [
        ({"done": False}, False),
        ({"done": True}, False),
        ({"done": True, "message": None}, True),
        ([], True),
    ],
)
def test_an_answer_that_is_none_is_an_error(serve, said, native, monkeypatch):
    ollama = serve()
    backend = opened(native=native)
    monkeypatch.setattr(ollama, "answer", lambda *_: (200, said), raising=False)
    assert answer(backend, native=native).error.startswith("empty_choice: ")


def test_tool_calls_that_are_no_list_are_the_servers_fault(serve, monkeypatch):
    ollama = serve()
    backend = opened(native=True)
    said = {"done": True, "message": {"content": "", "tool_calls": {"name": "f"}}}
    monkeypatch.setattr(ollama, "answer", lambda *_: (200, said), raising=False)
    sample = answer(backend, native=True)
    assert sample.error == "server_error: tool_calls: expected array, got dict"


# Names and options


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":56789", "http://127.0.0.1:56789"),
        ("[::]:1", "http://[::1]:1"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        (' "example.com" ', "http://example.com:11434"),
        ("http://example.com", "http://example.com:80"),
        ("https://example.com/", "https://example.com:443"),
        ("https://example.com:8443/ollama/", "https://example.com:8443/ollama"),
        ("example.com:99999", "http://example.com:11434"),
        ("example.com:", "http://example.com:11434"),
    ],
)
def test_the_host_is_read_as_ollama_reads_it(variable, address):
    assert host_of(variable) == address


def test_a_password_in_the_host_is_refused_and_not_shown(monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "http://me:secret@example.com")
    with pytest.raises(UsageError, match="holds no user name") as refused:
        check_model("ollama:it", ModelOptions())
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("", {}),
        ("it", {"adapter": "somewhere"}),
        ("it", {"decode": "constrained"}),
        ("it", {"dtype": "float32"}),
        ("it", {"repeats": 2}),
    ],
)
def test_what_ollama_cannot_be_given_is_refused_without_asking(name, options):
    with pytest.raises(UsageError):
        check_model(f"ollama:{name}", ModelOptions(**options))


def test_the_manifest_says_which_model_it_was(serve):
    serve(Model(parameters='stop "</s>"'))
    manifest = opened().manifest
    assert manifest["name"] == "ollama:it"
    assert (manifest["backend"], manifest["version"]) == ("ollama", "0.35.1")
    assert (manifest["digest"], manifest["quantization"]) == ("d1" * 32, "Q8_0")
    assert manifest["parameters"] == 'stop "</s>"'
    assert len(manifest["template_sha256"]) == 64


@pytest.mark.parametrize("prompt", ["native", "chat", "raw"])
def test_a_whole_run(serve, write_lines, case_row, tmp_path, prompt):
    ollama = serve(Model(write=lambda _: f"{CALL}<end_of_turn>"))
    suite = write_lines(case_row(), case_row(id="b"))
    options = {"prompt": prompt, "results": tmp_path / "results", "retries": 0}
    run = fcbench.run("ollama:it", suite, **options)
    scores = fcbench.score(run)
    assert scores.metrics["argument_exact_match"].value == 1.0
    assert scores.n_errors == 0
    again = fcbench.run("ollama:it", suite, resume=True, **options)
    assert len(again.samples) == 2
    assert len(ollama.bodies) == 2, "what was answered is not asked again"
