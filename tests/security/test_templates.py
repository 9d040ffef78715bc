"""What a chat template or a prompt file of somebody else can reach, and what it may take."""

import signal
import threading
import time

import pytest

from fcbench import prompts
from fcbench.errors import UsageError
from fcbench.formats import _bounds
from fcbench.formats._bounds import bounded
from fcbench.formats._jinja import GivenTemplate
from fcbench.types import Case

MESSAGES = [{"role": "user", "content": "Show me Oslo."}]
SECRET = "sk-a-key-of-somebody"
CASE = Case("a", MESSAGES, [], [[]])

REACHES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__init__.__globals__ }}",
    "{{ messages|attr('__class__') }}",
    "{{ [messages]|map(attribute='__class__')|list }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "{{ '%s'|format(messages.__class__) }}",
    "{{ raise_exception.__globals__ }}",
    "{{ raise_exception.__globals__['os'].environ }}",
    "{{ lipsum.__globals__['os'].environ }}",
    "{{ cycler.__init__.__globals__.os.environ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ range.__self__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context.environment }}",
    "{{ (messages|tojson).__init__.__globals__ }}",
    "{% for x in messages %}{{ loop.__init__.__globals__ }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}{{ m._environment }}",
    "{% include '/etc/passwd' %}",
    "{% import '/etc/passwd' as x %}",
    "{% extends '/etc/passwd' %}",
    "{{ ().__class__.__base__.__subclasses__()[0] }}",
    "{{ (1).real.__class__ }}",
    "{{ messages.append({'role': 'system', 'content': 'planted'}) }}",
    "{{ messages[0].update(content='planted') }}",
]
LOOPS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{{ m(n - 1) if n else '' }}{{ m(n - 1) if n else '' }}{% endmacro %}{{ m(60) }}",
]
LARGE = [
    "{{ 'a' * 10 ** 11 }}",  # which Jinja works out when it compiles
    "{{ messages[0].content * 10 ** 10 }}",
    "{{ [messages] * 10 ** 11 }}",
    "{{ messages[0].content.zfill(10 ** 11) }}",
    "{{ messages[0].content|center(10 ** 11) }}",
    "{{ '%100000000000d' % (messages|length) }}",
]


def of_transformers(source):
    from transformers import PreTrainedTokenizerFast

    from fcbench.backends.transformers import TokenizerTemplate
    from tests.tiny import byte_level_bpe

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level_bpe(["a"], ["<pad>"], 300), chat_template=source
    )
    template = TokenizerTemplate(tokenizer)
    return lambda: template(MESSAGES, [])


def given(source):
    return lambda: GivenTemplate(source, "<bos>")(MESSAGES, [])


@pytest.fixture(params=["transformers", "given", "file"])
def rendered(request, tmp_path):
    """A function that renders a source in each of the three ways in which fcbench does."""

    def from_file(source):
        path = tmp_path / "own.jinja"
        path.write_text(source, "utf-8")
        style = prompts.Style(prompt_file=str(path))
        return lambda: prompts.requests([CASE], "file", style)[0].prompt

    ways = {"transformers": of_transformers, "given": given, "file": from_file}
    return lambda source: ways[request.param](source)()


@pytest.mark.parametrize("source", REACHES)
def test_a_template_reaches_nothing_that_it_was_not_given(rendered, source, monkeypatch):
    monkeypatch.setenv("FCBENCH_API_KEY", SECRET)
    try:
        said = rendered(source)
    except UsageError as refused:
        said = str(refused)
    for word in (
        SECRET,
        "root:",
        "<class ",
        "<module ",
        "__builtins__",
        "<built-in",
        "Environment",
    ):
        assert word not in said, source
    assert MESSAGES == [{"role": "user", "content": "Show me Oslo."}]


@pytest.mark.parametrize("source", LOOPS)
def test_a_template_that_never_ends_is_stopped(rendered, source, monkeypatch):
    monkeypatch.setattr(_bounds, "SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(UsageError, match=r"takes longer than 0.3 s for one prompt"):
        rendered(source)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("source", LARGE)
def test_a_template_that_asks_for_all_memory_gets_an_error(rendered, source):
    with pytest.raises(UsageError, match=r"takes more than 2048 MB for one prompt"):
        rendered(source)


@pytest.mark.parametrize("source", ["{{ " + "(" * 3000 + ")" * 3000 + " }}", "{% if 1 %}" * 3000])
def test_a_template_nested_too_deep_is_an_error(rendered, source):
    with pytest.raises(UsageError):
        rendered(source)


def test_a_bound_leaves_signals_and_limits_as_they_were():
    import resource

    before = signal.getsignal(signal.SIGALRM), resource.getrlimit(resource.RLIMIT_AS)
    with bounded("x"):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        assert resource.getrlimit(resource.RLIMIT_AS) != before[1]
    with pytest.raises(ZeroDivisionError), bounded("x"):
        _ = 1 / 0
    assert (signal.getsignal(signal.SIGALRM), resource.getrlimit(resource.RLIMIT_AS)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_an_alarm_that_somebody_else_has_set_still_rings():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with bounded("x"):
            time.sleep(0.2)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert rung == [1]


def test_a_thread_renders_without_touching_what_belongs_to_the_process():
    import resource

    before, seen = resource.getrlimit(resource.RLIMIT_AS), []

    def render():
        with bounded("x"):
            seen.append(resource.getrlimit(resource.RLIMIT_AS))

    thread = threading.Thread(target=render)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_bound_costs_a_prompt_less_than_a_millisecond():
    started = time.process_time()
    for _ in range(200):
        with bounded("x"):
            pass
    assert (time.process_time() - started) / 200 < 1e-3
