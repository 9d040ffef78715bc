"""What is known of a model without its weights: template, bos and tokens, as its backend has them."""

import pytest

pytest.importorskip("httpx")

from fcbench.backends import ModelOptions, Outline, _http, open_model, outline_model
from fcbench.errors import BackendError, ModelError, UsageError
from fcbench.prompts import Style, requests
from fcbench.runs._preview import tokens_of
from fcbench.suite import load_suite
from tests.backends import small_gguf
from tests.backends.fault_server import FaultServer
from tests.backends.ollama_server import Model, Ollama, Served

OPTIONS = ModelOptions()
CASE = load_suite("original_experiment").cases[1]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_http, "BACKOFF_SECONDS", 0.001)
    monkeypatch.delenv("FCBENCH_API_KEY", raising=False)


def request(outline, mode="bare"):
    return requests([CASE], mode, Style("functiongemma", outline.template, outline.bos))[0]


def test_a_folder_tells_what_its_loaded_model_has(tiny_model):
    outline, backend = outline_model(str(tiny_model), OPTIONS), open_model(str(tiny_model))
    assert (outline.template, outline.bos) == (backend.template, backend.bos)
    asked = request(outline)
    assert outline.count(asked) == len(backend._encode(asked))


def test_a_gguf_tells_what_its_loaded_model_has(tmp_path):
    pytest.importorskip("xllamacpp")
    path = f"gguf:{small_gguf.write_model(tmp_path / 'm.gguf')}"
    outline, backend = outline_model(path, OPTIONS), open_model(path)
    try:
        assert outline.bos == backend.bos
        assert (outline.template is None) == (backend.template is None)
        asked = request(outline)
        assert outline.count(asked) == len(backend._asking.tokens(asked)) > 0
        assert outline.counted_by == "llama.cpp's tokenizer"
    finally:
        backend.close()


def test_a_server_that_counts_is_asked(monkeypatch):
    shown = {
        "chat_template": "{{ messages }}",
        "default_generation_settings": {},
        "bos_token": "<bos>",
        "total_slots": 1,
    }

    def tokenize(body):
        pieces = [{"id": i, "piece": piece} for i, piece in enumerate(["<bos>", "a", "b"])]
        return {"tokens": pieces if body.get("with_pieces") else [p["id"] for p in pieces]}

    served = {"/props": shown, "/v1/models": {"data": []}, "/tokenize": tokenize}
    with FaultServer(served) as server:
        outline = outline_model(server.name, OPTIONS)
        assert outline.bos == "<bos>"
        assert tokens_of(request(outline), outline).n == 3
        assert tokens_of(request(outline), outline).counted_by == "the server's own tokenizer"


def test_a_vllm_server_counts_with_and_without_messages():
    served = {"/version": {"version": "0.11"}, "/tokenize": {"count": 17, "token_strs": ["x"]}}
    with FaultServer(served) as server:
        outline = outline_model(server.name, OPTIONS)
        assert tokens_of(request(outline), outline).n == 17
        assert tokens_of(request(outline, "native"), outline).n == 17


def test_a_server_that_does_not_count_says_so():
    with FaultServer({}) as server:
        outline = outline_model(server.name, OPTIONS)
        with pytest.raises(BackendError):
            outline.count(request(outline))
        tokens = tokens_of(request(outline), outline)
    assert (tokens.n, tokens.counted_by) == (None, "the server does not count before it answers")


def test_a_server_that_is_not_there_tells_nothing(caplog):
    outline = outline_model("openai:http://127.0.0.1:9/v1#m", ModelOptions(retries=0))
    assert (outline.count, outline.counted_by) == (None, "the server cannot be reached")


def test_ollama_tells_the_bos_and_counts_nothing(monkeypatch):
    with Served(Ollama({"m": Model()})) as served:
        monkeypatch.setenv("OLLAMA_HOST", served.host)
        outline, backend = outline_model("ollama:m", OPTIONS), open_model("ollama:m")
    assert outline.bos == backend.bos
    assert tokens_of(request(outline), outline).n is None


def test_a_backend_without_an_outline_tells_as_little_as_it_can(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text('{"id": "map", "text": "x"}\n', encoding="utf-8")
    outline = outline_model(f"replay:{path}", OPTIONS)
    assert outline == Outline()
    assert outline.bos == open_model(f"replay:{path}").bos


def test_what_a_model_cannot_be_given_is_refused_as_by_a_run(tmp_path):
    with pytest.raises(ModelError, match="no such model folder"):
        outline_model("./nowhere", OPTIONS)
    with pytest.raises(UsageError, match="no kind of model is called opnai:"):
        outline_model("opnai:x", OPTIONS)
