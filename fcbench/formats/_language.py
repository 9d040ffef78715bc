"""The language of a decoding constraint: a grammar's rules, bounded, and narrowed to tools.

It is made from the rules and terminals of the .lark file, with BOUNDS and what the format's Wire
adds to them, and is a subset of the strict language: open repeats have bounds, whitespace is what
a chat template writes or one character less, no text spells a control token. With tools, a call
names one of them and its arguments follow the tool's JSON Schema: declared keys, each at most once
and in any order, the required ones always; types, `enum`, `const`, `anyOf` / `oneOf`, `items`,
`minItems`, `maxItems`. What a schema says beyond that (`$ref`, `pattern`, ranges) is left to the
model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fcbench.errors import FormatError
from fcbench.formats import _regex
from fcbench.formats._items import (
    Control,
    Item,
    Items,
    Language,
    Members,
    Repeated,
    Rule,
    Terminal,
    Text,
)
from fcbench.formats._walk import MAX_DEPTH, OPENERS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fcbench.formats._format import Format
    from fcbench.types import Json, Tool

DEPTH = 5
"""Levels of nesting where no schema says which, the arguments included."""
CALLS, ITEMS = 8, 16
"""Calls in a turn and items of an array, where no schema says how many."""
TEXT_LENGTH, NAME_LENGTH, PROSE_LENGTH = 512, 64, 4096
"""Characters of a string, of a name or key, and of an answer in words."""
DECLARED = 60
"""Arguments of one function that can be told apart; those of one with more are not narrowed."""

_JSON_STRING = (TEXT_LENGTH, 1)  # the repeat of characters, and the run inside it
BOUNDS: Mapping[str, Sequence[int]] = {
    "TEXT": (TEXT_LENGTH, 1),
    "STRING": (*_JSON_STRING, *_JSON_STRING),
    "KEY": (NAME_LENGTH, 1),
    "DICT_KEY": (NAME_LENGTH, 1, NAME_LENGTH, 1),
    "NAME": (NAME_LENGTH, 1),
    "FUNCTION": (NAME_LENGTH, 1),
    # Digits before and after the point and of the exponent: always finite.
    "NUMBER": (14, 14, 2),
    # One whitespace character after a colon or comma, which a chat template may write, else none.
    "_COLON": (0, 1),
    "_COMMA": (0, 1),
}
"""The most repetitions of each open repeat of a terminal, in the order in which they stand."""

KEYS = {"KEY", "DICT_KEY"}
NAMES = {"NAME", "FUNCTION"}
INTEGER = r"-?(?:0|[1-9][0-9]*)"
PROSE = "PROSE"


def language_of(
    format: Format,
    controls: Collection[str],
    tools: Sequence[Tool] | None = None,
    attempts: Sequence[str] = (),
) -> Language:
    """Return the language of a format's turns.

    FormatError when no call can be made: there is no tool, or the format cannot name one.
    `controls` are the tokens that stand in the vocabulary as such; other control tokens are
    spelled out. With `attempts`, patterns of what attempts a call in any format, a turn may be an
    answer in words that holds none of these.
    """
    builder = _Builder(format, controls, tools)
    # Without a tool there is no call to make.
    calls = [(builder.rule("turn", DEPTH, None),)] if tools is None or tools else []
    if not attempts:
        if not calls:
            raise FormatError("no call can be forced: the case has no tools")
        return Language({**builder.rules, "start": calls}, "start")
    calls_begin = set().union(*(_first(builder.rules, items) for items in calls))
    excluded = _attempting(attempts, format.wire.beginnings())
    prose, open_prose = (_prose(excluded, calls_begin, n) for n in (PROSE_LENGTH, None))
    answer = Terminal(PROSE, prose, open_prose)
    return Language({**builder.rules, "start": [*calls, (answer,)]}, "start")


def _attempting(attempts: Sequence[str], beginnings: Sequence[str]) -> _regex.Tree:
    """Return texts that hold an attempt at a call, or begin as one of their own format does."""
    # What an attempt looks like may be of any length.
    found, begun = (
        [_regex.bounded(pattern, [None] * 8) for pattern in patterns]
        for patterns in (attempts, beginnings)
    )
    beginning = [_regex.sequence(tree, _regex.ANYTHING) for tree in begun]
    return _regex.either([_regex.containing(found), *beginning])


def _prose(
    excluded: _regex.Tree, calls_begin: Collection[tuple[int, int]], length: int | None
) -> _regex.Tree:
    # Words begin as no call does, because llguidance's lexer decides by the first characters
    # which of the two it reads.
    first = _regex.without(_regex.bounded(r"\S", ()), _regex.chars(calls_begin))
    words = _regex.sequence(first, _regex.repeat(_regex.ANY, 0, length))
    return _regex.without(words, excluded)


def _first(rules: Mapping[str, Sequence[Items]], items: Items) -> set[tuple[int, int]]:
    """Return the code points that ordinary text of these items may begin with."""
    found: set[tuple[int, int]] = set()
    for item in items:
        match item:
            case Text(value):
                return found | {(ord(value[0]), ord(value[0]))}
            case Terminal(_, tree):
                found |= _regex.starts(tree)
                if not _regex.can_end(tree):
                    return found
            case Rule(name) | Repeated(Rule(name)):
                return found.union(*(_first(rules, each) for each in rules[name]))
            case Members(opening):
                return found | _first(rules, opening)
            case Control():
                return found
    return found


def _refuse_too_deep(depth: int) -> None:
    """Raise FormatError for an object or array of a schema that no turn may nest so deep."""
    if DEPTH - depth >= MAX_DEPTH:
        raise FormatError(f"$: a schema nests deeper than {MAX_DEPTH} levels")


class _Builder:
    """Makes one instance of each rule for each depth and each tool that it is needed for."""

    def __init__(
        self, format: Format, controls: Collection[str], tools: Sequence[Tool] | None
    ) -> None:
        self.rules: dict[str, list[Items]] = {}
        self._format = format
        self._tools = tools
        self._grammar = format.grammar
        self._expansions: dict[str, list[list[str]]] = {}
        for rule in self._grammar.lark.rules:
            symbols = [str(symbol.name) for symbol in rule.expansion]
            self._expansions.setdefault(str(rule.origin.name), []).append(symbols)
        self._fixed = {
            terminal.name: terminal.pattern.value
            for terminal in self._grammar.lark.terminals
            if terminal.pattern.type == "str"
        }
        tokens = sorted(controls, key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, tokens)) or r"(?!)")
        self._terminals: dict[str, Terminal] = {}

    def rule(self, name: str, depth: int, tool: Tool | None) -> Rule:
        """Return a rule with `depth` levels of nesting left, in a call of a tool or of any."""
        of_tool = "" if tool is None else f" {(self._tools or []).index(tool)}"
        key = f"{name} {depth}{of_tool}"
        if key not in self.rules:
            self.rules[key] = self._alternatives(name, depth, tool)
        return Rule(key)

    def _alternatives(self, name: str, depth: int, tool: Tool | None) -> list[Items]:
        if name in ("call", "body") and tool is None and self._tools is not None:
            return [(self.rule(name, depth, each),) for each in self._tools]
        if self._is_members(name):
            narrowed = tool is not None and len(tool.parameters.get("properties") or {}) <= DECLARED
            if tool is not None and narrowed:
                return [(self._declared(name, tool.parameters, depth),)]
            return [(self._free(name, depth),)]
        inner = depth - 1 if name == "array" else depth
        return [
            tuple(item for symbol in symbols for item in self._items(symbol, inner, tool))
            for symbols in self._expansions[name]
            if self._fits(symbols, name, depth)
        ]

    def _fits(self, symbols: Sequence[str], name: str, depth: int) -> bool:
        """Whether an alternative is no recursion and not nested too deep."""
        if name in symbols:
            return False
        return depth > 0 or not {"object", "array"} & set(symbols)

    def _items(self, symbol: str, depth: int, tool: Tool | None) -> Items:
        if symbol in NAMES and tool is not None:
            return self.text(self._format.renderer.name(tool.name))
        if symbol in self._grammar.patterns:
            return self.terminal(symbol)
        if symbol.startswith("_"):
            # lark's own rule for a repeat: the repeated symbols, alone and after itself.
            most = ITEMS if symbol.startswith("__array") else CALLS
            return (Repeated(self.rule(symbol, depth, tool), 1, most - 1),)
        return (self.rule(symbol, depth, tool),)

    def terminal(self, name: str) -> Items:
        """Return what stands for a terminal of the grammar."""
        if name in self._fixed:
            return self.text(self._fixed[name])
        known = self._terminals.get(name)
        if known is None:
            wire = self._format.wire
            bounds = wire.bounds.get(name, BOUNDS.get(name, ()))
            opened = [None if bound >= NAME_LENGTH else bound for bound in bounds]
            tree = self._excluding(name, bounds)
            known = Terminal(name, tree, self._excluding(name, opened), name in KEYS)
            self._terminals[name] = known
        # Where only whitespace may stand and none is written, there is nothing.
        return () if known.tree is _regex.EMPTY else (known,)

    def _excluding(self, name: str, bounds: Sequence[int | None]) -> _regex.Tree:
        """Return a terminal's tree without spellings of control tokens and what else is refused."""
        wire = self._format.wire
        tree = _regex.bounded(self._grammar.patterns[name], bounds)
        spelled = [
            _regex.literal(token)
            for token in dict.fromkeys([*wire.controls, *wire.stops])
            if _regex.can_hold(tree, token)
        ]
        excluded = [_regex.containing(spelled)] if spelled else []
        excluded += [_regex.bounded(p, [None] * 8) for p in wire.unsayable.get(name, ())]
        return _regex.without(tree, _regex.either(excluded))

    def text(self, value: str) -> Items:
        """Return the items of a text, its control tokens as such."""
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise FormatError(f"no tokens spell a lone surrogate: {value!a}") from error
        items: list[Item] = []
        at = 0
        for found in self._controls.finditer(value):
            items += [Text(value[at : found.start()]), Control(found.group())]
            at = found.end()
        items.append(Text(value[at:]))
        return tuple(item for item in items if item != Text(""))

    # Objects and arguments

    def _is_members(self, name: str) -> bool:
        return name in ("object", "arguments") and self._expansions[name][0][0] in OPENERS

    def _parts(self, name: str) -> tuple[Items, Items, Items, list[str]]:
        """Return opening, separator and closing of a rule of pairs, and the symbols of a pair."""
        first, *_, last = self._expansions[name][0]
        pair = next(s[1] for s in self._expansions[name] if s[1] in self._expansions)
        return (
            self.terminal(first),
            self.terminal("_COMMA"),
            self.terminal(last),
            self._expansions[pair][0],
        )

    def _free(self, name: str, depth: int) -> Members:
        opening, separator, closing, (key, between, value) = self._parts(name)
        pair = (
            *self.terminal(key),
            *self.terminal(between),
            *self._items(value, depth - 1, None),
        )
        return Members(opening, separator, closing, free=pair)

    def _declared(self, name: str, schema: Mapping[str, Json], depth: int) -> Members:
        opening, separator, closing, (_, between, _) = self._parts(name)
        properties: Mapping[str, Json] = schema.get("properties") or {}
        listed = schema.get("required")
        required = [key for key in listed if key in properties] if isinstance(listed, list) else []
        _refuse_too_deep(depth)
        renderer = self._format.renderer
        write = renderer.argument if name == "arguments" else renderer.key
        pairs: list[Items] = []
        for key in dict.fromkeys([*required, *properties]):
            try:
                spelled = self.text(write(key, "$.arguments"))
            except FormatError:
                if key in required:
                    raise
                continue  # an argument that the format cannot name can only be left out
            value = self._typed(properties[key], depth - 1)
            pairs.append((*spelled, *self.terminal(between), value))
        return Members(opening, separator, closing, tuple(pairs), len(set(required)))

    # Values by JSON Schema

    def _typed(self, schema: Json, depth: int) -> Rule:
        """Return the rule of the values that a schema allows."""
        key = f"schema {depth} {schema!r}"
        if key not in self.rules:
            self.rules[key] = self._by_schema(schema, depth)
        return Rule(key)

    def _by_schema(self, schema: Json, depth: int) -> list[Items]:
        anything: list[Items] = [(self.rule("value", max(depth, 1), None),)]
        if not isinstance(schema, dict):
            return anything
        if isinstance(schema.get("enum"), list) or "const" in schema:
            values = schema.get("enum")
            literals = self._literals([schema["const"]] if values is None else values)
            return literals or anything
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return [(self._typed(option, depth),) for option in options]
        kind = schema.get("type")
        if isinstance(kind, list) and kind:
            return [(self._typed({**schema, "type": each}, depth),) for each in kind]
        return self._by_type(schema, depth) or anything

    def _by_type(self, schema: Mapping[str, Json], depth: int) -> list[Items]:
        """Return the values of a schema's one type; nothing where it is not a type of JSON's."""
        match schema.get("type"):
            case "string":
                return self._alternatives("string", depth, None)
            case "integer":
                tree = _regex.bounded(INTEGER, BOUNDS["NUMBER"])
                return [(self._terminals.setdefault("INTEGER", Terminal("INTEGER", tree, tree)),)]
            case "number":
                return [self.terminal("NUMBER")]
            case "boolean":
                return [self.terminal("TRUE"), self.terminal("FALSE")]
            case "null":
                return [self.terminal("NULL")]
            case "array":
                return self._array(schema, depth)
            case "object" if 0 < len(schema.get("properties") or {}) <= DECLARED:
                return [(self._declared("object", schema, depth),)]
            case "object":
                return [(self.rule("object", max(depth, 1), None),)]
            case _:
                return []

    def _literals(self, values: Sequence[Any]) -> list[Items]:
        alternatives = []
        for value in values:
            try:
                alternatives.append(self.text(self._format.renderer.value(value)))
            except FormatError:  # the format cannot say this value, so the model cannot either
                continue
        return alternatives

    def _array(self, schema: Mapping[str, Json], depth: int) -> list[Items]:
        opening, closing = self.terminal("_LSQB"), self.terminal("_RSQB")
        least, most = (schema.get(key) for key in ("minItems", "maxItems"))
        least = least if isinstance(least, int) else 0
        most = max(least, min(most, ITEMS) if isinstance(most, int) else ITEMS)
        _refuse_too_deep(depth)
        item = self._typed(schema.get("items"), depth - 1)
        empty: list[Items] = [(*opening, *closing)] if least == 0 else []
        if most == 0:
            return empty
        further = self._further(item)
        repeats: Items = ()
        if most > 1:
            repeats = (Repeated(further, max(least - 1, 0), most - 1),)
        return [*empty, (*opening, item, *repeats, *closing)]

    def _further(self, item: Rule) -> Rule:
        key = f"further {item.name}"
        self.rules.setdefault(key, [(*self.terminal("_COMMA"), item)])
        return Rule(key)
