"""What is too large to compile is refused by its size alone; what people write is not."""

import json

import pytest

from serving.gateway.grammar_limits import DEPTH, QUANTIFIERS, VALUES, grammar_fault

ORDER = {
    "type": "object",
    "properties": {
        "intent": {"enum": ["order", "cancel", "complain"]},
        "quantity": {"type": "integer", "minimum": 1, "maximum": 10**6},
        "date": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "maxItems": 100},
    },
    "required": ["intent"],
    "$defs": {"line": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 2000}}}},
}
JSON_GRAMMAR = r"""
root ::= object
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
value ::= object | array | string | number | ("true" | "false" | "null") ws
array ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\] | "\\" ["\\/bfnrt])* "\"" ws
number ::= "-"? [0-9]+ ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws ::= [ \t\n]*
"""


def structured(**constraint):
    return {"structured_outputs": constraint}


def schema(value):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": value}}}


def nested(levels):
    inner = {"type": "string"}
    for _ in range(levels):
        inner = {"type": "array", "items": inner}
    return inner


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"structured_outputs": None, "tools": None},
        schema(ORDER),
        structured(json=json.dumps(ORDER)),
        structured(regex=r"[A-Z]{2}\d{2}( ?[A-Z0-9]{4}){2,7}"),
        structured(grammar=JSON_GRAMMAR),
        structured(choice=[f"label {i}" for i in range(500)]),
        {"tools": [{"type": "function", "function": {"name": "f", "description": "*?+{|" * 500, "parameters": ORDER}}]},
    ],
)
def test_what_people_write_passes(request_):
    assert grammar_fault(request_) is None


@pytest.mark.parametrize(
    "request_",
    [
        schema({"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(VALUES)}}),
        schema({"enum": list(range(VALUES))}),
        structured(choice=["a"] * (VALUES + 1)),
        {"tools": [{"type": "function", "function": {"name": f"f{i}"}} for i in range(VALUES)]},
        structured(json=json.dumps({"enum": list(range(VALUES))})),
        structured(structural_tag=json.dumps({"format": {"elements": [{"type": "any_text"}] * VALUES}})),
    ],
)
def test_too_many_values_are_refused(request_):
    assert f"more than {VALUES:,} values" in grammar_fault(request_)


@pytest.mark.parametrize("request_", [schema(nested(DEPTH)), structured(json=json.dumps(nested(DEPTH)))])
def test_too_deep_nesting_is_refused(request_):
    assert f"deeper than {DEPTH} levels" in grammar_fault(request_)


def test_a_text_no_json_parser_survives_is_left_to_vllm():
    assert grammar_fault(structured(json="[" * 100_000)) is None


@pytest.mark.parametrize("constraint", [{"regex": "a" * 20_000}, {"choice": ["a" * 20_000]}])
def test_too_long_texts_are_refused(constraint):
    assert "characters" in grammar_fault(structured(**constraint))


@pytest.mark.parametrize(
    "request_",
    [
        structured(regex="a?" * (QUANTIFIERS + 1)),
        structured(grammar="root ::= " + '"a"* ' * (QUANTIFIERS + 1)),
        schema({"type": "string", "pattern": "(a|b)" * (QUANTIFIERS + 1)}),
        schema({"patternProperties": {".*" * (QUANTIFIERS + 1): {}}}),
        structured(structural_tag=json.dumps({"format": {"type": "regex", "pattern": ".*" * (QUANTIFIERS + 1)}})),
    ],
)
def test_too_many_quantifiers_are_refused_wherever_a_pattern_stands(request_):
    assert "quantifiers" in grammar_fault(request_)


@pytest.mark.parametrize(
    "request_",
    [
        structured(regex="(.{1,3000}){1,3000}"),
        structured(regex="((a{99}){99,}){99}"),
        structured(regex="a{" + "9" * 50 + "}"),
        structured(grammar='root ::= "a"{1, 1000000000}'),
        schema({"patternProperties": {"(.{ 1,3000}){1,3000 }": {}}}),
    ],
)
def test_repetitions_that_multiply_are_refused(request_):
    assert "repeats more than" in grammar_fault(request_)
