"""What may come in as JSON, and the one sentence for what may not."""

import json
import math
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import pytest

from jobd.core.payload import (
    MAX_DEPTH,
    clean_text,
    encode,
    encode_flat,
    encode_payload,
    parse_payload,
)
from jobd.errors import BadInput

LIMIT = 1 << 20


def nested(depth: int, kind: type = list) -> Any:
    """`depth` arrays (or objects), one inside the other."""
    value: Any = kind()
    for _ in range(depth - 1):
        value = [value] if kind is list else {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ({"a": 1, "b": [True, None, 1.5]}, '{"a":1,"b":[true,null,1.5]}'),
        ({"b": 1, "a": 2}, '{"b":1,"a":2}'),
        ({"path": ("a", "b")}, '{"path":["a","b"]}'),
        ({"é": "ü"}, '{"\\u00e9":"\\u00fc"}'),
        ({"smile": "\U0001f600"}, '{"smile":"\\ud83d\\ude00"}'),
        ({"nul": "a\0b"}, '{"nul":"a\\u0000b"}'),
        ({"text": "\\ud800"}, '{"text":"\\\\ud800"}'),
        ({"": ""}, '{"":""}'),
        ({"n": 10**30}, '{"n":1000000000000000000000000000000}'),
        ({"n": -0.0}, '{"n":-0.0}'),
        (OrderedDict(a=1), '{"a":1}'),
    ],
)
def test_a_payload_is_stored_as_compact_json(value: dict[str, Any], text: str) -> None:
    """Keys keep their order, tuples become arrays, and the text is ASCII."""
    assert encode_payload(value, LIMIT) == text
    assert json.loads(text) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "payload must be a JSON object, not null"),
        ([1], "payload must be a JSON object, not an array"),
        ((1,), "payload must be a JSON object, not a tuple"),
        ("{}", "payload must be a JSON object, not a string"),
        (b"{}", "payload must be a JSON object, not a bytes"),
        (True, "payload must be a JSON object, not a boolean"),
        (1, "payload must be a JSON object, not a number"),
        (1.5, "payload must be a JSON object, not a number"),
        ({1: 2}, "payload keys must be strings, not a number"),
        ({None: 2}, "payload keys must be strings, not null"),
        ({b"a": 2}, "payload keys must be strings, not a bytes"),
        ({(1, 2): 2}, "payload keys must be strings, not a tuple"),
    ],
)
def test_a_payload_is_an_object_with_string_keys(value: object, says: str) -> None:
    """Its keys become the handler's keyword arguments."""
    with pytest.raises(BadInput) as refused:
        encode_payload(value, LIMIT)
    assert str(refused.value) == says


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        b"bytes",
        {1, 2},
        object(),
        1j,
        {"a": [b"deep"]},
        {(1, 2): "a"},
        10**5_000,
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:8]}" if value != 10**5_000 else "huge",
)
def test_what_is_not_json_is_refused(value: object) -> None:
    """NaN, infinities, bytes and other Python objects have no place in JSON."""
    with pytest.raises(BadInput, match=r"^payload is not JSON: "):
        encode_payload({"x": value}, LIMIT)


def test_a_payload_that_holds_itself_is_refused() -> None:
    """A circle has no end in JSON."""
    circle: dict[str, Any] = {}
    circle["me"] = circle
    with pytest.raises(BadInput, match="payload is not JSON: Circular reference"):
        encode_payload(circle, LIMIT)


def test_a_read_only_mapping_is_a_payload_too() -> None:
    """`Queue.enqueue` takes any Mapping by its signature."""
    assert encode_payload(MappingProxyType({"a": 1}), LIMIT) == '{"a":1}'


@pytest.mark.parametrize(
    "value",
    [{"x": "a\ud83d"}, {"x": "\udfffb"}, {"x": "\ude00\ud83d"}, {"\ud800": 1},
     {"x": [{"y": "\udcff"}]}],
    ids=["high", "low", "swapped", "key", "deep"],
)
def test_half_a_character_is_refused(value: dict[str, Any]) -> None:
    """A lone surrogate is no character and could not be written as UTF-8."""
    with pytest.raises(BadInput, match=r"^payload holds a lone surrogate"):
        encode_payload(value, LIMIT)


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize(
    ("depth", "fits"),
    [(1, True), (MAX_DEPTH - 1, True), (MAX_DEPTH, False), (MAX_DEPTH + 1, False),
     (100_000, False)],
)
def test_the_deepest_nesting(depth: int, fits: bool, kind: type) -> None:
    """64 levels fit, the object itself included; a 65th does not, nor do 100,000."""
    value = {"x": nested(depth, kind)}
    if fits:
        assert json.loads(encode_payload(value, LIMIT)) == value
        return
    with pytest.raises(BadInput, match=f"^payload is nested deeper than {MAX_DEPTH}$"):
        encode_payload(value, LIMIT)


@pytest.mark.parametrize("text", ["[" * 200, "{" * 200, '"]' * 100, '\\"[' * 200])
def test_brackets_in_text_are_no_nesting(text: str) -> None:
    """Only brackets outside of strings count."""
    assert json.loads(encode_payload({"x": text}, LIMIT)) == {"x": text}


def test_many_brackets_side_by_side_are_no_nesting() -> None:
    """A long flat array of arrays is as deep as one of them."""
    value = {"x": [[]] * 1_000}
    assert json.loads(encode_payload(value, LIMIT)) == value


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600", "\n"])
@pytest.mark.parametrize(("spare", "fits"), [(1, True), (0, True), (-1, False)])
def test_the_limit_is_in_bytes_of_json(letter: str, spare: int, fits: bool) -> None:
    """As large as the limit fits; one byte more does not."""
    value = {"x": letter * 50}
    size = len(json.dumps(value, separators=(",", ":")))
    if fits:
        assert len(encode_payload(value, size + spare)) == size
        return
    with pytest.raises(BadInput, match=f"^payload is {size} bytes of JSON, more than the limit"):
        encode_payload(value, size + spare)


def test_the_sentence_names_what_was_too_large() -> None:
    """Results and checkpoints pass the same door under their own name."""
    with pytest.raises(BadInput, match=r"^the result is 7 bytes of JSON, more than"):
        encode("12345", 6, "the result")


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("{}", "{}"),
        (' {\n "a" : 1 , "b" : [ 1, 2 ] }\n', '{"a":1,"b":[1,2]}'),
        ('{"a": 1.50, "b": 1e3}', '{"a":1.5,"b":1000.0}'),
        ('{"a": "\\u00e9é"}', '{"a":"\\u00e9\\u00e9"}'),
        ('{"a": {"x": 1}, "b": {"x": 1}}', '{"a":{"x":1},"b":{"x":1}}'),
    ],
)
def test_text_from_outside_is_made_compact(text: str, stored: str) -> None:
    """What a person wrote is stored as the same value."""
    assert parse_payload(text, LIMIT) == stored


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "payload is not JSON: Expecting value at line 1 column 1"),
        ("{", "payload is not JSON: "),
        ('{"a": 1,\n "b" 2}', "payload is not JSON: Expecting ':' delimiter at line 2 column 6"),
        ("{} x", "payload is not JSON: Extra data at line 1 column 4"),
        ("{'a': 1}", "payload is not JSON: "),
        ('{"a": NaN}', "payload holds NaN, which is not JSON"),
        ('{"a": Infinity}', "payload holds Infinity, which is not JSON"),
        ('{"a": [-Infinity]}', "payload holds -Infinity, which is not JSON"),
        ('{"a": 1e999}', "payload is not JSON: "),
        ('{"a": -1e999}', "payload is not JSON: "),
        ('{"a": ' + "9" * 5_000 + "}", "payload holds an integer of too many digits"),
        ('{"a": "\\ud800"}', "payload holds a lone surrogate"),
        ('{"\\udc00": 1}', "payload holds a lone surrogate"),
        ('{"a": 1, "a": 2}', "payload has the key 'a' twice"),
        ('{"x": [{"b": 1, "a": 2, "b": 1}]}', "payload has the key 'b' twice"),
        ('{"\\u0061": 1, "a": 2}', "payload has the key 'a' twice"),
        ('{"\\ud800": 1, "\\ud800": 2}', "payload has the key '\\\\ud800' twice"),
        ("[1]", "payload must be a JSON object, not an array"),
        ("null", "payload must be a JSON object, not null"),
        ('"text"', "payload must be a JSON object, not a string"),
        ("true", "payload must be a JSON object, not a boolean"),
        ('{"x":' + "[" * 64 + "]" * 64 + "}", "payload is nested deeper than 64"),
        ("[" * 100_000, "payload is nested deeper than 64"),
        ('{"a":' * 100_000, "payload is nested deeper than 64"),
        (" " * (6 * LIMIT) + "{}", f"payload is larger than {LIMIT} bytes"),
    ],
    ids=range(25),
)
def test_text_from_outside_that_is_refused(text: str, says: str) -> None:
    """One sentence says what is wrong, and where when a place can be named."""
    with pytest.raises(BadInput) as refused:
        parse_payload(text, LIMIT)
    assert str(refused.value).startswith(says)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


def test_text_as_deep_as_may_be() -> None:
    """64 levels of text fit."""
    text = '{"x":' + "[" * 63 + "]" * 63 + "}"
    assert parse_payload(text, LIMIT) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("line\nline", "line\nline"),
        ("a\0b", "a\\x00b"),
        ("a\ud800b", "a\\ud800b"),
        ("", ""),
        ("x" * 10, "x" * 10),
        ("x" * 5 + "y" * 6, "xxxxx\n[jobd: 1 characters cut]\nyyyyy"),
    ],
)
def test_other_peoples_text_is_made_fit_to_store(text: str, clean: str) -> None:
    """No NUL, no lone surrogate, and the middle is cut when it is too long."""
    assert clean_text(text, 10) == clean


FLAT = [
    [{}], [{"a": 1}, {}], [{"a": 1, "b": "x"}, {"c": None}], [{"": ""}] * 3,
    [{"a": "},{"}], [{"a": "[", "b": 1}, {}], [{"a": [1]}, {"b": {}}], [{"a": '"},{"'}, {}],
    [{"é": "\U0001f600"}, {"a": 1.5}], [{"a": True}, {"b": "\n\\"}],
]


@pytest.mark.parametrize("payloads", FLAT, ids=repr)
def test_many_at_once_are_what_each_is_alone(payloads: list[dict[str, Any]]) -> None:
    """Payloads encoded together come out as they would one by one, or not at all."""
    together = encode_flat(payloads, 1_000)
    assert together in (None, [encode_payload(each, 1_000) for each in payloads])


@pytest.mark.parametrize("payloads", FLAT[:4], ids=repr)
def test_flat_payloads_are_encoded_at_once(payloads: list[dict[str, Any]]) -> None:
    """The common case takes the quick way."""
    assert encode_flat(payloads, 1_000) is not None


@pytest.mark.parametrize("payload", [
    {1: "a"}, {"a": float("nan")}, {"a": object()}, None, [], "a", {"a": "x" * 1_000},
    {"a": "\ud800"},
], ids=repr)
def test_what_may_be_wrong_is_looked_at_alone(payload: Any) -> None:
    """The quick way judges nothing: whatever is not plain goes the way that says what is wrong."""
    assert encode_flat([{"a": 1}, payload], 1_000) is None
