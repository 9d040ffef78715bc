"""A format's grammar as a constraint on decoding: which tokens may come next, and how to finish.

The .lark file that judges turns also makes them: its rules become a grammar for llguidance, whose
masks say which tokens of a vocabulary can stand next (control tokens only as such), and the same
rules are followed here token by token for what a mask does not say: that no key stands twice in an
object, how long a text may get, and which is the shortest way to a complete turn. See
fcbench.formats._language for what the constraint leaves out of the strict language.
"""

from __future__ import annotations

from functools import cached_property
from itertools import chain, product
from typing import TYPE_CHECKING, Any

from fcbench.errors import FormatError, MissingExtra, ModelError
from fcbench.formats import attempt_patterns, format_of
from fcbench.formats._items import Control, Language
from fcbench.formats._language import language_of
from fcbench.formats._llguidance import as_llguidance
from fcbench.formats._tracker import Piece, Place, Tracker

try:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance.hf import from_tokenizer
except ImportError as error:
    raise MissingExtra("llguidance", "constrain") from error

CONTINUATIONS = (0x80, 0x90, 0xA0, 0xAF, 0xBF)  # among the bytes that go on with a character
THREE_BYTES, FOUR_BYTES = 0xE0, 0xF0  # what the first byte of such a UTF-8 character is at least

KEPT = 64
"""Compiled sets of tools that a constraint keeps."""

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.types import Tool


class Constraint:
    """Constrains a model with a given tokenizer to turns of a format.

    `tokenizer` is a fast transformers tokenizer, `stop_ids` the tokens that end a turn. With
    `or_text` a turn is calls or an answer in words. Making one takes seconds for a large
    vocabulary; sessions are cheap.
    """

    def __init__(
        self, format: str, tokenizer: Any, stop_ids: Sequence[int], *, or_text: bool = False
    ) -> None:
        self._format = format_of(format)
        wire = self._format.wire
        # A token that calls are made of ends no turn here, whatever the model's configuration says.
        parts = tokenizer.convert_tokens_to_ids([t for t in wire.controls if t not in wire.stops])
        self.stop_ids = [i for i in stop_ids if i not in parts] or [tokenizer.eos_token_id]
        self._attempts = attempt_patterns() if or_text else []
        try:
            self._tokens = _read(tokenizer, self.stop_ids)
        except (ValueError, TypeError) as error:
            raise ModelError(f"llguidance cannot read the tokenizer: {error}") from error
        vocabulary = tokenizer.get_vocab()
        # An added word that is no special token is text to llguidance, and so it is here.
        self._controls = {
            token: vocabulary[token]
            for token in (*self._format.wire.controls, *self._format.wire.openers)
            if token in vocabulary and self._tokens.is_special_token(vocabulary[token])
        }
        self._compiled: dict[str, _Compiled] = {}

    def session(self, tools: Sequence[Tool] | None = None) -> Session:
        """Return a new turn's constraint, narrowed to a case's tools if they are given.

        FormatError when no call can be made (see language_of).
        """
        # Suites shuffle the tools of their cases; which calls can be made is the same in any order.
        tools = None if tools is None else sorted(tools, key=lambda tool: tool.name)
        key = repr(tools)
        if key not in self._compiled:
            language = self._language(tools)
            if len(self._compiled) >= KEPT:  # the tools of some suites differ from case to case
                del self._compiled[next(iter(self._compiled))]
            self._compiled[key] = _Compiled(language, self._controls, self._tokens)
        return Session(self._compiled[key], self._tokens, self._controls)

    def _language(self, tools: Sequence[Tool] | None) -> Language:
        quote = self._format.wire.quote
        if "TEXT" in self._format.grammar.patterns and quote not in self._controls:
            # Spelled out it would be text: a string could never be closed.
            raise FormatError(f"the tokenizer has no special token {quote}")
        try:
            return language_of(self._format, self._controls, tools, self._attempts)
        # The boundary to somebody's JSON Schema, which may hold anything anywhere.
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            what = f"{type(error).__name__}: {error}"
            raise FormatError(f"a tool's schema cannot be followed: {what}") from error


def _read(tokenizer: Any, stop_ids: list[int]) -> LLTokenizer:
    """Return llguidance's reading of a fast transformers tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # Slices, sets of tokens whose masks are known beforehand, take half a second to make and none
    # of them lies in texts that spell no control token: they made no mask faster here.
    if backend is None or backend.padding is not None or backend.truncation is not None:
        return from_tokenizer(tokenizer, eos_token=stop_ids, slices=[])
    # Without these two there is nothing that has to be taken from a copy, made in over a second.
    return LLTokenizer(backend.to_str(), eos_token=stop_ids, slices=[])


class _Compiled:
    """One language, ready to be followed."""

    def __init__(self, language: Language, controls: dict[str, int], tokens: LLTokenizer) -> None:
        self.tracker = Tracker(language)
        self.grammar = as_llguidance(language, controls)
        self._tokens = tokens

    @cached_property
    def matcher(self) -> LLMatcher:
        """The matcher at the start of a turn, to be copied."""
        matcher = LLMatcher(self._tokens, LLMatcher.grammar_from_lark(self.grammar))
        if matcher.is_error():
            first = matcher.get_error().partition("\n")[0]
            raise FormatError(f"llguidance refuses the grammar: {first}")
        return matcher


class Session:
    """One turn under a constraint.

    The caller keeps one promise: `remaining` is the number of tokens that may still be written,
    it never grows, and a token is taken only when take says so. Then a turn that fits its limit
    at the start is complete at its end.
    """

    def __init__(self, compiled: _Compiled, tokens: LLTokenizer, controls: dict[str, int]) -> None:
        self._tracker = compiled.tracker
        self._places: list[Place] = compiled.tracker.start
        self._matcher = compiled.matcher.deep_copy()
        self._tokens = tokens
        self._controls = controls
        self._names = {number: token for token, number in controls.items()}
        self._unfinished = b""  # the beginning of a character whose bytes are several tokens

    @property
    def may_end(self) -> bool:
        """Whether the turn is complete, so that a stop token may come."""
        return not self._unfinished and self._tracker.may_end(self._places)

    @property
    def must_end(self) -> bool:
        """Whether the turn is complete and nothing but a stop token may come."""
        return not self._unfinished and self._tracker.must_end(self._places)

    @property
    def is_narrow(self) -> bool:
        """Whether only a few different characters may come next, so that few tokens may."""
        return not self._unfinished and self._tracker.is_narrow(self._places)

    def mask(self) -> bytes:
        """Return a bit for each token of the vocabulary, lowest first: whether it may come next.

        A few of these tokens may still be refused by take. Stop tokens are not among them.
        """
        return bytes(self._matcher.compute_bitmask())

    def take(self, token: int, remaining: int) -> bool:
        """Take a token if it may stand here and the turn can still be completed after it.

        `remaining` counts the tokens that may be written, this one included.
        """
        followed = self._after(token)
        if followed is None:
            return False
        places, unfinished = followed
        if not self._can_end(places, unfinished, remaining - 1):
            return False
        # Its lexer takes the longest match where the tracker follows all; asked first, because a
        # matcher that was given a wrong token never recovers.
        if self._matcher.validate_tokens([token]) != 1:
            return False
        self._matcher.consume_token(token)
        self._places, self._unfinished = places, unfinished
        return True

    def forced(self, remaining: int) -> list[int]:
        """Take the tokens that the grammar leaves no choice about, and return them."""
        taken: list[int] = []
        for token in self._matcher.compute_ff_tokens():
            if not self.take(token, remaining - len(taken)):
                break
            taken.append(token)
        return taken

    def ending(self) -> list[int] | None:
        """Return the tokens of the way to a complete turn that is shortest in characters.

        None in the middle of a character.
        """
        return None if self._unfinished else self._ids(self._places)

    def is_urgent(self, remaining: int) -> bool:
        """Whether only the shortest way to a complete turn still fits."""
        if self._unfinished or self._tracker.shortest(self._places).cost < remaining:
            return False
        return len(self._ids(self._places)) >= remaining

    def _after(self, token: int) -> tuple[list[Place], bytes] | None:
        places = self._places
        name = self._names.get(token)
        if name is not None:
            places = [] if self._unfinished else self._tracker.after_control(places, name)
            return (places, b"") if places else None
        # A model may have rows of logits beyond the tokenizer's last token.
        if token >= self._tokens.vocab_size or self._tokens.is_special_token(token):
            return None
        text, unfinished = _decoded(self._unfinished + self._tokens.decode_bytes([token]))
        if text is None:
            return None
        for char in text:
            places = self._tracker.after_char(places, char)
            if not places:
                return None
        return places, unfinished

    def _can_end(self, places: list[Place], unfinished: bytes, room: int) -> bool:
        if not unfinished:
            return self._fits(places, room)
        room -= _n_missing(unfinished)
        literal = self._tracker.literal_chars(places)
        begun = chain(
            (char for char in literal if char.encode().startswith(unfinished)), _begun(unfinished)
        )
        ends = (self._tracker.after_char(places, char) for char in begun)
        return any(self._fits(after, room) for after in ends if after)

    def _fits(self, places: list[Place], room: int) -> bool:
        # No token is shorter than a byte, so most of the time there is nothing to tokenise.
        if self._tracker.shortest(places).cost <= room:
            return True
        return room >= 0 and len(self._ids(places)) <= room

    def _ids(self, places: list[Place]) -> list[int]:
        ids: list[int] = []
        for piece in _merged(self._tracker.shortest(places).pieces):
            if isinstance(piece, Control):
                ids.append(self._controls[piece.token])
            else:
                ids += self._spelled(piece)
        return ids

    def _spelled(self, text: str) -> list[int]:
        """Return the ordinary tokens of a text, as the tokenizer would choose them if it can."""
        ids = self._tokens.tokenize_str(text)
        is_ordinary = not any(map(self._tokens.is_special_token, ids))
        if is_ordinary and self._tokens.decode_bytes(ids) == text.encode():
            return ids
        return self._tokens.greedy_tokenize(text)


def _decoded(content: bytes) -> tuple[str | None, bytes]:
    """Return the whole characters of UTF-8 bytes and what is left; None if they are not UTF-8."""
    try:
        return content.decode(), b""
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return None, b""
        return content[: error.start].decode(), content[error.start :]


def _n_missing(unfinished: bytes) -> int:
    """Return how many bytes, and so how many tokens at most, the begun character still takes."""
    if not unfinished:
        return 0
    length = 4 if unfinished[0] >= FOUR_BYTES else 3 if unfinished[0] >= THREE_BYTES else 2
    return length - len(unfinished)


def _begun(unfinished: bytes) -> Iterator[str]:
    """Yield some of the characters whose bytes begin so, from all over their range."""
    for rest in product(CONTINUATIONS, repeat=_n_missing(unfinished)):
        char, left = _decoded(unfinished + bytes(rest))
        if char and not left:
            yield char


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    """Return pieces with neighbouring texts joined, as a tokenizer would see them."""
    merged: list[Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if isinstance(piece, str) and isinstance(last, str):
            merged[-1] = last + piece
        else:
            merged.append(piece)
    return merged
