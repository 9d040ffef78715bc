"""A small server that follows Ollama's published API, since no Ollama can be installed here.

Source: docs/api.md, api/types.go, server/routes.go, llm/llama_server.go and
model/parsers/functiongemma.go of github.com/ollama/ollama. What it keeps of it: the fields and
their types (an argument that is no object is refused as Go refuses it), what is left out where it
is zero, streams where nobody says no, the bos and who adds it, prompts cut at their beginning,
control tokens that raw answers lack, a parser that says nothing of what it cannot read. A token is
a word, a control token, or a single other character.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = re.compile(r"<\w+>|\w+|\s+|.", re.DOTALL)
NORMAL, CONTROL = 1, 3
ROLES = ("system", "user", "assistant", "tool")
SECOND = 10**9


@dataclass
class Model:
    """A model: `write` makes its text of what it reads, a text or a list of messages."""

    write: Callable[[Any], str] = lambda read: f"read {read}"
    adds_bos: bool | None = True
    bos: str = "<bos>"
    context_length: int = 32768
    capabilities: tuple[str, ...] | None = ("completion", "tools")
    parameters: str = ""
    control_tokens: tuple[str, ...] = ()
    thinking: str = ""
    kind: str = "llama"


@dataclass
class Ollama:
    """The server's models, and what was asked of it and read by them."""

    models: dict[str, Model]
    version: str = "0.35.1"
    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    read: list[Any] = field(default_factory=list)

    @property
    def is_current(self) -> bool:
        """Whether llama.cpp's own server answers; older ones here cut prompts and say nothing."""
        return tuple(int(part) for part in self.version.split(".")[:2]) >= (0, 30)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer of a request."""
        if path == "/api/version":
            return 200, {"version": self.version}
        if path == "/api/tags":
            listed = [{"name": f"{name}:latest", "digest": "d1" * 32} for name in self.models]
            return 200, {"models": listed}
        model = self.models.get(body.get("model", ""))
        if model is None:
            return 404, {"error": f"model '{body.get('model')}' not found"}
        if path == "/api/show":
            return 200, _shown(model, is_verbose=body.get("verbose") is True)
        self.bodies.append((path, body))
        if path == "/api/generate":
            return self._generate(model, body)
        if path == "/api/chat":
            return self._chat(model, body)
        return 404, {"error": "404 page not found"}

    def _generate(self, model: Model, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert body["raw"] is True
        if not body["prompt"]:
            return 200, {
                "model": body["model"],
                "response": "",
                "done": True,
                "done_reason": "load",
            }
        prompt = body["prompt"]
        if model.adds_bos is not False:
            prompt = model.bos + (prompt.removeprefix("<bos>") if self.is_current else prompt)
        status, found = self._complete(model, body, prompt)
        if status != 200:
            return status, found
        text = found.pop("text")
        if self.is_current:
            text = "".join(t for t in TOKEN.findall(text) if t not in model.control_tokens)
        return 200, {"response": text, **found}

    def _chat(self, model: Model, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body.get("tools") and "tools" not in (model.capabilities or ("tools",)):
            name = f"registry.ollama.ai/library/{body['model']}:latest"
            return 400, {"error": f"{name} does not support tools"}
        wrong = _wrong_message(body["messages"])
        if wrong is not None:
            return 400, {"error": wrong}
        status, found = self._complete(model, body, body["messages"])
        if status != 200:
            return status, found
        content, calls = _functiongemma(found.pop("text"))
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if model.thinking:
            message["thinking"] = model.thinking
        if calls:
            message["tool_calls"] = calls
        return 200, {"message": message, **found}

    def _complete(
        self, model: Model, body: dict[str, Any], read: Any
    ) -> tuple[int, dict[str, Any]]:
        options = body["options"]
        num_ctx, num_predict = options["num_ctx"], options["num_predict"]
        written = read if isinstance(read, str) else json.dumps(read)
        tokens = TOKEN.findall(written)
        if len(tokens) >= num_ctx:
            if self.is_current and body.get("truncate") is False:
                return 400, _exceeded(len(tokens), num_ctx)
            tokens = tokens[-num_ctx:]
            read = "".join(tokens)
        self.read.append(read)
        answer = TOKEN.findall(model.write(read))
        reason, n_output = "stop", min(len(answer) + 1, num_predict)
        if len(answer) + 1 > num_predict:
            answer, reason = answer[:num_predict], "length"
        text = "".join(answer)
        for stop in options.get("stop", []):
            if stop in text:
                text, reason = text.partition(stop)[0], "stop"
        return 200, {
            "model": body["model"],
            "text": text,
            "done": True,
            "done_reason": reason,
            "total_duration": 9 * SECOND,
            "load_duration": 6 * SECOND,
            "prompt_eval_count": len(tokens),
            "prompt_eval_duration": SECOND,
            "eval_count": n_output,
            "eval_duration": SECOND // 2,
        }


def _shown(model: Model, *, is_verbose: bool) -> dict[str, Any]:
    tokens = ["<pad>", "<eos>", model.bos, *model.control_tokens, "Oslo", "call"]
    types = [CONTROL] * (len(tokens) - 2) + [NORMAL] * 2
    info = {
        "general.architecture": "gemma3",
        "gemma3.context_length": model.context_length,
        "tokenizer.ggml.model": model.kind,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.tokens": tokens if is_verbose else None,
        "tokenizer.ggml.token_type": types if is_verbose else None,
    }
    if model.adds_bos is not None:
        info["tokenizer.ggml.add_bos_token"] = model.adds_bos
    shown: dict[str, Any] = {
        "template": "{{ .Prompt }}",
        "details": {"format": "gguf", "family": "gemma3", "quantization_level": "Q8_0"},
        "model_info": info,
    }
    if model.parameters:
        shown["parameters"] = model.parameters
    if model.capabilities is not None:
        shown["capabilities"] = list(model.capabilities)
    return shown


def _wrong_message(messages: list[dict[str, Any]]) -> str | None:
    """Return Go's word for a message that its structs do not hold, None for good ones."""
    for message in messages:
        if message["role"] not in ROLES:
            return f"invalid role: {message['role']}"
        if not isinstance(message["content"], str):
            return (
                "json: cannot unmarshal object into Go struct field Message.content of type string"
            )
        for call in message.get("tool_calls", []):
            if not isinstance(call["function"]["arguments"], dict):
                return "json: cannot unmarshal string into Go struct field .arguments of type map"
        if message["role"] == "tool" and not message.get("tool_name"):
            return "a tool message names no tool"
    return None


def _functiongemma(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the content and the calls of a text, as Ollama's parser `functiongemma` has them.

    A call that does not end is kept back, and one that cannot be read has no name.
    """
    content, *rest = text.split("<start_function_call>")
    calls = []
    for part in rest:
        call, ended, after = part.partition("<end_function_call>")
        if not ended:
            continue
        content += after
        found = re.search(r"call:([^{]+)\{(.*)\}", call)
        name, arguments = (found[1], found[2]) if found else ("", "")
        pairs = re.findall(r"(\w+):<escape>(.*?)<escape>", arguments)
        calls.append({"function": {"index": len(calls), "name": name, "arguments": dict(pairs)}})
    return content, calls


def _exceeded(n_tokens: int, num_ctx: int) -> dict[str, Any]:
    inner = {
        "code": 400,
        "message": f"request ({n_tokens} tokens) exceeds the available context size "
        f"({num_ctx} tokens), try increasing it",
        "type": "exceed_context_size_error",
    }
    return {"error": json.dumps({"error": inner})}


class _Handler(BaseHTTPRequestHandler):
    ollama: Ollama

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._say(*self.ollama.answer(self.path, {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.ollama.answer(self.path, body)
        streams = self.path in ("/api/chat", "/api/generate") and body.get("stream") is not False
        first = [{"done": False, "response": ""}] if streams and status == 200 else []
        self._say(status, *first, answer)

    def _say(self, status: int, *answers: dict[str, Any]) -> None:
        content = "\n".join(map(json.dumps, answers)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Served:
    """An Ollama at `host` as long as the with block lasts."""

    def __init__(self, ollama: Ollama) -> None:
        handler = type("Handler", (_Handler,), {"ollama": ollama})
        # Not an HTTPServer, which asks for its own name first, in vain and for seconds.
        self._server = ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
