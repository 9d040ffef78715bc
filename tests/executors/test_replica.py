"""What a worker's process does with its replica, without Ray."""

import logging
import pickle

import pytest

import fcbench
from fcbench import errors
from fcbench.executors._replica import About, Refusal, Replica
from fcbench.formats._jinja import GivenTemplate
from fcbench.types import Case, Decoding, Request

SOURCE = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}{{ eos_token }}"
MESSAGES = [{"role": "user", "content": "Oslo?"}]


class Told:
    """A backend with a template, which fails as it is told."""

    bos, has_answered = "<b>", False
    manifest = {"name": "told"}  # noqa: RUF012

    def __init__(self, template=None, error=None):
        self.template, self.error = template, error

    def answer(self, requests, decoding):
        for r in requests:
            yield fcbench.Sample(r.case.id, r.repeat, str(self.has_answered))
        if self.error is not None:
            raise self.error


def loud():
    logging.getLogger("fcbench").warning("the adapter changes no logit")
    return Told()


def refused():
    raise errors.MissingExtra("torch", "hf")


class Opened:
    """Stands for pickle: what is opened is given, what is pickled is real."""

    dumps = staticmethod(pickle.dumps)

    def __init__(self, opened):
        self.loads = lambda _: opened


def replica(opened, tmp_path):
    return Replica(b"", Opened(opened), str(tmp_path / "gone"))


def asked(*ids):
    return [Request(Case(name, [], [], [[]]), "", "") for name in ids]


def test_a_template_writes_the_same_prompts_in_another_process(tmp_path):
    template = GivenTemplate(SOURCE, "<b>", "<e>")
    about = replica(lambda: Told(template), tmp_path).load()
    sent = pickle.loads(about.template)
    assert sent(MESSAGES, []) == template(MESSAGES, []) == "<b>Oslo?<e>"
    assert sent.source == SOURCE


def test_a_template_that_cannot_be_sent_is_refused(tmp_path):
    said = replica(lambda: Told(lambda messages, tools: ""), tmp_path).load()
    assert isinstance(said, Refusal)
    assert "its chat template cannot be sent" in said.message


def test_what_is_warned_of_while_a_model_loads_is_told(tmp_path):
    about = replica(loud, tmp_path).load()
    assert isinstance(about, About)
    assert about.warnings == ["the adapter changes no logit"]
    assert about.versions["fcbench"]


@pytest.mark.parametrize(
    "error",
    [
        errors.ModelError("no weights", hint="download them"),
        errors.MissingExtra("torch", "hf"),
        errors.BackendError("gone", kind="timeout", retryable=True),
        errors.RateLimited("too often", retry_after=3.0),
        errors.UsageError("no such thing"),
    ],
)
def test_an_error_says_the_same_in_another_process(error, tmp_path):
    worker = replica(lambda: Told(error=error), tmp_path)
    worker.load()
    *blocks, refusal = worker.answer(asked("a", "b"), Decoding(), has_answered=False)
    assert [sample.case_id for block in blocks for sample in block] == ["a", "b"]
    again = pickle.loads(pickle.dumps(refusal)).as_error()
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.hint == error.hint


def test_an_error_of_another_package_is_the_nearest_of_ours(tmp_path):
    class Theirs(errors.ModelError):
        pass

    def opened():
        raise Theirs("theirs")

    said = replica(opened, tmp_path).load()
    assert said == Refusal("ModelError", "theirs", None)


def test_an_extra_that_is_absent_on_a_node_is_named(tmp_path):
    said = replica(refused, tmp_path).load()
    assert said.as_error().hint == "pip install 'fcbench[hf]'"


def test_a_replica_hears_that_others_have_answered(tmp_path):
    worker = replica(Told, tmp_path)
    worker.load()
    ((sample,),) = worker.answer(asked("a"), Decoding(), has_answered=True)
    assert sample.text == "True"
