"""JSON at the door: what may be stored as a payload, result or checkpoint, and what may not."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from jobd.errors import BadInput

MAX_DEPTH = 64
_TEXT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS = re.compile(r"[^\[\]{}]+")
_encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


class _KeptEncoder:
    """The encoder in C that `JSONEncoder.encode` makes anew for each call, in three times as long
    as a small payload takes."""

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        try:
            self._pieces = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
                {}, _encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",",
                False, False, False,
            )
        except (AttributeError, TypeError):  # another Python has another one
            self._pieces = _encoder.iterencode

    def encode(self, value: object) -> str:
        try:
            return "".join(self._pieces(value, 0))
        except Exception:  # noqa: BLE001 - a payload may raise anything
            # It still has in mind what it was amid, or what another thread was amid.
            self._renew()
            return _encoder.encode(value)


_kept = _KeptEncoder()


def encode(value: object, limit: int, what: str = "payload") -> str:
    """`value` as compact JSON text.

    Raises:
        BadInput: it is not JSON, holds NaN, an infinity or a lone surrogate, nests deeper than
            64, or takes more than `limit` bytes.
    """
    try:
        text = _kept.encode(value)
    except RecursionError:
        raise BadInput(f"{what} is nested deeper than {MAX_DEPTH}") from None
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} is not JSON: {_short(str(error))}") from None
    if len(text) > limit:
        raise BadInput(f"{what} is {len(text)} bytes of JSON, more than the limit of {limit}")
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise BadInput(f"{what} is nested deeper than {MAX_DEPTH}")
    if "\\" in text and "\\ud" in text:
        _check_surrogates(text, what)
    return text


def encode_payload(value: object, limit: int) -> str:
    """A payload as JSON text: an object whose keys become the handler's keyword arguments."""
    if type(value) is not dict:
        if not isinstance(value, Mapping):
            raise BadInput(f"payload must be a JSON object, not {_kind(value)}")
        value = dict(value)
    for key in value:
        if not isinstance(key, str):
            raise BadInput(f"payload keys must be strings, not {_kind(key)}")
    return encode(value, limit)


def parsed_payload(text: str) -> dict[str, Any]:
    """The mapping that a stored payload holds; empty when another hand made it something else."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def encode_flat(payloads: Sequence[object], limit: int) -> list[str] | None:
    """Many payloads at once, in a third of the time; None when they must be looked at one by one.

    That is when one of them is no plain object, or holds anything nested, or a brace in a text:
    the only braces left are then those at which the text of all of them is taken apart.
    """
    for payload in payloads:
        if type(payload) is not dict or not all(type(key) is str for key in payload):
            return None
    try:
        text = _kept.encode(payloads)
    except (TypeError, ValueError, RecursionError):
        return None
    flat = text.count("{") + text.count("[") == len(payloads) + 1 and "\\ud" not in text
    if not flat or text.count("}") != len(payloads):
        return None
    bodies = text[2:-2].split("},{")
    if max(map(len, bodies)) + 2 > limit:
        return None
    return [f"{{{body}}}" for body in bodies]


def parse_payload(text: str, limit: int) -> str:
    """Payload text from outside, checked and made compact.

    Raises:
        BadInput: as `encode`, or duplicate keys.
    """
    if len(text) > 6 * limit:
        raise BadInput(f"payload is larger than {limit} bytes")
    if _depth(text) > MAX_DEPTH:
        raise BadInput(f"payload is nested deeper than {MAX_DEPTH}")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except BadInput:
        raise
    except json.JSONDecodeError as error:
        raise BadInput(
            f"payload is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except ValueError:
        raise BadInput("payload holds an integer of too many digits") from None
    except RecursionError:
        raise BadInput(f"payload is nested deeper than {MAX_DEPTH}") from None
    return encode_payload(value, limit)


def clean_text(text: str, limit: int = 16_384) -> str:
    """Text of other people's making, fit to be stored: no NUL, no lone surrogates, bounded."""
    if len(text) > limit:
        cut = f"\n[jobd: {len(text) - limit} characters cut]\n"
        text = text[: limit // 2] + cut + text[-limit // 2 :]
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _check_surrogates(text: str, what: str) -> None:
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadInput(f"{what} holds a lone surrogate, which is no character") from None


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in _NO_BRACKETS.sub("", _TEXT.sub("", text)):
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadInput(f"payload has the key {_short(twice)!r} twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadInput(f"payload holds {name}, which is not JSON")


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number",
             float: "a number", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")


def _short(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= 200 else text[:200] + "…"
