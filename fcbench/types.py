"""The records that flow through fcbench.

    Case ──► Request ──► Sample ──► Parse ──► Verdict
             a prompt    evidence   calls     beside what is right

A Run is a manifest and its samples. All records are frozen and refuse unknown fields; to change one
is to make another with msgspec.structs.replace. This module imports nothing of ours.

>>> Call("show_map", {"query": "Oslo"})
Call(name='show_map', arguments={'query': 'Oslo'})
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""A number of tokens that a float, and any reader of JSON, holds exactly."""

Outcome = Literal["calls", "abstained", "malformed"]
Stop = Literal["token", "limit"]
Mode = Literal["strict", "lenient"]
FailureKind = Literal[
    "empty_output",
    "wrong_dialect",
    "repetition",
    "truncated",
    "missing_start_token",
    "missing_end_token",
    "missing_call_prefix",
    "missing_name",
    "missing_open_brace",
    "missing_close_brace",
    "missing_key",
    "missing_value",
    "missing_separator",
    "trailing_comma",
    "wrong_bracket",
    "duplicate_key",
    "unterminated_string",
    "bare_string",
    "quoted_string",
    "json_arguments",
    "bad_number",
    "python_literal",
    "stray_whitespace",
    "text_before_call",
    "text_between_calls",
    "text_after_call",
    "declaration_echo",
    "too_deep",
    "unexpected",
    "arguments_not_json",
]


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every record: frozen, unknown fields refused.

    Subclasses say frozen once more, because type checkers do not inherit it.
    """


class Tool(Record, frozen=True):
    """A function that a model may call. `parameters` is JSON Schema with lower-case types."""

    name: str
    description: str = ""
    parameters: dict[str, Json] = field(default_factory=dict)


class Call(Record, frozen=True):
    """A function call: plain name, plain dict of plain values."""

    name: str
    arguments: dict[str, Json] = field(default_factory=dict)


class Case(Record, frozen=True):
    """One question to a model and every answer that counts as right.

    `expected` lists acceptable answers, each a list of calls; `[[]]` means "must not call".
    An argument's value may be {"$any": [v, …]} (any of these, at any depth) and may carry
    "$optional": true (absence is right too). No answer at all means that some call is right and
    nobody said which. `messages` are chat messages up to, and without, the turn that the model has
    to write. `reply` is what it says where it calls nothing: training writes it, nothing judges it.
    """

    id: str
    messages: list[dict[str, Json]]
    tools: list[Tool]
    expected: list[list[Call]]
    ordered: bool = False
    tags: tuple[str, ...] = ()
    reply: str = ""

    @property
    def expects_call(self) -> bool:
        """Whether every acceptable answer holds at least one call."""
        return all(self.expected)


class Failure(Record, frozen=True):
    """Why and where a turn is malformed.

    `offset` counts characters and `byte_offset` UTF-8 bytes (surrogatepass) up to the first
    token that cannot stand where it stands.
    """

    kind: FailureKind
    offset: int
    byte_offset: int
    expected: str
    found: str
    hint: str


class Parse(Record, frozen=True):
    """What a model's turn is: calls, an abstention, or a malformed attempt with its failure."""

    outcome: Outcome
    calls: list[Call] = field(default_factory=list)
    failure: Failure | None = None
    repairs: list[str] = field(default_factory=list)


class Request(Record, frozen=True):
    """One prompt to answer.

    Where it is `native`, the prompt is no text for the model but JSON with the `messages` and
    `tools` that a chat endpoint takes, whose own template writes the text.
    """

    case: Case
    prompt: str
    prompt_sha256: str
    repeat: int = 0
    native: bool = False


class Sample(Record, frozen=True):
    """The stored evidence of one answer.

    `error` is set when the machinery failed (then `text` is no answer and is not judged).
    `native_calls` are those that a server's own parser, or a function, returned: they decide, and
    `text` beside them is what the model wrote, where that is known.
    `seconds` is this sample's share of the wall time that it took together with others. `stop` is
    "token" when a stop token ended the turn, "limit" when the token limit did, None when the
    backend cannot know.
    """

    case_id: str
    repeat: int = 0
    text: str = ""
    native_calls: list[Call] | None = None
    prompt_sha256: str = ""
    prompt_tokens: Count | None = None
    output_tokens: Count | None = None
    seconds: float | None = None
    stop: Stop | None = None
    error: str | None = None


ArgumentResult = Literal["equal", "different", "wrong_type", "missing", "extra"]


class ArgumentVerdict(Record, frozen=True):
    """How one argument of one call compares. `path` is a JSON path below the call's arguments.

    `wrong_type` is a value whose JSON type no accepted value has; `different` one that has it.
    """

    path: str
    result: ArgumentResult
    expected: Json = None
    called: Json = None


class CallPair(Record, frozen=True):
    """Which expected call (index in the accepted answer) met which called one, if any."""

    expected: int | None
    called: int | None
    expected_name: str | None
    called_name: str | None
    arguments: list[ArgumentVerdict] = field(default_factory=list)


class Matching(Record, frozen=True):
    """When a call counts as an expected one; recorded in every run.

    `matcher` is "exact" or "bfcl". `normalise` names what is overlooked in the strings of
    arguments: "case", "space" (at either end), "datetime" (two ways to write one ISO 8601 date and
    time). With `schema_defaults` an argument that has its schema's default equals an absent one.
    """

    matcher: str = "exact"
    normalise: tuple[str, ...] = ()
    schema_defaults: bool = False


class Verdict(Record, frozen=True):
    """How one sample compares with its case. The three booleans nest: arguments ⇒ name ⇒ syntax.

    They do not nest where a server's own parser decided: it may read what the grammar refuses.
    `name` and `arguments` are None when the case expects no call, and when it does not say which.
    `syntax` is None when there was no text to judge (a server's native calls alone). `lenient` is
    the verdict on what lenient parsing made of a turn that is malformed. `parse` is of the native
    calls where there are any, and `own` then what our grammar makes of the text beside them;
    `server_parser` is whether the two differ, None where only one of them is known.
    """

    case: Case
    sample: Sample
    parse: Parse
    syntax: bool | None
    name: bool | None
    arguments: bool | None
    pairs: list[CallPair] = field(default_factory=list)
    lenient: Verdict | None = None
    own: Parse | None = None
    server_parser: bool | None = None

    @property
    def is_right(self) -> bool:
        """Whether the case is solved: the right calls, or an abstention where none is right."""
        if self.sample.error is not None:
            return False
        if not self.case.expects_call:
            return self.parse.outcome == "abstained"
        # Where any call is right, a valid one is.
        return self.parse.outcome == "calls" if not self.case.expected else self.arguments is True


DecodeMode = Literal[
    "greedy",
    "sample",
    "constrained",
    "constrained-schema",
    "constrained-or-text",
    "constrained-or-text-schema",
]


class Decoding(Record, frozen=True):
    """How tokens are chosen. A turn ends at the first of `stops` or after `max_new_tokens`.

    A constrained mode takes only tokens that the grammar of `format` allows: calls, or with
    "or-text" calls or an answer in words; with "schema" only calls of the case's tools. At
    temperature 0 the likeliest is taken, above it one is drawn, by `seed`.
    """

    mode: DecodeMode = "greedy"
    max_new_tokens: int = 256
    stops: tuple[str, ...] = ()
    format: str = "functiongemma"
    temperature: float = 0.0
    seed: int = 0

    @property
    def is_constrained(self) -> bool:
        """Whether a grammar says which tokens may come."""
        return self.mode.startswith("constrained")

    @property
    def may_abstain(self) -> bool:
        """Whether the model is free to make no call."""
        return not self.is_constrained or "or-text" in self.mode

    @property
    def follows_tools(self) -> bool:
        """Whether calls are held to the case's tools."""
        return self.mode.endswith("-schema")


class ChatTemplate(Protocol):
    """A tokenizer's chat template. `source` is its Jinja text."""

    source: str

    def __call__(self, messages: list[dict[str, Json]], tools: list[dict[str, Json]]) -> str:
        """Return the prompt of a conversation, up to where the model goes on."""


class Backend(Protocol):
    """A model that answers prompts.

    `template` is the model's own chat template, or None; `bos` the token that its prompts begin
    with ("" for none). `manifest` is what a run records of it. `has_answered` is whether it ever
    gave an answer, also before a run was resumed: until then a model whose first answers all fail
    may be taken for one that cannot answer at all.
    """

    template: ChatTemplate | None
    bos: str
    manifest: dict[str, Json]
    has_answered: bool

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
        """Yield one sample a request, in any order; its own failures are samples with `error`.

        A prompt is rendered when it is read, so a backend that reads as far as it answers takes
        little memory for many. Requests of a run that is interrupted end with what was read.
        A BackendError makes all requests without a sample errors; any other exception ends the run.
        """


ModelFunction = Callable[[list[str]], Sequence[str | list[Call]]]
"""A model that is a function: prompts in, as many answers out, each a text or a list of Call."""


class Run(Record, frozen=True):
    """A manifest (what was asked of which model, with which versions) and its samples.

    `cases` are the cases the samples answer, in suite order. The samples are in that order too; of
    a stored run each is read from its folder when it is looked at.
    """

    manifest: dict[str, Json]
    cases: list[Case]
    samples: Sequence[Sample]
    folder: str | None = None
