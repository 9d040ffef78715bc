"""A key is in the header that it is for, and in nothing that fcbench writes."""

import json
import logging
import os
import sys
import traceback
from pathlib import Path

import pytest

from fcbench.backends import ModelOptions, check_model
from fcbench.backends._http import Endpoint, Secret, key_for
from fcbench.cli import main
from fcbench.errors import FcbenchError, ModelError, SuiteError, UsageError
from fcbench.executors import Where
from fcbench.suite import load_suite
from fcbench.text import without_secrets
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


# Addresses: a password in one is shown nowhere, whatever the address was meant for.


@pytest.mark.parametrize(
    "name",
    [
        "https://me:hunter2@h/v1",
        "https://h/v1?key=hunter2",
        "https://me:12#hunter2@h",
        "https:me:hunter2@h",
        "openAI:https://me:hunter2@h/v1#m",
        "HTTPS://me:hunter2@h/v1",
    ],
)
def test_a_model_is_refused_without_the_password_in_its_address(name):
    with pytest.raises(UsageError) as refused:
        check_model(name, ModelOptions())
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("host", ["h:1?k=hunter2", "http://me:hunter2/x@h", "me:2#hunter2@h"])
def test_ollamas_host_is_refused_without_the_password_in_it(host, monkeypatch, caplog):
    monkeypatch.setenv("OLLAMA_HOST", host)
    with pytest.raises(UsageError) as refused:
        check_model("ollama:m", ModelOptions())
    assert "hunter2" not in str(refused.value) + caplog.text


def test_a_port_that_is_none_is_not_shown(monkeypatch, caplog):
    monkeypatch.setenv("OLLAMA_HOST", "http://h:hunter2")
    check_model("ollama:m", ModelOptions())
    assert "80 is taken" in caplog.text
    assert "hunter2" not in caplog.text


def test_an_address_without_its_backend_is_hinted_at_whole():
    with pytest.raises(UsageError, match=r"hint: openai:https://h:80/v1#it$"):
        check_model("https://h:80/v1#it", ModelOptions())


@pytest.mark.parametrize("end", ["", "x" * 300], ids=["short", "longer than a file's name"])
def test_a_suite_that_is_an_address_is_refused_without_its_password(end):
    with pytest.raises(UsageError) as refused:
        load_suite(f"https://me:{'p' * 70}hunter2{end}@h/x.jsonl")
    assert "hunter2" not in str(refused.value)
    assert "pp" not in str(refused.value)


@pytest.mark.parametrize("address", ["me:hunter2@h:9", "ray://me:hunter2@h", "h:9?hunter2"])
@pytest.mark.parametrize("is_said", [True, False])
def test_a_cluster_is_refused_without_the_password_in_its_address(address, is_said, monkeypatch):
    if not is_said:
        monkeypatch.setenv("RAY_ADDRESS", address)
    where = Where(executor="ray", workers=1, address=address if is_said else None)
    with pytest.raises(UsageError) as refused:
        _ = where.cluster
    assert "hunter2" not in str(refused.value)


def test_what_the_hubs_clients_say_of_a_mirror_is_told_without_its_password(monkeypatch):
    """Also where what is told of it ends in the middle of the address."""
    from fcbench.backends.transformers._load import _load_or_explain

    for before in ("", "x" * 170, "x" * 270):

        def fail(*_, before=before):
            raise OSError(f"{before} no answer at http://me:hunter2{'p' * 40}@mirror/a?k=hunter2")

        monkeypatch.setattr("fsspec.core.url_to_fs", fail)
        with pytest.raises(SuiteError) as suite:
            load_suite("hf:a/b")
        with pytest.raises(ModelError) as model:
            _load_or_explain("a/b", fail, "a/b")
        assert "hunter2" not in f"{suite.value} {model.value}"


def test_an_address_without_secrets_is_told_as_it_is():
    honest = "me@a.example: http://a:80/v1#m,  is it there?\n\thttps://b.example/c"
    assert without_secrets(honest) == honest
    assert without_secrets("http://a:p@q@h/x, http://h?a=b") == (
        "http://[hidden]@h/x, http://h?[hidden]"
    )
