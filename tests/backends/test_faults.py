"""A failure on the way to a server is never an answer: each is asked again, then counted."""

import email.utils
import itertools
import json
import logging
import re
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("httpx")

from fcbench.backends import ModelOptions, _http, check_model, open_model
from fcbench.backends._faults import read_json, seconds_of
from fcbench.backends._http import Endpoint, key_for
from fcbench.backends._served import answer_all, seed_of
from fcbench.cli import main
from fcbench.errors import BackendError, UsageError
from fcbench.types import Case, Decoding, Request, Sample
from tests.backends.fault_server import FAULTS, TEXT, FaultServer

SLOW = {"timeout", "drip", "drip_headers"}
SECRET = "sk-very-secret-0123456789"
DECODING = Decoding(max_new_tokens=8, stops=("<end_of_turn>",))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Wait next to nothing between attempts; no key of the user's."""
    monkeypatch.setattr(_http, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(_http, "GRACE_SECONDS", 0.1)
    monkeypatch.delenv("FCBENCH_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


def request(id="a", repeat=0, *, native=False):
    case = Case(id, [{"role": "user", "content": id}], [], [[]])
    messages = {"messages": [{"role": "user", "content": id}]}
    prompt = json.dumps(messages) if native else f"say {id}"
    return Request(case, prompt, f"sha of {id}", repeat, native)


def options(fault="", **more):
    return ModelOptions(**{"timeout_seconds": 0.25 if fault in SLOW else 20.0, **more})


def samples(server, requests, fault="", **more):
    backend = open_model(server.name, options(fault, **more))
    found = {sample.case_id: sample for sample in backend.answer(requests, DECODING)}
    return [found[request.case.id] for request in requests]


def unused_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_asked_again_and_the_answer_is_one(server, fault):
    server.faults = [fault, fault]
    (sample,) = samples(server, [request(native=fault == "no_fields")], fault)
    assert sample.error is None
    assert sample.text == ("" if fault == "no_fields" else TEXT)
    assert server.played[fault] == 2
    assert len(server.bodies) == 3


@pytest.mark.parametrize(("fault", "kind"), FAULTS.items())
def test_a_fault_that_stays_is_an_error_with_its_kind(server, fault, kind):
    server.always = fault
    (sample,) = samples(server, [request(native=fault == "no_fields")], fault, retries=2)
    assert sample.error.startswith(f"{kind}: ")
    assert (sample.text, sample.native_calls, sample.stop) == ("", None, None)
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("404", "no_such_model"),
        ("400", "refused_request"),
        ("echo", "unauthorized"),
        ("redirect", "refused_request"),
        ("no_money", "rate_limited"),
    ],
)
def test_what_asking_again_cannot_help_is_asked_once(server, fault, kind):
    server.always = fault
    (sample,) = samples(server, [request()])
    assert sample.error.startswith(f"{kind}: ")
    assert len(server.bodies) == 1


def test_what_the_server_gives_as_its_reason_is_in_the_error(server):
    server.always = "400"
    (sample,) = samples(server, [request()])
    assert sample.error == (
        f"refused_request: {server.url}/v1/completions: HTTP 400: too many tokens"
    )


def test_a_redirection_is_not_followed(server, monkeypatch):
    monkeypatch.setenv("FCBENCH_API_KEY", SECRET)
    server.always = "redirect"
    samples(server, [request()])
    assert server.paths == ["/v1/completions"]


def test_a_wrong_model_name_is_an_error_of_every_sample(server):
    backend = open_model(f"openai:{server.url}#other", options())
    found = list(backend.answer([request("a"), request("b")], DECODING))
    assert {s.error.split(":")[0] for s in found} == {"no_such_model"}
    assert backend.has_answered is False


def test_retry_after_is_waited_for(server):
    server.retry_after = "0.2"
    server.faults = ["429"]
    begun = time.monotonic()
    (sample,) = samples(server, [request()])
    assert sample.error is None
    assert time.monotonic() - begun >= 0.2


def test_a_server_that_wants_to_be_left_alone_for_long_is(server):
    server.retry_after = "301"
    server.always = "429"
    (sample,) = samples(server, [request()])
    assert len(server.bodies) == 1
    assert sample.error.endswith("it wants to be left alone for 301 s")


def test_retry_after_may_be_a_date():
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert 80 < seconds_of(email.utils.format_datetime(soon, usegmt=True)) <= 90
    assert seconds_of("nan") is None
    assert seconds_of("-5") == 0


def test_waiting_times_double_and_are_random_below(monkeypatch):
    most = []
    monkeypatch.setattr(_http, "BACKOFF_SECONDS", 0.5)
    monkeypatch.setattr(_http.random, "uniform", lambda low, high: most.append((low, high)) or 0)
    for n in (0, 1, 2, 3, 10, 5000):
        _http._backoff(n)
    assert most == [(0, 0.5), (0, 1), (0, 2), (0, 4), (0, 30), (0, 30)]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"choices": [{"text": "abc', "truncated_json"),
        ('{"choices": [{"te', "truncated_json"),
        ('{"choices": [', "truncated_json"),
        ('{"choices": [1, 2', "truncated_json"),
        ('{"a": tru', "truncated_json"),
        ('{"a": 1', "truncated_json"),
        ("", "not_json"),
        ("<html>", "not_json"),
        ("{'a': 1}", "not_json"),
        ('{"a": x}', "not_json"),
        ('{"a": 1} {"b": 2}', "not_json"),
        ('{"a": NaN}', "not_json"),
        ("[" * 100_000, "not_json"),
        (b"\xff\xfe{}", "not_json"),
    ],
)
def test_json_that_was_cut_is_told_from_what_is_none(body, kind):
    with pytest.raises(BackendError) as caught:
        read_json("here", body if isinstance(body, bytes) else body.encode())
    assert (caught.value.kind, caught.value.retryable) == (kind, True)


def test_an_endless_answer_does_not_fill_the_memory(server, monkeypatch):
    monkeypatch.setattr(_http, "MOST_BYTES", 20)
    (sample,) = samples(server, [request()])
    assert sample.error.startswith("not_json: ")


def test_nobody_there_is_found_out_once_for_all():
    backend = open_model(f"openai:http://127.0.0.1:{unused_port()}#it", options(retries=1))
    found = list(backend.answer([request(str(i)) for i in range(500)], DECODING))
    assert len(found) == 500
    assert {s.error.split(":")[0] for s in found} == {"connection_refused"}


def test_a_server_that_cannot_be_reached_is_warned_of_when_it_is_opened(caplog):
    with caplog.at_level(logging.WARNING, logger="fcbench"):
        backend = open_model(f"openai:http://127.0.0.1:{unused_port()}#it", options(retries=0))
    assert "connection_refused" in caplog.text
    assert (backend.template, backend.bos) == (None, "")


def test_a_name_that_cannot_be_looked_up_is_refused_connection():
    name = "openai:http://no-such-host.invalid#it"
    (sample,) = open_model(name, options(retries=0)).answer([request()], DECODING)
    assert sample.error.startswith("connection_refused: ")


class TestManyAtOnce:
    def test_no_more_requests_are_in_flight_than_were_allowed(self, server):
        server.hold = 0.02
        samples(server, [request(str(i)) for i in range(24)], batch_size=3)
        assert server.n_most == 3

    def test_one_at_a_time_is_one_at_a_time(self, server):
        server.hold = 0.005
        samples(server, [request(str(i)) for i in range(6)], batch_size=1)
        assert server.n_most == 1

    def test_a_slow_request_holds_no_other_up(self, server):
        server.faults_of = {"say slow": "late"}
        backend = open_model(server.name, options(batch_size=2))
        requests = [request("slow"), *(request(str(i)) for i in range(20))]
        answers = backend.answer(requests, DECODING)
        quick = [next(answers).case_id for _ in range(20)]
        server.released.set()
        assert "slow" not in quick
        assert [s.case_id for s in answers] == ["slow"]

    def test_a_mistake_of_ours_ends_the_run(self):
        def ask(request, decoding):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            list(answer_all([request("a"), request("b")], DECODING, ask, n_at_once=2))

    def test_nothing_more_is_asked_when_nobody_listens_any_more(self, server):
        server.hold = 0.01
        backend = open_model(server.name, options(batch_size=2))
        answers = backend.answer([request(str(i)) for i in range(200)], DECODING)
        next(answers)
        begun = time.monotonic()
        answers.close()
        assert time.monotonic() - begun < 1
        time.sleep(0.05)
        assert len(server.bodies) <= 6

    def test_leaving_does_not_wait_for_an_answer_that_does_not_come(self, server):
        server.faults_of = {"say slow": "timeout"}
        backend = open_model(server.name, ModelOptions(batch_size=2))
        answers = backend.answer([request("slow"), request("quick"), request("more")], DECODING)
        next(answers)
        begun = time.monotonic()
        answers.close()
        backend.close()
        assert time.monotonic() - begun < 1
        # What still waits would not keep the interpreter alive.
        waiting = [t for t in threading.enumerate() if t.name.startswith("fcbench")]
        assert all(t.daemon for t in waiting)

    def test_refused_connections_after_an_answer_are_asked_one_by_one(self):
        asked = []

        def ask(request, decoding):
            asked.append(request.case.id)
            if request.case.id == "0":
                return Sample("0")
            raise BackendError("down", kind="connection_refused")

        found = list(answer_all([request(str(i)) for i in range(9)], DECODING, ask, n_at_once=1))
        assert len(found) == len(asked) == 9

    def test_refused_connections_from_the_beginning_are_believed(self):
        asked = []

        def ask(request, decoding):
            asked.append(request.case.id)
            raise BackendError("down", kind="connection_refused")

        requests = [request(str(i)) for i in range(1000)]
        found = list(answer_all(requests, DECODING, ask, n_at_once=4))
        assert sorted(int(s.case_id) for s in found) == list(range(1000))
        assert {s.error for s in found} == {"connection_refused: down"}
        assert len(asked) < 1000

    def test_no_request_is_no_sample(self):
        assert list(answer_all([], DECODING, None, n_at_once=4)) == []


def test_draws_depend_on_seed_case_and_repeat_alone():
    seeds = {
        seed_of(request(id, repeat), Decoding(seed=seed))
        for id, repeat, seed in itertools.product("ab", (0, 1), (0, 1))
    }
    assert len(seeds) == 8
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_of(request("a"), Decoding()) == 1806043053


class TestKeys:
    def test_a_key_is_sent_and_comes_from_the_environment(self, server, monkeypatch):
        monkeypatch.setenv("FCBENCH_API_KEY", f" {SECRET}\n")
        samples(server, [request()])
        assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"

    def test_openais_key_goes_to_openai_and_nowhere_else(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        assert key_for("https://api.openai.com") == SECRET
        for url in (
            "http://api.openai.com",
            "https://api.openai.com.example.org",
            "https://api.openai.com:8443",
            "https://example.org/api.openai.com",
            "http://127.0.0.1:8080",
        ):
            assert key_for(url) is None
        monkeypatch.setenv("FCBENCH_API_KEY", "other")
        assert key_for("https://api.openai.com") == "other"

    def test_none_is_sent_where_there_is_none(self, server):
        samples(server, [request()])
        assert "Authorization" not in server.headers[0]

    @pytest.mark.parametrize("fault", ["echo", "echo_html", "echo_answer"])
    def test_a_key_that_is_echoed_is_written_nowhere(self, command, monkeypatch, caplog, fault):
        monkeypatch.setenv("FCBENCH_API_KEY", SECRET)
        monkeypatch.setenv("OPENAI_API_KEY", SECRET[::-1])
        command.server.always = fault
        with caplog.at_level(logging.DEBUG):
            command.run("--retries", "1")
        assert command.server.headers[0]["Authorization"] == f"Bearer {SECRET}"
        written = [p.read_text(encoding="utf-8") for p in command.results.rglob("*.json*")]
        assert "[key]" in "".join(written)
        for text in (*written, *command.said(), caplog.text):
            assert SECRET not in text
            assert SECRET[::-1] not in text

    def test_a_word_that_stands_for_a_key_is_not_taken_out_of_answers(self, server, monkeypatch):
        monkeypatch.setenv("FCBENCH_API_KEY", "call")
        (sample,) = samples(server, [request()])
        assert sample.text == TEXT

    def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(self, monkeypatch):
        monkeypatch.setenv("FCBENCH_API_KEY", "sk-sécret")
        with pytest.raises(UsageError, match="FCBENCH_API_KEY holds") as caught:
            check_model("openai:http://127.0.0.1:1#it", ModelOptions())
        assert "cret" not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        [
            f"http://me:{SECRET}@127.0.0.1:1/v1",
            f"http://{SECRET}@127.0.0.1:1/v1",
            f"http://127.0.0.1:1/v1?key={SECRET}",
            f"http://127.0.0.1:{SECRET}/v1",
        ],
    )
    def test_an_address_that_holds_a_secret_is_refused_and_not_shown(self, url, capsys):
        with pytest.raises(UsageError) as caught:
            Endpoint(url, ModelOptions())
        assert SECRET not in str(caught.value)
        assert main(["run", "--model", f"openai:{url}#it"]) == 2
        assert SECRET not in capsys.readouterr().err


class Command:
    """`python -m fcbench run` of a model over a few cases, into a folder of its own."""

    def __init__(self, server, suite, results, capfd):
        self.server, self.results = server, results
        self._suite, self._capfd = suite, capfd

    def run(self, *more, name=None):
        name = name or self.server.name
        where = ("--suite", str(self._suite), "--results", str(self.results))
        return main(["run", "--model", name, *where, *more])

    def said(self):
        return self._capfd.readouterr()

    def samples(self):
        (path,) = self.results.glob("*/samples.jsonl")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def errors_on_the_leaderboard(self):
        """Return the cell of the one run's row."""
        self.said()
        main(["leaderboard", "--results", str(self.results)])
        lines = self.said().out.splitlines()
        (head,) = [i for i, line in enumerate(lines) if " errors " in line]
        at = lines[head].index("errors")
        return lines[head + 2][at : at + len("errors")].strip()


@pytest.fixture
def command(server, tmp_path, capfd, write_lines, case_row):
    def words(i):
        return [{"role": "user", "content": f"Show me Oslo {i}."}]

    rows = [case_row(id=f"case-{i}", messages=words(i)) for i in range(N_CASES)]
    return Command(server, write_lines(*rows), tmp_path / "results", capfd)


N_CASES = 18
EVERY = {**FAULTS, "404": "no_such_model", "400": "refused_request", "echo": "unauthorized"}


@pytest.mark.parametrize("prompt", ["chat", "native"])
def test_a_run_counts_its_errors_and_resuming_asks_only_for_those(command, prompt):
    server = command.server
    faults = [fault for fault in EVERY if fault != "no_fields" or prompt == "native"]
    server.faults_of = {f"Oslo {i}.": fault for i, fault in enumerate(faults)}
    # All at once, so that those that hang do it together.
    how = ("--prompt", prompt, "--retries", "1", "--timeout", "1", "--batch-size", "20")
    assert command.run(*how) == 3
    failed = {s["case_id"]: s for s in command.samples() if s.get("error")}
    kinds = {id: sample["error"].partition(": ")[0] for id, sample in failed.items()}
    assert kinds == {f"case-{i}": EVERY[fault] for i, fault in enumerate(faults)}
    assert not any(s.get("text") or s.get("native_calls") for s in failed.values())
    assert command.errors_on_the_leaderboard() == str(len(faults))
    server.faults_of = {}
    server.bodies.clear()
    assert command.run(*how, "--resume") == 0
    asked = [re.search(r"Oslo (\d+)\.", json.dumps(body)) for body in server.bodies]
    assert sorted(int(found[1]) for found in asked) == list(range(len(faults)))
    assert command.run(*how, "--resume") == 0
    assert len(server.bodies) == len(faults)
    assert command.errors_on_the_leaderboard() in ("", "0")


def test_a_run_without_a_server_is_all_errors_and_goes_on_when_there_is_one(command):
    port = unused_port()
    name = f"openai:http://127.0.0.1:{port}#it"
    assert command.run("--retries", "0", name=name) == 3
    assert all(s["error"].startswith("connection_refused: ") for s in command.samples())
    assert command.errors_on_the_leaderboard() == str(N_CASES)
    with FaultServer(port=port) as server:
        assert command.run("--retries", "0", "--resume", name=name) == 0
        assert len(server.bodies) == N_CASES


def test_a_run_with_a_wrong_model_name_is_all_errors(command):
    assert command.run(name=f"openai:{command.server.url}#other") == 3
    assert {s["error"].split(":")[0] for s in command.samples()} == {"no_such_model"}
