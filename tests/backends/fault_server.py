"""A server on a thread that answers as OpenAI's does, and plays each fault on request.

What it says of itself is what most servers do: no /props, no /version, a list of models.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Self

MODEL = "it"
TEXT = "<start_function_call>call:show_map{query:<escape>Oslo<escape>}<end_function_call>"
CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "show_map", "arguments": '{"query": "Oslo"}'},
}
USAGE = {"prompt_tokens": 7, "completion_tokens": 5}
FAULTS = {
    "reset": "connection_reset",
    "timeout": "timeout",
    "429": "rate_limited",
    "500": "server_error",
    "html": "not_json",
    "truncated": "truncated_json",
    "empty": "empty_choice",
    "no_fields": "empty_choice",
    "error_in_200": "server_error",
    "cut_body": "connection_reset",
    "drip": "timeout",
    "drip_headers": "timeout",
}
"""Each fault that may pass, and the kind that it is to be recorded as."""


class FaultServer:
    """Plays `faults`, a name a request, then answers; `always` is played for ever.

    `faults_of` has them by the words that a request's body holds. `replies` are answers by their
    path, or functions that make them of a body. `hold` makes answers wait, so that requests meet;
    `n_most` is how many were there together.
    """

    def __init__(self, replies: dict[str, Any] | None = None, *, port: int = 0) -> None:
        self.always: str | None = None
        self.faults: list[str] = []
        self.faults_of: dict[str, str] = {}
        self.replies = replies or {}
        self.retry_after: str | None = "0"
        self.hold = 0.0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.played: Counter[str] = Counter()
        self.n_most = self._n_now = 0
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.ended = threading.Event()
        self._tcp = _Server(("127.0.0.1", port), _Handler)
        self._tcp.faulty = self
        self.port = self._tcp.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._tcp.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._tcp.shutdown()
        self._tcp.server_close()

    @property
    def name(self) -> str:
        """The model's name for fcbench."""
        return f"openai:{self.url}/v1#{MODEL}"

    def next_fault(self, body: str) -> str | None:
        """Return the fault to play now, if any."""
        with self.lock:
            fault = next((f for words, f in self.faults_of.items() if words in body), None)
            fault = fault or (self.faults.pop(0) if self.faults else self.always)
            if fault is not None:
                self.played[fault] += 1
            return fault

    def come(self, change: int) -> None:
        """Count one more request in work, or one less."""
        with self.lock:
            self._n_now += change
            self.n_most = max(self.n_most, self._n_now)


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    faulty: FaultServer

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what is played here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        reply = self.server.faulty.replies.get(self.path)
        if self.path == "/v1/models":
            reply = reply or {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
        if reply is None:
            self._send(404, "<html>no such page</html>", "text/html")
        else:
            self._send(200, json.dumps(reply))

    def do_POST(self) -> None:
        faulty = self.server.faulty
        said = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(said)
        with faulty.lock:
            faulty.bodies.append(body)
            faulty.headers.append(dict(self.headers))
            faulty.paths.append(self.path)
        faulty.come(1)
        try:
            fault = faulty.next_fault(said.decode())
            if fault is None:
                time.sleep(faulty.hold)
                self._answer(body)
            else:
                getattr(self, f"_play_{fault}")(json.dumps(self._reply(body)))
        finally:
            faulty.come(-1)

    def _answer(self, body: dict[str, Any]) -> None:
        reply = self.server.faulty.replies.get(self.path)
        if reply is not None:
            self._send(200, json.dumps(reply(body) if callable(reply) else reply))
        elif body["model"] != MODEL:
            self._play_404(json.dumps(body))
        else:
            self._send(200, json.dumps(self._reply(body)))

    def _reply(self, body: dict[str, Any]) -> dict[str, Any]:
        if "messages" in body:
            message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        else:
            choice = {"index": 0, "text": TEXT, "finish_reason": "stop"}
        return {"object": "completion", "choices": [choice], "usage": USAGE}

    def _send(self, status: int, text: str, kind: str = "application/json", **more: str) -> None:
        content = text.encode()
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), **more}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def _play_reset(self, reply: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        self.wfile.flush()
        # Closed with a reset instead of an end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _play_cut_body(self, reply: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + reply.encode())
        self.close_connection = True

    def _play_timeout(self, reply: str) -> None:
        self.server.faulty.ended.wait(20)
        self.close_connection = True

    def _play_late(self, reply: str) -> None:
        self.server.faulty.released.wait(20)
        self._send(200, reply)

    def _play_drip(self, reply: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        self._drip(b" ")

    def _play_drip_headers(self, reply: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self._drip(b"x")

    def _drip(self, drop: bytes) -> None:
        self.close_connection = True
        while not self.server.faulty.ended.wait(0.02):
            self.wfile.write(drop)
            self.wfile.flush()

    def _play_429(self, reply: str) -> None:
        waits = self.server.faulty.retry_after
        more = {} if waits is None else {"Retry_After": waits}
        self._send(429, '{"error": {"message": "slow down"}}', **more)

    def _play_no_path(self, reply: str) -> None:
        self._send(404, "<html>no such page</html>", "text/html")

    def _play_no_money(self, reply: str) -> None:
        self._send(429, '{"error": {"message": "pay", "code": "insufficient_quota"}}')

    def _play_500(self, reply: str) -> None:
        self._send(500, '{"error": {"message": "it broke"}}')

    def _play_400(self, reply: str) -> None:
        self._send(400, '{"error": {"message": "too many tokens"}}')

    def _play_404(self, reply: str) -> None:
        error = {
            "message": "The model `it` does not exist",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
        self._send(404, json.dumps({"error": error}))

    def _play_echo(self, reply: str) -> None:
        said = f"invalid request with {self.headers['Authorization']}"
        self._send(401, json.dumps({"error": {"message": said}}))

    def _play_echo_answer(self, reply: str) -> None:
        said = f"headers: {self.headers['Authorization']}"
        self._send(200, json.dumps({"choices": [{"text": said, "finish_reason": "stop"}]}))

    def _play_echo_html(self, reply: str) -> None:
        self._send(200, f"<html>{self.headers['Authorization']}</html>", "text/html")

    def _play_redirect(self, reply: str) -> None:
        self._send(307, "", Location=f"http://localhost:{self.server.server_address[1]}/elsewhere")

    def _play_html(self, reply: str) -> None:
        self._send(200, "<html><body>Bad gateway</body></html>", "text/html")

    def _play_truncated(self, reply: str) -> None:
        self._send(200, reply[: len(reply) // 2])

    def _play_empty(self, reply: str) -> None:
        self._send(200, '{"choices": [], "usage": null}')

    def _play_no_fields(self, reply: str) -> None:
        choice = {"index": 0, "message": {"role": "assistant"}, "finish_reason": "stop"}
        self._send(200, json.dumps({"choices": [choice]}))

    def _play_error_in_200(self, reply: str) -> None:
        self._send(200, '{"error": {"message": "upstream is gone"}}')
