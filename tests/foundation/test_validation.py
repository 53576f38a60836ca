# SPDX-License-Identifier: Apache-2.0
"""Every violation of a body is told, in the texts that existing clients know (conventions §6, §8, §9)."""

import json
import tracemalloc
from contextlib import suppress
from typing import Literal

import pytest
from hypothesis import given, strategies
from msgspec import UNSET, Struct, UnsetType, field

from dci_server.foundation.errors import ApiError, Malformed
from dci_server.foundation.shapes import (
    UUID_PATTERN,
    Email,
    Id,
    JsonObject,
    NonEmpty,
    State,
    Status,
    Tags,
    Url,
    UrlOrEmpty,
    clean_tags,
    empty_object,
)
from dci_server.foundation.validation import read_body, shown

SOME_ID = "0c5ae31f-5c1e-4a2a-9d0e-1f2b3c4d5e6f"


class Owner(Struct):
    login: str


class Everything(Struct, frozen=True, kw_only=True):
    name: str = "unnamed"
    label: str | None = None
    title: str | UnsetType = UNSET
    display_name: NonEmpty | UnsetType = UNSET
    topic_id: Id | UnsetType = UNSET
    pipeline_id: Id | None = None
    team_ids: list[Id] = field(default_factory=list[str])
    url: Url | None = None
    link: UrlOrEmpty = ""
    email: Email | UnsetType = UNSET
    state: State | UnsetType = UNSET
    status: Status | None = None
    mood: Literal["zesty", "calm"] = "calm"
    data: JsonObject = field(default_factory=empty_object)
    extra: JsonObject | UnsetType = UNSET
    tags: list[object] = field(default_factory=list[object])
    scalars: Tags = field(default_factory=list[str | int | float | bool | None])
    public: bool = False
    duration: int = 0
    value: float = 0
    size: str | int = ""
    owner: Owner | None = None
    meta: int = field(name="_meta", default=0)


class Required(Struct, kw_only=True):
    name: str
    topic_id: Id


def errors_of(raw: str | bytes, shape: type[Struct] = Everything, *, closed: bool = True) -> list[str]:
    with pytest.raises(Malformed) as refusal:
        read_body(raw if isinstance(raw, bytes) else raw.encode(), shape, closed=closed)
    assert refusal.value.message == "Request malformed"
    errors = refusal.value.payload["errors"]
    assert isinstance(errors, list)
    assert refusal.value.payload["error"] == errors[0]
    return [str(error) for error in errors]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] # payloads are untyped


def test_a_fitting_body_becomes_its_struct() -> None:
    raw = json.dumps({
        "name": "it's", "label": None, "topic_id": SOME_ID, "team_ids": [SOME_ID], "url": "https://x", "link": "",
        "email": "a@b", "state": "inactive", "status": "pre-run", "tags": [1, "a"], "value": 1, "size": 3,
        "owner": {"login": "alice"}, "_meta": 4,
    }).encode()  # fmt: skip

    body = read_body(raw, Everything, closed=True)

    assert (body.name, body.label, body.topic_id, body.title) == ("it's", None, SOME_ID, UNSET)
    assert (body.value, body.size, body.owner, body.meta) == (1.0, 3, Owner("alice"), 4)
    assert body.tags == [1, "a"]


def test_an_object_is_kept_as_it_was_sent() -> None:
    body = read_body(b'{"data" :  {"b": 1.50, "a": [ ]} }', Everything, closed=True)

    assert bytes(body.data) == b'{"b": 1.50, "a": [ ]}'
    assert bytes(read_body(b"{}", Everything, closed=True).data) == b"{}"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ('{"name": null}', "name: None is not of type 'string'"),
        ('{"name": 12}', "name: 12 is not of type 'string'"),
        ('{"name": true}', "name: True is not of type 'string'"),
        ('{"name": {"a": [1, "it\'s", null]}}', "name: {'a': [1, \"it's\", None]} is not of type 'string'"),
        ('{"title": null}', "title: None is not of type 'string'"),
        ('{"topic_id": null}', "topic_id: None is not of type 'string'"),
        ('{"label": 1}', "1 is not of type 'string', 'null'"),
        ('{"pipeline_id": 1}', "1 is not of type 'string', 'null'"),
        ('{"tags": "a"}', "tags: 'a' is not of type 'array'"),
        ('{"tags": null}', "tags: None is not of type 'array'"),
        ('{"duration": "1"}', "duration: '1' is not of type 'integer'"),
        ('{"duration": true}', "duration: True is not of type 'integer'"),
        ('{"public": "yes"}', "'yes' is not of type 'boolean'"),
        ('{"public": 1}', "1 is not of type 'boolean'"),
        ('{"value": "1"}', "'1' is not of type 'number'"),
        ('{"data": []}', "[] is not of type 'object'"),
        ('{"data": null}', "None is not of type 'object'"),
        ('{"extra": "s"}', "'s' is not of type 'object'"),
        ('{"size": []}', "[] is not of type 'string', 'integer'"),
        ('{"scalars": [{"a": 1}]}', "{'a': 1} is not of type 'string', 'integer', 'number', 'boolean', 'null'"),
        ('{"owner": {}}', "'login' is a required property"),
        ('{"owner": 1}', "1 is not of type 'object', 'null'"),
        ('{"state": "gone"}', "'gone' is not one of ['active', 'inactive', 'archived']"),
        ('{"state": null}', "None is not one of ['active', 'inactive', 'archived']"),
        ('{"state": ["active"]}', "['active'] is not one of ['active', 'inactive', 'archived']"),
        (
            '{"status": "x"}',
            "'x' is not one of ['new', 'pre-run', 'running', 'post-run', 'success', 'failure', 'killed', 'error']",
        ),
        ('{"mood": "x"}', "'x' is not one of ['zesty', 'calm']"),
        ('{"display_name": ""}', "'' is too short"),
        ('{"email": "nobody"}', "'nobody' is not a 'email'"),
        ('{"url": "ftp://x"}', "url: 'ftp://x' is not a valid 'url'"),
        ('{"url": ""}', "url: '' is not a valid 'url'"),
        ('{"url": "HTTP://x"}', "url: 'HTTP://x' is not a valid 'url'"),
        ('{"link": "x"}', "link: 'x' is not a valid 'url'"),
        ('{"link": "\\n"}', "link: '\\n' is not a valid 'url'"),
        ('{"topic_id": "abc"}', f"topic_id: 'abc' 'abc' does not match '{UUID_PATTERN}'"),
        ('{"topic_id": "it\'s"}', f"topic_id: 'it's' \"it's\" does not match '{UUID_PATTERN}'"),
        ('{"pipeline_id": ""}', f"pipeline_id: '' '' does not match '{UUID_PATTERN}'"),
        ('{"team_ids": ["a"]}', f"team_ids: 'a' 'a' does not match '{UUID_PATTERN}'"),
        (
            f'{{"topic_id": "{SOME_ID.upper()}"}}',
            f"topic_id: '{SOME_ID.upper()}' '{SOME_ID.upper()}' does not match '{UUID_PATTERN}'",
        ),
        ('{"p": 1}', "Additional properties are not allowed ('p' was unexpected)"),
        ('{"q": 1, "p": []}', "Additional properties are not allowed ('p', 'q' were unexpected)"),
        ('{"meta": 1}', "Additional properties are not allowed ('meta' was unexpected)"),
        ("null", "None is not of type 'object'"),
        ("[]", "[] is not of type 'object'"),
        ('"s"', "'s' is not of type 'object'"),
        ("12", "12 is not of type 'object'"),
    ],
)
def test_a_violation_is_told_in_the_words_of_the_contract(raw: str, text: str) -> None:
    assert errors_of(raw) == [text]


def test_a_line_break_after_an_id_is_refused() -> None:
    (text,) = errors_of(json.dumps({"topic_id": SOME_ID + "\n"}))

    assert text.startswith("topic_id: ")
    assert "does not match" in text


def test_all_violations_are_told_at_once() -> None:
    assert errors_of('{"name": null, "public": 1, "q": 2, "state": "x"}') == [
        "'x' is not one of ['active', 'inactive', 'archived']",
        "1 is not of type 'boolean'",
        "Additional properties are not allowed ('q' was unexpected)",
        "name: None is not of type 'string'",
    ]


def test_the_name_of_a_property_does_not_count_in_the_order_of_the_violations() -> None:
    assert errors_of('{"name": 1, "q": 2, "public": null}') == [
        "name: 1 is not of type 'string'",
        "Additional properties are not allowed ('q' was unexpected)",
        "None is not of type 'boolean'",
    ]


def test_what_is_missing_is_told_even_when_something_else_is_wrong() -> None:
    assert errors_of('{"topic_id": 1}', Required) == [
        "'name' is a required property",
        "topic_id: 1 is not of type 'string'",
    ]


def test_an_open_shape_drops_what_it_does_not_know() -> None:
    body = read_body(b'{"name": "a", "topic": {"id": 1}, "_x": null}', Everything, closed=False)

    assert body.name == "a"


def test_an_open_shape_still_checks_what_it_knows() -> None:
    assert errors_of('{"title": null, "topic": {}}', closed=False) == ["title: None is not of type 'string'"]


@pytest.mark.parametrize("raw", ['{"name": 1, "name": "b"}', '{"name": "a", "name": "b"}'])
def test_of_a_repeated_key_the_last_one_counts(raw: str) -> None:
    assert read_body(raw.encode(), Everything, closed=True).name == "b"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be"])
def test_the_encoding_is_detected(encoding: str) -> None:
    assert read_body('{"name": "é✓"}'.encode(encoding), Everything, closed=True).name == "é✓"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "Malformed JSON: the body is empty; send an object"),
        (b"  ", "Malformed JSON: the body is empty; send an object"),
        (b"{", "Malformed JSON: it ends too early (byte 1)"),
        (b'{"name": "a",}', "Malformed JSON: trailing comma in object (byte 13)"),
        (b'{"name": 1, }', "Malformed JSON: trailing comma in object (byte 12)"),
        (b'{"value": NaN}', "Malformed JSON: invalid character (byte 10)"),
        (b'{"name": "a"} x', "Malformed JSON: trailing characters (byte 15)"),
        (b'{"name": "\xff"}', "Malformed JSON: it is not valid UTF-8 (byte 10)"),
        (b'{"data": {"a": "\xff"}}', "Malformed JSON: it is not valid UTF-8 (byte 16)"),
        (b"\xff\xfe{", "Malformed JSON: it is not valid UTF-16 (byte 2)"),
        (b'{"value": 1e999}', "Malformed JSON: Number out of range - at `$[...]`"),
        (b'{"tags": [' + b"1" * 5000 + b"]}", "Malformed JSON: Integer value out of range - at `$[...][0]`"),
        (b'{"name": "a\\u0000"}', "Malformed JSON: the character NUL can't be stored; remove it (byte 11)"),
        (b'{"\\u0000": 1}', "Malformed JSON: the character NUL can't be stored; remove it (byte 2)"),
        (b'{"data": {"a": "\\u0000"}}', "Malformed JSON: the character NUL can't be stored; remove it (byte 16)"),
        (b'{"name": "\\ud800"}', "Malformed JSON: half of a surrogate pair can't be stored; remove it (byte 10)"),
        (b'{"data": {"a": "\\uDC00"}}', "Malformed JSON: half of a surrogate pair can't be stored; remove it (byte 16)"),
        (
            b'{"name": "\\ud83d\\ud83d\\ude00"}',
            "Malformed JSON: half of a surrogate pair can't be stored; remove it (byte 10)",
        ),
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused_with_the_place(raw: bytes, message: str) -> None:
    with pytest.raises(ApiError) as refusal:
        read_body(raw, Everything, closed=True)

    assert refusal.value.status == 400
    assert refusal.value.message == message


@pytest.mark.parametrize("name", ["\U0001f600", "\\u0000", "\\\\ud800", "a\\", "\\\U0001f600"])
def test_whole_pairs_and_escaped_backslashes_are_kept(name: str) -> None:
    assert read_body(json.dumps({"name": name}).encode(), Everything, closed=True).name == name


@pytest.mark.parametrize("key", ["data", "tags", "name", "unknown"])
@pytest.mark.parametrize("levels", [101, 500, 100_000])
def test_deep_nesting_is_refused(key: str, levels: int) -> None:
    raw = b'{"' + key.encode() + b'": ' + b"[" * levels + b"]" * levels + b"}"

    with pytest.raises(ApiError, match="nested more than 100 levels deep"):
        read_body(raw, Everything, closed=False)


@pytest.mark.parametrize(
    ("value", "is_too_deep"),
    [
        (b"[" * 99 + b"]" * 99, False),
        (b"[" * 100 + b"]" * 100, True),
        (b'{"a":' * 99 + b"1" + b"}" * 99, False),
        (b'{"a":' * 100 + b"1" + b"}" * 100, True),
        (b'[{"a":' * 50 + b"1" + b"}]" * 50, True),
        (b"[" + b"[]," * 70_000 + b"0]", False),
        (b"[" + (b"[" * 97 + b"]" * 97 + b",") * 1_000 + b"0]", False),
        (b"[" + b"[]," * 70_000 + b"[" * 99 + b"]" * 100, True),
        (b'"' + b"[" * 200_000 + b'"', False),
        (b'"\\"' + b"[" * 200 + b'"', False),
        (b'"\\\\"' + b"," + b'"b":' + b"[" * 100 + b"]" * 100, True),
        (b"[" + b'"[",' * 50_000 + b"0]", False),
        (b"[" * 200_000, True),
        (b"[" * 200 + b"}" * 200, True),
        (b"]" * 200 + b"[" * 250, False),
    ],
)
def test_depth_is_what_a_decoder_would_reach(value: bytes, is_too_deep: bool) -> None:
    raw = b'{"unknown": ' + value + b"}"

    try:
        read_body(raw, Everything, closed=False)
    except ApiError as refusal:
        assert ("nested more than 100 levels deep" in refusal.message) == is_too_deep
    else:
        assert not is_too_deep


def test_width_and_brackets_in_texts_are_not_depth() -> None:
    brackets_and_quotes = "[[" + chr(34) + "{{"
    rows: list[object] = [{}, [brackets_and_quotes, chr(92)]] * 200
    data = {"rows": rows, "text": "[" * 100_000 + "]" * 100_000}

    body = read_body(json.dumps({"data": data}).encode(), Everything, closed=True)

    assert json.loads(bytes(body.data)) == data


@pytest.mark.parametrize(
    "number",
    [
        "1e309", "-1E+309", "1e99999", "0.1e310", "1e00000309", "9" * 400, "1" + "0" * 290 + "e50", "1.8e308", "1e-400",
        "0." + "1" * 16_384, "0." + "0" * 20_000 + "1", "0e-16384", "0.0e-16383", "-0e99999999999",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("before", "after"),
    [('{"n": ', "}"), ('{"a": [0, {"b": [1,', "]}]}"), ('{"a\\"1e400": "\\\\", "n":', ', "m": 1}')],
)
def test_a_number_that_no_reader_can_hold_is_refused(before: str, after: str, number: str) -> None:
    (text,) = errors_of(f'{{"data": {before}{number}{after}}}')

    shown_number = number if len(number) <= 200 else number[:200] + "…"
    assert text == f"data: {shown_number} is out of range; numbers have 64 bits, write this one as a text"


@pytest.mark.parametrize(
    "value",
    [
        "1.7e308", "-1e308", "5e-324", "0e999", "0.000e-9999", "9" * 300, "1" + "0" * 250 + "e50", '"1e99999"', '{"1e999": "9e999"}',
        "0." + "1" * 16_383, "0e-16383", "1." + "1" * 16_390 + "e7", "0e99999", r'["\"1e999", "\\", "\\\"1e999"]', '"' + "9" * 400 + '"',
    ],
)  # fmt: skip
def test_what_fits_or_is_a_text_is_kept_as_it_was_sent(value: str) -> None:
    data = f'{{"a": {value}}}'

    body = read_body(f'{{"data": {data}}}'.encode(), Everything, closed=True)

    assert bytes(body.data) == data.encode()


def test_a_number_of_a_repeated_key_that_does_not_count_is_not_looked_at() -> None:
    assert bytes(read_body(b'{"data": {"n": 1e999}, "data": {}}', Everything, closed=True).data) == b"{}"


@pytest.mark.parametrize("piece", ["1" * 199 + ",", '"e111",', "1e100,", '"\\\\1e999",', "e" * 5])
def test_a_big_object_full_of_what_only_looks_too_large_is_read(piece: str) -> None:
    inside = f'"{piece * 100_000}"' if piece.isalpha() else f"[{piece * (2_000_000 // len(piece))}0]"

    assert read_body(f'{{"data": {{"a": {inside}}}}}'.encode(), Everything, closed=True).data


def test_a_hundred_levels_are_accepted() -> None:
    raw = b'{"data": {"a": ' + b"[" * 98 + b"]" * 98 + b"}}"

    assert read_body(raw, Everything, closed=True).data


def test_a_long_value_is_cut() -> None:
    texts = errors_of(json.dumps({"name": ["x" * 1000], "topic_id": "y" * 1000, "z" * 1000: 1, "state": "s" * 1000}))

    assert len(texts) == 4
    assert all(len(text) < 600 and "…" in text for text in texts)


def test_many_violations_make_a_short_answer() -> None:
    texts = errors_of(json.dumps({"team_ids": ["a"] * 1000, **{f"unknown{number}": 1 for number in range(1000)}}))

    assert len(texts) == 21
    assert all(len(text) < 1000 for text in texts)


@pytest.mark.parametrize(
    "element", [b"[],", b"{},", b'{"":0},', b'{"":{}},'], ids=["lists", "objects", "members", "nested"]
)
def test_a_big_wrong_body_does_not_grow_in_memory(element: bytes) -> None:
    raw = b'{"name": 1, "topic": [' + element * (2_000_000 // len(element)) + b"0]}"

    tracemalloc.start()
    texts = errors_of(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert texts == ["Object contains unknown field `topic`"]
    assert peak < 16_000_000


@pytest.mark.parametrize("repeated", ["", ', "tags": []'])
@pytest.mark.parametrize("element", [b"[],", b"{},", b'"a",', b"1e9,"])
def test_a_long_list_does_not_grow_in_memory(element: bytes, repeated: str) -> None:
    raw = b'{"tags": [' + element * (2_000_000 // len(element)) + b"0]" + repeated.encode() + b"}"

    tracemalloc.start()
    with suppress(ApiError):
        read_body(raw, Everything, closed=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 16_000_000


def test_a_long_body_is_read_like_a_short_one() -> None:
    body = read_body(json.dumps({"name": "x" * 1_000_000, "q": 1, "team_ids": []}).encode(), Everything, closed=False)

    assert (body.name, body.team_ids) == ("x" * 1_000_000, [])
    with pytest.raises(Malformed) as refusal:
        read_body(json.dumps({"name": 1, "public": "x" * 1_000_000}).encode(), Everything, closed=False)
    assert refusal.value.payload["errors"] == ["Expected `str`, got `int` - at `$.name`"]


def test_many_unknown_keys_do_not_grow_in_memory() -> None:
    raw = b"{" + b",".join(b'"%d":1' % number for number in range(200_000)) + b"}"

    tracemalloc.start()
    texts = errors_of(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert texts == ["Object contains unknown field `0`"]
    assert peak < 16_000_000


ANY_JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
)
KNOWN_KEYS = strategies.sampled_from(Everything.__struct_encode_fields__)


@given(strategies.dictionaries(KNOWN_KEYS | strategies.text(), ANY_JSON) | ANY_JSON, strategies.booleans())
def test_any_json_is_read_or_refused_with_a_known_error(tree: object, closed: bool) -> None:
    with suppress(ApiError):
        read_body(json.dumps(tree).encode(), Everything, closed=closed)


@given(strategies.binary(max_size=60), strategies.integers(0, 40))
def test_any_bytes_are_read_or_refused_with_a_known_error(noise: bytes, place: int) -> None:
    whole = b'{"name": "a\\u0041", "data": {"b": [1.5, null]}}'
    with suppress(ApiError):
        read_body(whole[:place] + noise + whole[place + 1 :], Everything, closed=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "None"), ("a", "'a'"), ("it's", '"it\'s"'), (True, "True"), ({"a": 1}, "{'a': 1}"), ([1, 2], "[1, 2]")],
)
def test_values_are_shown_as_python_literals(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("given_tags", "kept"),
    [
        ([], []),
        (["b", "a", "b", " c "], ["b", "a", "b", " c "]),
        ([None, False, 0, 0.0, "", " \t\n", "a"], ["a"]),
        ([1, 2.5, 0], ["1", "2.5"]),
        ([True, False], ["true"]),
    ],
)
def test_tags_are_cleaned(given_tags: list[object], kept: list[str]) -> None:
    assert clean_tags(given_tags) == kept


@pytest.mark.parametrize("given_tags", [[1, "a"], [True, 1], [True, "a"], [{}], [[]], [["a"]], ["a", {"b": 1}]])
def test_mixed_or_nested_tags_are_refused(given_tags: list[object]) -> None:
    with pytest.raises(ApiError, match=r"We are unable to create this resource. Please contact a DCI administrator\."):
        clean_tags(given_tags)
