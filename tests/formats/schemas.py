"""JSON Schemas as people write them, the odd ones too: each is the schema of one function."""

_DEEP: dict[str, object] = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "object"}},
}
for _key in "gfedcba":
    _DEEP = {"type": "object", "properties": {_key: _DEEP}, "required": [_key]}

SCHEMAS: dict[str, dict[str, object]] = {
    "no properties": {},
    "properties are null": {"properties": None},
    "an empty enum": {"properties": {"a": {"enum": []}}},
    "an enum of every type": {
        "properties": {"a": {"enum": [None, True, 1, 1.5, "x", {"k": [1]}, ["y"]]}},
        "required": ["a"],
    },
    "an enum that spells a control token": {
        "properties": {"a": {"enum": ["<escape>"]}},
        "required": ["a"],
    },
    "an enum of great numbers": {
        "properties": {"a": {"enum": [10**30, 1e300, -0.0]}},
        "required": ["a"],
    },
    "a null constant": {"properties": {"a": {"const": None}}, "required": ["a"]},
    "a required key that is no property": {
        "properties": {"a": {"type": "string"}},
        "required": ["a", "z", "a"],
    },
    "an array of anything": {"properties": {"a": {"type": "array"}}, "required": ["a"]},
    "an array of a list of items": {
        "properties": {"a": {"type": "array", "items": [{"type": "string"}]}},
        "required": ["a"],
    },
    "more items than may be": {
        "properties": {"a": {"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 2}},
        "required": ["a"],
    },
    "no item": {"properties": {"a": {"type": "array", "maxItems": 0}}, "required": ["a"]},
    "many items": {
        "properties": {"a": {"type": "array", "items": {"type": "null"}, "minItems": 20}},
        "required": ["a"],
    },
    "null bounds": {
        "properties": {"a": {"type": "array", "minItems": None, "maxItems": None}},
        "required": ["a"],
    },
    "boolean schemas": {"properties": {"a": True, "b": False}, "required": ["a"]},
    "types that JSON does not have": {
        "properties": {"a": {"type": "any"}, "b": {"type": "dict"}, "c": {"type": 5}, "d": {"type": "float"}},
        "required": ["a", "b", "c", "d"],
    },
    "a list of types": {
        "properties": {"a": {"type": ["string", "null", "array"], "items": {"type": "boolean"}}},
        "required": ["a"],
    },
    "an object or null": {
        "properties": {
            "a": {
                "anyOf": [
                    {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]},
                    {"type": "null"},
                ]
            }
        },
        "required": ["a"],
    },
    "no option": {"properties": {"a": {"anyOf": []}}, "required": ["a"]},
    "a reference": {"properties": {"a": {"$ref": "#/x"}}, "required": ["a"]},
    "deep nesting": {"properties": {"a": _DEEP}, "required": ["a"]},
    "no type": {"properties": {"a": {"type": []}, "b": {"enum": None}}, "required": True},
    "a character that ends no line": {"properties": {"a": {"enum": ["\x7f"]}}, "required": ["a"]},
    "values beyond ASCII": {"properties": {"a": {"enum": ["café", "thé", "東京", "🗼"]}}, "required": ["a"]},
    "seventy nested keys": {
        "properties": {
            "a": {"type": "object", "properties": {f"k{i}": {"type": "null"} for i in range(70)}}
        },
        "required": ["a"],
    },
    "odd keys": {
        "properties": {
            key: {"type": "string"}
            for key in ("größe", "名前", "a b", "a:b", 'x"y', "a{b", "__proto__", "call", "call:", "from")
        },
    },
}  # fmt: skip
