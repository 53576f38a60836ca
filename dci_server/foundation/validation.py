# SPDX-License-Identifier: Apache-2.0
"""JSON bodies → structs. When one does not fit, every violation is told in the contract's words (conventions §8)."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Raw, UnsetType, inspect

from dci_server.foundation.errors import ApiError, Malformed

T = TypeVar("T", bound=msgspec.Struct)

_DEEPEST = 100
_LONGEST_SHOWN = 200
_LONGEST_EXPLAINED = 256 * 1024
"""A longer body gets its first violation only, in the decoder's words: explaining all of them needs the whole tree."""
_LONGEST_TREE = 256 * 1024
"""Of a property that becomes objects: two million elements of a list would be as many objects."""
_MOST_LISTED = 20


def read_body(raw: bytes, shape: type[T], *, closed: bool) -> T:
    """`closed` refuses unknown properties, open drops them (conventions §9). Of a repeated key the last one counts."""
    text = _as_utf8(raw)
    _require_storable(text)
    if _is_too_deep(text):
        raise ApiError(_TOO_DEEP)
    try:
        if len(text) > _LONGEST_TREE:
            text = _without_big_trees(text, shape, closed=closed)
        return _decode(text, shape, closed=closed)
    except msgspec.ValidationError as error:
        if len(text) > _LONGEST_EXPLAINED:
            raise Malformed([cut(str(error))]) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_json(text, error) from None
    return _decode_or_explain(text, shape, closed=closed)


def shown(value: object) -> str:
    """As Python writes it; a long one is cut, so that an answer stays small."""
    return cut(repr(value))


def cut(text: str) -> str:
    """What somebody sent, short enough for an answer."""
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


# --- is it JSON that can be kept? ---

_TOO_DEEP = f"Malformed JSON: it is nested more than {_DEEPEST} levels deep"
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_PIECE = 64 * 1024
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_ESCAPE = re.compile(
    rb"""\\(?: u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}   # a whole surrogate pair
            | (?P<unstorable> u0000 | u[dD][89a-fA-F][0-9a-fA-F]{2} )
            | . )""",
    re.VERBOSE | re.DOTALL,
)


def _as_utf8(raw: bytes) -> bytes:
    """UTF-8, 16 and 32 are told apart by the first bytes; the charset of the media type is ignored (conventions §6)."""
    encoding = json.detect_encoding(raw)
    if encoding == "utf-8" and raw.isascii():
        return raw
    try:
        decoded = raw.decode(encoding)
    except UnicodeError as error:
        place = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        raise ApiError(f"Malformed JSON: it is not valid {encoding.upper()}{place}") from None
    return raw if encoding == "utf-8" else decoded.encode()


def _require_storable(text: bytes) -> None:
    """PostgreSQL keeps no NUL, UTF-8 no half of a surrogate pair."""
    if not _SUSPECT_ESCAPE.search(text):
        return
    for escape in _ESCAPE.finditer(text):
        if escape["unstorable"]:
            what = "the character NUL" if escape["unstorable"] == b"u0000" else "half of a surrogate pair"
            raise ApiError(f"Malformed JSON: {what} can't be stored; remove it (byte {escape.start()})")


def _is_too_deep(text: bytes) -> bool:
    """Up to the first error of a malformed text its brackets tell the depth a decoder reaches; it gets no further."""
    if text.count(b"[") + text.count(b"{") <= _DEEPEST:
        return False
    depth = 0
    for steps in _steps_outside_strings(text):
        depths = list(accumulate(steps, initial=depth))
        depth = depths[-1]
        if max(depths) > _DEEPEST:
            return True
    return False


def _steps_outside_strings(text: bytes) -> Iterator[memoryview]:
    """1 for a bracket that opens, -1 for one that closes."""
    structure = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_STEPS, _NOT_STRUCTURE)
    quotes = 0
    # In pieces, because each part of a split costs an object.
    for start in range(0, len(structure), _PIECE):
        parts = structure[start : start + _PIECE].split(b'"')
        yield memoryview(b"".join(parts[quotes % 2 :: 2])).cast("b")
        quotes += len(parts) - 1


def _not_json(text: bytes, error: Exception) -> ApiError:
    if isinstance(error, RecursionError):
        return ApiError(_TOO_DEEP)
    if not text.strip():
        return ApiError("Malformed JSON: the body is empty; send an object")
    problem = str(error).removeprefix("JSON is malformed: ")
    if problem == "Input data was truncated":
        problem = f"it ends too early (byte {len(text)})"
    return ApiError(f"Malformed JSON: {cut(problem)}")


# --- does it have the shape? ---


def _decode(text: bytes, shape: type[T], *, closed: bool) -> T:
    body = _decoder(shape).decode(text)
    for name, is_nullable in _raw_fields(shape):
        value: Raw | UnsetType = getattr(body, name)
        if value is UNSET or (is_nullable and bytes(value) == b"null"):
            continue
        if not bytes(value).startswith(b"{"):
            raise msgspec.ValidationError(f"Expected `object` - at `$.{name}`")
        _require_numbers_that_fit(name, bytes(value))
    if closed:
        _key_checker(shape).decode(text)
    return body


# What no double holds has three digits of exponent, or very many before it. Texts may look like that: three looks, each
# a good deal slower and more certain than the one before.
_LIKE_NUMBERS = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_NUMBER = b"0" * 200
_SUSPECT_NUMBER = re.compile(rb"[:\[,\s]-?(?:[0-9][0-9.]*+[eE][+-]?[0-9]{3}|[0-9][0-9.]{199})")
_TEXT_OR_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|(?P<number>-?[0-9][0-9.eE+-]*+)')


def _require_numbers_that_fit(name: str, value: bytes) -> None:
    """An object stays the text it was; what is read from it elsewhere would be infinite, or nothing, and PostgreSQL, which
    compares a row with what it was, reads fractions of so many digits and no more."""
    digits = value.translate(_LIKE_NUMBERS, b"+-")
    if (b"0e000" not in digits and _LONG_NUMBER not in digits) or not _SUSPECT_NUMBER.search(value):
        return
    for found in _TEXT_OR_NUMBER.finditer(value):
        number = found["number"]
        if number is None or len(number) < len("1e309"):
            continue
        read = float(number)
        mantissa, _, exponent = number.lower().partition(b"e")
        digits_of_fraction = len(mantissa.partition(b".")[2]) - float(exponent or 0)
        if (
            read in _NO_NUMBERS
            or (read == 0 and mantissa.strip(b"-0."))
            or not -_LARGEST_EXPONENT <= digits_of_fraction <= _MOST_DIGITS_OF_FRACTION
        ):
            raise Malformed(
                [f"{name}: {cut(number.decode())} is out of range; numbers have 64 bits, write this one as a text"]
            )


_NO_NUMBERS = (float("inf"), float("-inf"))
_MOST_DIGITS_OF_FRACTION = 16_383
_LARGEST_EXPONENT = 1_000_000

_decoders: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {}


def _decoder(shape: type[T]) -> msgspec.json.Decoder[T]:
    found = _decoders.get(shape)
    if found is None:
        found = _decoders[shape] = msgspec.json.Decoder(shape)
    return found


def _without_big_trees(text: bytes, shape: type[msgspec.Struct], *, closed: bool) -> bytes:
    """The body with the last value of each known key, none of which is a big tree; looked at as text, not as objects."""
    if closed:
        _key_checker(shape).decode(text)
    texts = _text_reader(shape).decode(text)
    for key, name in zip(texts.__struct_fields__, _fields(shape), strict=True):
        value: Raw | UnsetType = getattr(texts, key)
        if value is not UNSET and name in _tree_names(shape) and memoryview(value).nbytes > _LONGEST_TREE:
            raise Malformed([f"{name}: it takes more than {_LONGEST_TREE} bytes; send less"])
    return msgspec.json.encode(texts)


@lru_cache(maxsize=256)
def _tree_names(shape: type[msgspec.Struct]) -> frozenset[str]:
    """The properties whose values may be more than one object in memory."""
    flat = (inspect.RawType, inspect.StrType, inspect.LiteralType, inspect.IntType, inspect.FloatType, inspect.BoolType)
    return frozenset(
        name
        for name, field in _fields(shape).items()
        if not all(isinstance(_without_metadata(kind)[0], flat) for kind in _alternatives(field.type)[0])
    )


@lru_cache(maxsize=256)
def _text_reader(shape: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_texts_of(shape, closed=False))


@lru_cache(maxsize=256)
def _key_checker(shape: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    """Refuses unknown keys and looks at no value, whatever their number."""
    return msgspec.json.Decoder(_texts_of(shape, closed=True))


def _texts_of(shape: type[msgspec.Struct], *, closed: bool) -> type[msgspec.Struct]:
    """The same keys, with values that stay the text they are."""
    keys = [(f"key_{number}", Raw | UnsetType, UNSET) for number, _ in enumerate(_fields(shape))]
    names = {key: name for (key, _, _), name in zip(keys, _fields(shape), strict=True)}
    return msgspec.defstruct("Texts", keys, rename=names, forbid_unknown_fields=closed)


@lru_cache(maxsize=256)
def _raw_fields(shape: type[msgspec.Struct]) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    for field in _fields(shape).values():
        kinds, is_nullable = _alternatives(field.type)
        if any(isinstance(_without_metadata(kind)[0], inspect.RawType) for kind in kinds):
            found.append((field.name, is_nullable))
    return found


@lru_cache(maxsize=256)
def _fields(shape: type[msgspec.Struct]) -> Mapping[str, inspect.Field]:
    described = cast("inspect.StructType", inspect.type_info(shape))
    return {field.encode_name: field for field in described.fields}


def _decode_or_explain(text: bytes, shape: type[T], *, closed: bool) -> T:
    try:
        tree = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_json(text, error) from None
    violations = list(_Explanation(shape).of_body(tree, closed=closed))
    if violations:
        raise Malformed(violations)
    try:
        # Without violations it was a repeated key whose last value is fine; the tree has only that one.
        return _decode(msgspec.json.encode(tree), shape, closed=closed)
    except msgspec.ValidationError as error:
        raise Malformed([cut(str(error))]) from None


# --- what exactly is wrong with it? ---

# Kind → its name, whether its text starts with the property's name, the Python types it is decoded to.
_KINDS: Mapping[type[inspect.Type], tuple[str, bool, tuple[type, ...]]] = {
    inspect.StrType: ("string", True, (str,)),
    inspect.ListType: ("array", True, (list,)),
    inspect.IntType: ("integer", True, (int,)),
    inspect.BoolType: ("boolean", False, (bool,)),
    inspect.FloatType: ("number", False, (int, float)),
    inspect.DictType: ("object", False, (dict,)),
    inspect.StructType: ("object", False, (dict,)),
    inspect.RawType: ("object", False, (dict,)),
}


class _Explanation:
    """Walks a decoded body along the declared types and words what does not fit."""

    def __init__(self, shape: type[msgspec.Struct]) -> None:
        self._shape = shape
        self._literals = dict(_literals_in(list(get_type_hints(shape, include_extras=True).values())))

    def of_body(self, tree: object, *, closed: bool) -> Iterator[str]:
        if not isinstance(tree, dict):
            yield f"{shown(tree)} is not of type 'object'"
            return
        body = cast("dict[str, object]", tree)
        fields = _fields(self._shape)
        for name, field in fields.items():
            if name in body:
                yield from self._of_value(name, body[name], field.type)
            elif field.required:
                yield f"{name!r} is a required property"
        unknown = [name for name in body if name not in fields]
        if closed and unknown:
            yield unexpected(sorted(unknown))

    def _of_value(self, name: str, value: object, declared: inspect.Type) -> Iterator[str]:
        kinds, is_nullable = _alternatives(declared)
        if value is None and is_nullable:
            return
        fitting = [kind for kind in kinds if _fits(value, _without_metadata(kind)[0])]
        if fitting:
            yield from self._of_kind(name, value, fitting[0])
        else:
            yield _wrong_type(name, value, kinds, is_nullable=is_nullable)

    def _of_kind(self, name: str, value: object, kind: inspect.Type) -> Iterator[str]:
        plain, described_format = _without_metadata(kind)
        if isinstance(plain, inspect.LiteralType):
            if value not in plain.values:
                yield f"{shown(value)} is not one of {list(self._in_declared_order(plain))}"
        elif isinstance(plain, inspect.StrType):
            yield from _of_text(name, str(value), plain, described_format)
        elif isinstance(plain, inspect.StructType):
            yield from _Explanation(plain.cls).of_body(value, closed=False)
        elif isinstance(plain, inspect.ListType):
            wrong = (
                text for each in cast("list[object]", value) for text in self._of_value(name, each, plain.item_type)
            )
            yield from (text for text, _ in zip(wrong, range(_MOST_LISTED), strict=False))

    def _in_declared_order(self, literal: inspect.LiteralType) -> tuple[object, ...]:
        """Introspection sorts the values; the contract prints them as declared."""
        return self._literals.get(frozenset(literal.values), literal.values)


def _literals_in(hints: list[Any]) -> Iterator[tuple[frozenset[object], tuple[object, ...]]]:
    for hint in hints:
        if get_origin(hint) is Literal:
            yield frozenset(get_args(hint)), get_args(hint)
        else:
            yield from _literals_in(list(get_args(hint)))


def _alternatives(declared: inspect.Type) -> tuple[list[inspect.Type], bool]:
    """The types a value may have, and whether it may be null."""
    kinds = list(declared.types) if isinstance(declared, inspect.UnionType) else [declared]
    others = [kind for kind in kinds if not isinstance(kind, inspect.NoneType)]
    return others, any(isinstance(kind, inspect.NoneType) for kind in kinds)


def _without_metadata(kind: inspect.Type) -> tuple[inspect.Type, str]:
    """The bare type, and the format it was annotated with."""
    if isinstance(kind, inspect.Metadata):
        schema = cast("dict[str, object] | None", kind.extra_json_schema)
        return kind.type, str((schema or {}).get("format", ""))
    return kind, ""


def _fits(value: object, plain: inspect.Type) -> bool:
    if type(plain) not in _KINDS:
        return True
    word, _, accepted = _KINDS[type(plain)]
    if isinstance(value, bool):
        return word == "boolean"
    return isinstance(value, accepted)


def _wrong_type(name: str, value: object, kinds: list[inspect.Type], *, is_nullable: bool) -> str:
    known = [_KINDS[type(_without_metadata(kind)[0])] for kind in kinds]
    words = [repr(word) for word, _, _ in known] + (["'null'"] if is_nullable else [])
    prefix = f"{name}: " if len(words) == 1 and known[0][1] else ""
    return f"{prefix}{shown(value)} is not of type {', '.join(words)}"


def _of_text(name: str, value: str, declared: inspect.StrType, described_format: str) -> Iterator[str]:
    if declared.min_length and len(value) < declared.min_length:
        yield f"{shown(value)} is too short"
    elif declared.max_length and len(value) > declared.max_length and not declared.pattern:
        yield f"{shown(value)} is too long"
    if declared.pattern and not _matches(value, declared):
        yield _wrong_pattern(name, value, declared.pattern, described_format)


def _matches(value: str, declared: inspect.StrType) -> bool:
    is_too_long = declared.max_length is not None and len(value) > declared.max_length
    return not is_too_long and re.search(declared.pattern or "", value) is not None


def _wrong_pattern(name: str, value: str, pattern: str, described_format: str) -> str:
    if described_format == "email":
        return f"{shown(value)} is not a 'email'"
    if described_format == "uri":
        return f"{name}: {shown(value)} is not a valid 'url'"
    return f"{name}: '{cut(value)}' {shown(value)} does not match {pattern!r}"


def unexpected(unknown: list[str]) -> str:
    """Names that are no properties, in the words of the contract."""
    listed = ", ".join(shown(name) for name in unknown[:_MOST_LISTED])
    more = ", …" if len(unknown) > _MOST_LISTED else ""
    verb = "was" if len(unknown) == 1 else "were"
    return f"Additional properties are not allowed ({listed}{more} {verb} unexpected)"
