"""A key is in the header that it is for, and in nothing that fcbench writes."""

import json
import logging
import os
import sys
import traceback
from pathlib import Path

import pytest

from fcbench.backends import ModelOptions
from fcbench.backends._http import Endpoint, Secret, key_for
from fcbench.cli import main
from fcbench.errors import FcbenchError
from tests.backends import fault_server
from tests.backends.fault_server import FaultServer

# Characters that servers escape, each key another.
KEYS = {
    "FCBENCH_API_KEY": "sk-fcb/Zt8+aa==Q<1>",
    "OPENAI_API_KEY": "sk-oai/Yx7+bb==R<2>",
    "HF_TOKEN": "hf_Wv6ccSdddddddd",
    "HUGGING_FACE_HUB_TOKEN": "hf_Uu5eeTffffffff",
    "AWS_SECRET_ACCESS_KEY": "aws/Tt4+gg==hhhhhh",
}
SENT = KEYS["FCBENCH_API_KEY"]
ESCAPED = {
    "json": SENT.replace("/", "\\/").replace("+", "\\u002B").replace("<", "\\u003c"),
    "twice": json.dumps(json.dumps(SENT.replace("/", "\\/")))[1:-1],
    "url": SENT.replace("/", "%2F").replace("+", "%2b").replace("=", "%3D"),
    "entities": SENT.replace("/", "&#x2F;").replace("+", "&#43;").replace("<", "&#60;"),
    "all": "".join(f"\\u{ord(c):04x}" for c in SENT),
}
ECHOES = ["echo", "echo_html", "echo_answer", *(f"echo_{way}" for way in ESCAPED)]
REFUSALS = [f"refuse_{way}" for way in ESCAPED]


@pytest.fixture
def server(monkeypatch):
    def answered(said):
        return lambda self, reply: self._send(
            200, f'{{"choices": [{{"text": "headers: {said}", "finish_reason": "stop"}}]}}'
        )

    def refused(said):
        return lambda self, reply: self._send(401, f'{{"error": {{"message": "no: {said}"}}}}')

    for way, said in ESCAPED.items():
        for name, make in ((f"echo_{way}", answered), (f"refuse_{way}", refused)):
            monkeypatch.setattr(fault_server._Handler, f"_play_{name}", make(said), raising=False)
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    with FaultServer() as server:
        yield server


def refuse_keys(*texts):
    """Fail where a key stands in a text, whole or in the greater part, as it is or escaped."""
    for text in texts:
        for name, key in KEYS.items():
            assert key not in text, name
            assert key[4:-4] not in text, name
        for way, said in ESCAPED.items():
            assert said not in text, way


def everything_in(folder):
    """What stands in the files of a folder, and their names."""
    paths = list(folder.rglob("*"))
    files = [path.read_bytes().decode("utf-8", "replace") for path in paths if path.is_file()]
    return [*map(str, paths), *files]


def test_no_key_is_in_anything_that_a_run_and_what_is_made_of_it_write(  # noqa: PLR0913  fixtures
    server, tmp_path, monkeypatch, capfd, caplog, write_lines, case_row
):
    def words(fault):
        return [{"role": "user", "content": f"Play {fault}. Show me Oslo."}]

    faults = [*ECHOES, *REFUSALS, "html", "truncated", "500", "reset", "400", "404", "error_in_200"]
    rows = [case_row(id=fault, messages=words(fault)) for fault in faults]
    suite = str(write_lines(*rows, case_row(id="right")))
    server.faults_of = {f"Play {fault}.": fault for fault in faults}
    monkeypatch.chdir(tmp_path)
    run = ["run", "--model", server.name, "--suite", suite, "--retries", "0", "--timeout", "5"]
    with caplog.at_level(logging.DEBUG):
        assert main([*run, "--dry-run"]) == 0
        assert main(run) == 3
        assert main([*run, "--resume"]) == 3
        (stored,) = {str(path.parent) for path in Path("results").glob("*/run.json")}
        assert main(["score", stored]) == 3
        for command in (
            ["leaderboard"],
            ["compare", stored, stored, "-o", "comparison.md"],
            ["report", stored, "-o", "report.html"],
            ["export", "model-card", stored, "--license", "mit", "--out", "card.md"],
            ["inspect", "right", "--suite", suite, "--run", stored],
            ["run", "--model", f"openai:http://{SENT}@127.0.0.1:1/v1#it", "--suite", suite],
            ["run", "--model", f"{server.name}-other", "--suite", suite, "--retries", "0"],
        ):
            assert main(command) in (0, 2, 3), command
    assert {h["Authorization"] for h in server.headers} == {f"Bearer {SENT}"}
    assert set(server.played) == set(faults)
    out, err = capfd.readouterr()
    written = everything_in(tmp_path)
    assert sum("[key]" in text for text in written) >= 2  # the log, and the report of it
    assert "Play echo" in "".join(written)
    refuse_keys(*written, out, err, caplog.text, *(str(vars(r)) for r in caplog.records))


def test_no_key_is_in_a_traceback_that_shows_local_values(server, tmp_path, monkeypatch):
    """As pytest --showlocals, rich and error trackers do."""
    said = []

    def fail(*_, **__):
        raise RuntimeError("a bug of ours")

    def note(action):
        try:
            action()
        except (RuntimeError, FcbenchError) as error:
            shown = traceback.TracebackException.from_exception(error, capture_locals=True)
            said.append("".join(shown.format()))

    server.always = "echo"
    where = ModelOptions(retries=0)
    endpoint = Endpoint(server.url, where, key=key_for(server.url))
    note(lambda: endpoint.post("/v1/completions", {"model": "it"}))
    with monkeypatch.context() as broken:
        broken.setattr("httpx.Client.stream", fail)
        note(lambda: endpoint.post("/v1/completions", {"model": "it"}))
        broken.setattr("httpx.Client.__init__", fail)
        note(lambda: Endpoint(server.url, where, key=key_for(server.url)))
    with monkeypatch.context() as odd:
        odd.setenv("FCBENCH_API_KEY", SENT + "é")
        note(lambda: key_for(server.url))
    assert len(said) == 4
    assert "Endpoint" in said[0]
    assert "[key]" in "".join(said)
    refuse_keys(*said)


def test_a_secret_shows_itself_to_nobody_and_is_still_the_key():
    secret = Secret(SENT)
    assert secret == SENT
    for shown in (repr(secret), repr([secret]), f"{secret!r}", repr({"k": secret})):
        assert SENT not in shown


def test_a_key_that_is_not_echoed_takes_nothing_out_of_an_answer(server):
    """What looks like the beginning of a key is an answer all the same."""
    text = f"{SENT[:8]} {SENT[1:]} \\/ \\u002B %2F"
    server.replies["/x"] = lambda body: {"text": text}
    endpoint = Endpoint(server.url, ModelOptions(retries=0), key=key_for(server.url))
    assert endpoint.post("/x", {}) == {"text": text}


def test_hiding_a_key_takes_a_hostile_body_no_longer_than_its_length(server):
    body = "\\\\" * 200_000 + "&#000000" * 50_000 + SENT[:-1] * 2000
    server.replies["/x"] = lambda _: {"text": body}
    endpoint = Endpoint(server.url, ModelOptions(retries=0, timeout_seconds=30), key=key_for("x"))
    assert endpoint.post("/x", {}) == {"text": body}


def test_no_key_is_in_what_pytest_prints_with_local_values(server, pytester, monkeypatch):
    server.faults_of = {"flashlight": "echo", "Coit": "echo_answer"}
    pytester.makepyfile(
        f"""
        import logging

        def test_gate(fcbench_run):
            logging.getLogger().setLevel(logging.DEBUG)
            scores = fcbench_run(model={server.name!r}, suite="original_experiment", retries=0)
            scores.assert_at_least(argument_exact_match=0.99)

        def test_address(fcbench_run):
            fcbench_run(model={f"openai:http://{SENT}@127.0.0.1:1#it"!r}, suite="types", limit=1)

        def test_gate_of_answers(fcbench_run):
            fcbench_run(
                model={server.name!r}, suite="original_experiment", retries=0, limit=4, seed=1
            ).assert_at_least(argument_exact_match=0.99)
        """
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    result = pytester.runpytest_subprocess(
        "--showlocals", "-vv", "--log-level=DEBUG", "--tb=long", "-p", "no:cacheprovider"
    )
    said = result.stdout.str() + result.stderr.str()
    # The address stands in the user's own test, whose source pytest shows.
    ours = "\n".join(line for line in said.splitlines() if "openai:http://sk-fcb" not in line)
    assert "3 errors" in said or "failed" in said
    refuse_keys(ours, *everything_in(Path(pytester.path) / ".fcbench"))


def test_errors_of_fcbench_have_no_other_text_than_they_show():
    error = FcbenchError("what", "do this")
    assert error.args == ("what",)
