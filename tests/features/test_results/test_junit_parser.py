# SPDX-License-Identifier: Apache-2.0

import tracemalloc
from collections.abc import Iterable
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dci_server.features.test_results.junit import (
    Case,
    InvalidXml,
    JunitParser,
    Property,
    Summary,
    read_text,
    shortened,
)

MIB = 1024 * 1024

TWO_SUITES = b"""<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="99" failures="98" errors="97" skipped="96" time="95">
  <testsuite name="Kikoolol1" tests="50" failures="50" time="999" hostname="h" timestamp="t">
    <properties><property name="kernel" value="6.1"/></properties>
    <testcase name="test_1" classname="Testsuite_1" time="10"/>
    <testcase name="test_2" classname="Testsuite_1" time="5.5">
      <skipped message="not today" type="skip">because</skipped>
    </testcase>
    <testcase name="test_3" classname="Testsuite_1" time="0.5"><failure type="Exception">Traceback</failure></testcase>
    <system-out>not of a case</system-out>
  </testsuite>
  <testsuite name="Kikoolol2">
    <testcase name="test_1" classname="Testsuite_2" time="4"><error message="e"/></testcase>
    <testcase name="test_2" classname="Testsuite_2" time="2"/>
    <testcase name="test_3" classname="Testsuite_2" time="2"><system-out>hi &amp; bye</system-out></testcase>
  </testsuite>
</testsuites>
"""


class Parsed(NamedTuple):
    cases: list[Case]
    summary: Summary
    encoding: str


def parse(document: bytes, step: int = MIB) -> Parsed:
    parser = JunitParser()
    cases = [case for start in range(0, len(document), step) for case in parser.feed(document[start : start + step])]
    last, summary = parser.close()
    return Parsed([*cases, *last], summary, parser.encoding)


def refusal_of(document: bytes) -> InvalidXml:
    with pytest.raises(InvalidXml) as refused:
        parse(document)
    return refused.value


def one_case(inside: str, attributes: str = "") -> tuple[Case, bytes]:
    document = f"<testsuite><testcase {attributes}>{inside}</testcase></testsuite>".encode()
    (case,) = parse(document).cases
    return case, document


def text_of(document: bytes, span: tuple[int, int] | None, encoding: str = "utf-8") -> str | None:
    return None if span is None else "".join(read_text(document[slice(*span)], encoding))


def test_everything_is_counted_from_the_cases() -> None:
    summary = parse(TWO_SUITES).summary

    assert (summary.total, summary.success, summary.skips, summary.failures, summary.errors, summary.time) == (
        *(6, 3, 1, 1, 1),
        24,
    )
    first, second = summary.suites
    assert (first.id, first.name, first.tests, first.success, first.skipped, first.failures, first.errors) == (
        *(0, "Kikoolol1"),
        *(3, 1, 1, 1, 0),
    )
    assert (first.time, first.properties) == (16.0, [Property("kernel", "6.1")])
    assert (second.id, second.name, second.tests, second.success, second.skipped, second.failures, second.errors) == (
        *(1, "Kikoolol2"),
        *(3, 2, 0, 0, 1),
    )
    assert (second.time, second.properties) == (8.0, [])


def test_a_case_comes_with_all_that_is_said_about_it() -> None:
    cases = parse(TWO_SUITES).cases

    assert [(case.suite, case.position, case.action, case.time) for case in cases] == [
        (0, 0, "success", 10.0),
        (0, 1, "skipped", 5.5),
        (0, 2, "failure", 0.5),
        (1, 0, "error", 4.0),
        (1, 1, "success", 2.0),
        (1, 2, "success", 2.0),
    ]
    assert {case.classname for case in cases} == {"Testsuite_1", "Testsuite_2"}
    assert [(case.message, case.type, text_of(TWO_SUITES, case.value)) for case in cases[1:4]] == [
        ("not today", "skip", "because"),
        (None, "Exception", "Traceback"),
        ("e", None, None),
    ]
    assert text_of(TWO_SUITES, cases[5].stdout) == "hi & bye"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1000])
def test_the_size_of_the_chunks_changes_nothing(step: int) -> None:
    assert parse(TWO_SUITES, step) == parse(TWO_SUITES)


def test_cases_come_out_while_the_file_is_fed() -> None:
    parser = JunitParser()

    early = parser.feed(b"<testsuite><testcase name='a'/><testcase name='b'><failure>")

    assert [case.name for case in early] == ["a"]


def test_nested_suites_are_listed_as_they_close_with_their_own_cases_only() -> None:
    document = (
        b'<testsuites><testsuite name="outer"><testcase name="o1"/>'
        b'<testsuite name="inner"><testcase name="i1"/></testsuite><testcase name="o2"/></testsuite></testsuites>'
    )

    cases, summary, _ = parse(document)

    assert [(suite.id, suite.name, suite.tests, suite.opened) for suite in summary.suites] == [
        (0, "inner", 1, 1),
        (1, "outer", 2, 0),
    ]
    assert [(case.name, case.suite, case.position) for case in cases] == [("o1", 0, 0), ("i1", 1, 0), ("o2", 0, 1)]


@pytest.mark.parametrize(
    "document",
    [
        "<html/>",
        '<testcase name="alone"/>',
        '<testsuites xmlns="urn:x"><testsuite><testcase/></testsuite></testsuites>',
        '<x:testsuite xmlns:x="urn:x"><testcase/></x:testsuite>',
        "<TestSuite><testcase/></TestSuite>",
        "<testsuites><testcase/></testsuites>",
        "<!DOCTYPE html><html/>",
        '<!DOCTYPE testsuites SYSTEM "junit.dtd"><testsuites/>',
        "<?xml version='1.0'?><!-- c --><?pi?><a/><!-- c -->\n",
    ],
)
def test_a_document_without_suites_is_valid_and_has_nothing(document: str) -> None:
    cases, summary, _ = parse(document.encode())

    assert (cases, summary) == ([], Summary([], 0, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    "document", [b"", b" ", b"\n\t \r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n", "\ufeff \n".encode("utf-16-le")]
)
def test_an_empty_document_has_nothing(document: bytes) -> None:
    assert parse(document).summary == Summary([], 0, 0, 0, 0, 0, 0)
    assert parse(document, 1).summary == Summary([], 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "document",
    [
        "<a><testsuite><testcase/></testsuite></a>",
        "<testsuite><x><testcase/></x><testcase/></testsuite>",
        "<testsuite><testcase><testcase/></testcase></testsuite>",
        "<testsuite><properties><testcase/></properties><testcase/></testsuite>",
        '<testsuite xmlns:x="u"><testcase x:name="no"/><x:testcase/></testsuite>',
    ],
)
def test_only_direct_children_of_a_suite_are_its_cases(document: str) -> None:
    cases, summary, _ = parse(document.encode())

    assert (summary.total, len(cases), cases[0].name) == (1, 1, "")


def test_a_suite_inside_a_failure_is_a_suite_and_its_text_belongs_to_both() -> None:
    document = (
        b"<testsuite name='o'><testcase><failure><testsuite name='i'><testcase><error>b</error></testcase></testsuite>"
        b"</failure></testcase></testsuite>"
    )

    cases, summary, _ = parse(document)

    assert [suite.name for suite in summary.suites] == ["i", "o"]
    assert [text_of(document, case.value) for case in cases] == ["b", "b"]


@pytest.mark.parametrize(
    ("properties", "kept"),
    [
        ("", []),
        ('<properties><property name="a" value="1"/><property name="a" value="2"/></properties>', ["a=1", "a=2"]),
        ('<properties><property name=" a\t" value=" v "/></properties>', ["a= v "]),
        ('<properties><property name=" "/><property/><property name="b">text</property></properties>', ["b="]),
        ('<properties><property name="a"/></properties><properties><property name="b"/></properties>', ["b="]),
        ('<properties><property name="a"/></properties><properties/>', []),
        ('<properties><x><property name="a"/></x></properties>', []),
        ('<testcase><properties><property name="a"/></properties></testcase>', []),
        ('<property name="a"/>', []),
    ],
)
def test_the_properties_of_a_suite(properties: str, kept: list[str]) -> None:
    (suite,) = parse(f"<testsuite>{properties}</testsuite>".encode()).summary.suites

    assert [f"{name}={value}" for name, value in suite.properties] == kept


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("1", 1.0), ("1.5", 1.5), (" 2 ", 2.0), ("1e3", 1000.0), ("-3", -3.0), ("0.1234567", 0.123457), ("+.5", 0.5)],
        *[("", 0.0), ("abc", 0.0), ("1,234.5", 0.0), ("1,5", 0.0), ("0x10", 0.0), ("1 2", 0.0), ("1s", 0.0)],
        *[("inf", 0.0), ("-Infinity", 0.0), ("nan", 0.0), ("1e400", 0.0), ("1e14", 0.0), ("-1e14", 0.0)],
        ("86399999999999", 86399999999999.0),
    ],
)
def test_the_time_of_a_case(text: str, seconds: float) -> None:
    case, _ = one_case("", f'time="{text}"')

    assert case.time == seconds


def test_a_case_without_a_time_took_none() -> None:
    assert one_case("")[0].time == 0.0


@pytest.mark.parametrize(
    ("times", "whole"),
    [
        *[(["0.5"], 1), (["2.5"], 3), (["2.4"], 2), (["-0.5"], -1), (["-2.4"], -2), (["0.499999"], 0)],
        *[(["0.2", "0.3"], 1), (["inf", "1"], 1), ([], 0), (["0.1"] * 25, 3)],
        *[(["2147483647"], 2147483647), (["2147483647", "1"], 2147483647), (["-1e12"], -2147483647)],
    ],
)
def test_the_stored_time_is_rounded_away_from_zero_and_fits_its_column(times: list[str], whole: int) -> None:
    suites = "".join(f'<testsuite><testcase time="{time}"/></testsuite>' for time in times)

    assert parse(f"<testsuites>{suites}</testsuites>".encode()).summary.time == whole


@pytest.mark.parametrize(
    ("inside", "action", "message", "kind", "text"),
    [
        ("", "success", None, None, None),
        ("text<rerunFailure message='m'>r</rerunFailure><flakyFailure/>", "success", None, None, None),
        ("<failure/>", "failure", None, None, None),
        ("<failure></failure>", "failure", None, None, None),
        ("<failure message='' type=''> </failure>", "failure", "", "", " "),
        ("<failure message='f'>a</failure><skipped/>", "skipped", None, None, None),
        ("<skipped>s</skipped><error message='e'>b</error>", "error", "e", None, "b"),
        ("<error/><failure type='t'>\n c\n</failure>", "failure", None, "t", "\n c\n"),
        ("<x><failure/></x>", "success", None, None, None),
    ],
)
def test_the_last_outcome_of_a_case_counts(
    inside: str, action: str, message: str | None, kind: str | None, text: str | None
) -> None:
    case, document = one_case(inside)

    assert (case.action, case.message, case.type, text_of(document, case.value)) == (action, message, kind, text)


@pytest.mark.parametrize(
    ("inside", "stdout", "stderr"),
    [
        ("", None, None),
        ("<system-out/><system-err></system-err>", None, None),
        ("<system-out> a\r\nb\n</system-out><system-err>c</system-err>", " a\nb\n", "c"),
        ("<system-out>a</system-out><system-out>b</system-out>", "b", None),
        ("<system-out>a</system-out><system-out/>", None, None),
        ("<failure>f<system-out>inside</system-out></failure>", None, None),
    ],
)
def test_the_last_outputs_of_a_case_count(inside: str, stdout: str | None, stderr: str | None) -> None:
    case, document = one_case(inside)

    assert (text_of(document, case.stdout), text_of(document, case.stderr)) == (stdout, stderr)


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("plain", "plain"),
        ("<![CDATA[<a> & ]]]]><![CDATA[>]]>", "<a> & ]]>"),
        ("<![CDATA[]]>", None),
        ("<!-- c --><?p i?>", None),
        ("<!-- c -->x<!-- d -->y<?p i?>", "xy"),
        ("<b>in</b>side", "inside"),
        ("<b/>", None),
        ("<b><c>deep</c></b>", "deep"),
        ("a&lt;b&#10;&#x1F600;&apos;", "a<b\n😀'"),
        ("]]", "]]"),
        ("trailing\r", "trailing\n"),
        ("😀 日本 é", "😀 日本 é"),
        ('<z:q xmlns:z="u" z:a="b">n</z:q>', "n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-with-mark", "iso-8859-1", "cp1252"])
def test_a_range_holds_the_text_whatever_the_encoding(inside: str, text: str | None, encoding: str) -> None:
    declared = {"utf-8-sig": "utf-8", "utf-16-be-with-mark": "utf-16", "cp1252": "windows-1252"}.get(encoding, encoding)
    written = (
        f'<?xml version="1.0" encoding="{declared}"?>\r\n'
        f"<testsuite><testcase name='é'><failure a='>'>{inside}</failure></testcase></testsuite>"
    )
    codec = "utf-16-be" if encoding == "utf-16-be-with-mark" else encoding
    mark = b"\xfe\xff" if encoding == "utf-16-be-with-mark" else b""
    document = mark + written.encode(codec, "xmlcharrefreplace")
    if "<![" in inside:
        # A character reference means nothing there.
        document = mark + written.encode(codec)

    for step in (1, MIB):
        (case,), _, found = parse(document, step)
        assert (case.name, text_of(document, case.value, found)) == ("é", text)


@pytest.mark.parametrize(
    ("encoding", "document"),
    [
        ("utf-16-le", '<testsuite><testcase name="é"/></testsuite>'.encode("utf-16-le")),
        ("utf-16-le", '\ufeff<testsuite><testcase name="é"/></testsuite>'.encode("utf-16-le")),
        ("utf-16-be", '<testsuite><testcase name="é"/></testsuite>'.encode("utf-16-be")),
        (
            "koi8-r",
            '<?xml version="1.0" encoding="KOI8-R"?><testsuite><testcase name="ж"/></testsuite>'.encode("koi8-r"),
        ),
        ("ascii", b'<?xml version="1.0" encoding="US-ASCII"?><testsuite><testcase name="e"/></testsuite>'),
    ],
)
def test_other_encodings_are_recognised(encoding: str, document: bytes) -> None:
    (case,), _, found = parse(document)

    assert (found, case.name) == (encoding, document.decode(encoding).partition('name="')[2][0])


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        (b"", ""),
        (b"abc &am", "abc "),
        (b"abc <b>d</b", "abc d"),
        (b"<![CDATA[abc", "abc"),
        ("abcé".encode()[:-1], "abc"),
        (b"a<b>c", "ac"),
        (b"a<!-- b", "a"),
    ],
)
def test_a_range_that_was_cut_gives_the_text_before_the_cut(fragment: bytes, text: str) -> None:
    assert "".join(read_text(fragment, "utf-8")) == text
    assert "".join(read_text("abc".encode("utf-16-le")[:-1], "utf-16-le")) == "ab"


def test_a_long_message_is_cut() -> None:
    case, _ = one_case(f"<failure message='{'m' * 5000}' type='T'/>")

    assert (case.message, case.type) == ("m" * 4096, "T")


@pytest.mark.parametrize("length", [2047, 2048])
def test_names_and_types_are_kept_up_to_two_thousand_characters(length: int) -> None:
    document = _named("é" * length)

    assert _names(document) == {"é" * length}


def test_long_names_are_cut_and_stay_different() -> None:
    cut, other = _names(_named("é" * 5000)), _names(_named("é" * 5001))

    assert {len(name or "") for name in cut | other} == {2048}
    assert {(name or "")[:2016] for name in cut | other} == {"é" * 2015 + "…"}
    assert len(cut) == len(other) == 1
    assert cut != other


def _named(name: str) -> bytes:
    case = f"<testcase name='{name}' classname='{name}'><failure type='{name}'/></testcase>"
    return f"<testsuite name='{name}'>{case}</testsuite>".encode()


def _names(document: bytes) -> set[str | None]:
    cases, summary, _ = parse(document)
    return {cases[0].name, cases[0].classname, cases[0].type, summary.suites[0].name}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("<testsuites>\n  <testsuite", "Invalid XML: unclosed token: line 2, column 2"),
        ("<testsuites><testsuite>", "Invalid XML: no element found: line 1, column 23"),
        ("<testsuites>\n<testsuite></testsuite>", "Invalid XML: no element found: line 2, column 23"),
        ("<testsuite><testcase>some te", "Invalid XML: no element found: line 1, column 28"),
        ("<?xml version='1.0'?>", "Invalid XML: no element found: line 1, column 21"),
        ("<testsuite/>junk", "Invalid XML: junk after document element: line 1, column 12"),
        ("<testsuite/><testsuite/>", "Invalid XML: junk after document element: line 1, column 12"),
        ("<testsuite></testsuites>", "Invalid XML: mismatched tag: line 1, column 13"),
        ("plain text", "Invalid XML: syntax error: line 1, column 0"),
        ("<testsuite>&nbsp;</testsuite>", "Invalid XML: undefined entity: line 1, column 11"),
        (
            '<!DOCTYPE a SYSTEM "file:///etc/passwd"><testsuite>&nbsp;</testsuite>',
            "Invalid XML: undefined entity: line 1, column 51",
        ),
        ("<testsuite>\x1b[31m</testsuite>", "Invalid XML: not well-formed (invalid token): line 1, column 11"),
        (" <?xml version='1.0'?><a/>", "Invalid XML: XML or text declaration not at start of entity: line 1, column 1"),
        ("<?xml version='1.0' encoding='klingon'?><a/>", "Invalid XML: unknown encoding: line 1, column 0"),
        ("<x:a/>", "Invalid XML: unbound prefix: line 1, column 0"),
    ],
)
def test_what_is_not_well_formed_is_refused_with_its_place(document: str, message: str) -> None:
    refused = refusal_of(document.encode())

    assert refused.message == message
    assert refused.status == 400
    assert f"line {refused.line}, column {refused.column}" in message


@pytest.mark.parametrize(
    "document",
    [
        b"\xff",
        b"\xef",
        b"\0",
        b"\0\0\0\0",
        b"<a>\xff</a>",
        b"<a>\xc3",
        b"\xff\xfe<",
        b"\xfe\xff\0<\0a",
        b"\xff\xfe\0\0<\0\0\0",
        b'<?xml version="1.0" encoding="utf-16"?><a/>',
        '<?xml version="1.0" encoding="utf-8"?><a/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="cp1252"?><a>\x81</a>',
        "<a>\ud800</a>".encode("utf-16", "surrogatepass"),
        b"<a>&#0;</a>",
        b"<a>&#xD800;</a>",
    ],
)
def test_bytes_that_are_no_text_are_refused(document: bytes) -> None:
    refusal_of(document)


@pytest.mark.parametrize(
    "name",
    [
        *["rot13", "hex", "idna", "punycode", "unicode_escape", "undefined", "utf-7", "utf-8-sig", "utf_32", "cp932"],
        *["utf8-x" * 10, "iso2022_jp", "mbcs", "zlib", "charmap", "x" * 100_000],
    ],
)
def test_what_is_no_encoding_of_single_bytes_is_refused(name: str) -> None:
    document = f"<?xml version='1.0' encoding='{name}'?><testsuite name='é'/>".encode()

    refusal_of(document)


@pytest.mark.parametrize(
    "declarations",
    [
        '<!ENTITY a "b">',
        '<!ENTITY a SYSTEM "file:///etc/passwd">',
        '<!ENTITY % a SYSTEM "http://example.org/x"> %a;',
        "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12)),
        '<!ATTLIST testcase name CDATA "x">',
        "<!ELEMENT testsuite ANY>",
        "",
    ],
)
def test_a_document_type_may_declare_nothing(declarations: str) -> None:
    refused = refusal_of(f"<!DOCTYPE testsuites [{declarations}]><testsuites>&a;&m;</testsuites>".encode())

    assert refused.message.startswith("Invalid XML: declarations in a document type are not accepted: line 1")


HOSTILE = {
    "elements are nested too deeply": [b"<a>" * 1_000_000],
    "a tag or a comment is too long": [b"<testsuite name='", *[b"x" * MIB] * 60],
    "too many different names": [b"<a>", *[b"".join(b"<a%d/>" % n for n in range(m, m + 20_000)) for m in range(100)]],
    "too many different names of": [b"<a>", b"<b xmlns:unused='%s'>" % (b"x" * 300_000), b" " * MIB],
    "too many suites and properties": [b"<testsuites>", *[b"<testsuite/>" * 10_000] * 20],
    "too many suites and": [b"<testsuite><properties>", *[b"<property name='a' value='b'/>" * 10_000] * 20],
}


def feed_all(parser: JunitParser, chunks: Iterable[bytes]) -> int:
    return sum(len(parser.feed(chunk)) for chunk in chunks)


@pytest.mark.parametrize("reason", HOSTILE)
def test_what_would_fill_the_memory_is_refused(reason: str) -> None:
    parser = JunitParser()

    with pytest.raises(InvalidXml, match=reason):
        feed_all(parser, HOSTILE[reason])
    with pytest.raises(InvalidXml, match=reason):
        parser.close()


# A safety line and no measurement: it takes a hundredth of a second, and half a minute when the promise is broken.
@pytest.mark.timeout(10)
def test_an_unfinished_tag_is_not_scanned_again_with_every_byte() -> None:
    parser = JunitParser()
    parser.feed(b"<testsuite><testcase name='")

    for _ in range(20_000):
        parser.feed(b"x" * 100)
    (case,) = parser.feed(b"'/>" + b" " * MIB)

    assert case.name == shortened("x" * 2_000_000)


def test_a_text_of_many_megabytes_passes() -> None:
    parser = JunitParser()
    parser.feed(b"<testsuite><testcase><system-out>")
    for _ in range(24):
        parser.feed(b"a line of a log, and another one\n" * (MIB // 32))

    (case,) = parser.feed(b"</system-out></testcase></testsuite>")

    assert case.stdout == (33, 33 + 24 * 33 * (MIB // 32))


def test_cases_that_were_handed_out_need_no_memory() -> None:
    parser = JunitParser()
    tracemalloc.start()

    seen = feed_all(parser, [b"<testsuite>", *[b"<testcase/>" * 1_000] * 50, b"</testsuite>"])
    last, summary = parser.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (seen, last, summary.total) == (50_000, [], 50_000)
    assert peak < 2 * MIB


EVERYTHING = (
    '<?xml version="1.0" encoding="{}"?><!DOCTYPE a><!-- é --><a xmlns:x="u"><?p i?><testsuite name="é😀">'
    '<properties><property name="a" value="&lt;"/></properties><testcase x:y="z" time="1">'
    '<failure message="m">t&amp;&#233;<![CDATA[<c>]]><b/></failure><system-out>\r\n]]</system-out></testcase>'
    "</testsuite></a>"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_cut_anywhere_is_refused(encoding: str) -> None:
    document = EVERYTHING.format(encoding).encode(encoding)
    assert parse(document).summary.total == 1
    mark = 2 if encoding == "utf-16" else 0

    for length in range(mark + 1, len(document)):
        with pytest.raises(InvalidXml):
            parse(document[:length])


@settings(deadline=None)
@given(position=st.integers(0, 500), byte=st.integers(0, 255), encoding=st.sampled_from(["utf-8", "utf-16", "cp1252"]))
def test_a_damaged_document_is_read_or_refused(position: int, byte: int, encoding: str) -> None:
    document = bytearray(EVERYTHING.format(encoding).replace("😀", "").encode(encoding))
    document[position % len(document)] = byte

    try:
        parsed = parse(bytes(document))
    except InvalidXml:
        return
    for case in parsed.cases:
        text_of(bytes(document), case.value, parsed.encoding)


CHARACTERS = st.text(st.sampled_from("ab \n\r\té日😀<>&]'\""), max_size=6)
TAGS = [
    "testsuite",
    "testcase",
    "failure",
    "error",
    "skipped",
    "system-out",
    "system-err",
    "properties",
    "property",
    "x",
]


@st.composite
def texts(draw: st.DrawFn) -> str:
    text = draw(CHARACTERS)
    match draw(st.integers(0, 4)):
        case 0:
            return f"<![CDATA[{text.replace(']', '')}]]>"
        case 1:
            return f"<!--{escape(text)}-->{escape(text)}<?p i?>"
        case 2:
            return "".join(f"&#{ord(character)};" for character in text)
        case _:
            return escape(text)


@st.composite
def elements(draw: st.DrawFn, children: st.SearchStrategy[str]) -> str:
    tag = draw(st.sampled_from(TAGS))
    names = draw(st.sets(st.sampled_from(["name", "classname", "time", "message", "type", "value"])))
    attributes = "".join(
        f" {name}={quoteattr(draw(CHARACTERS if name != 'time' else st.sampled_from(['1', '0.25', 'x', ' 3 '])))}"
        for name in sorted(names)
    )
    inside = "".join(draw(st.lists(children, max_size=4)))
    return f"<{tag}{attributes}>{inside}</{tag}>" if inside else f"<{tag}{attributes}/>"


def nested(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return elements(children)


@st.composite
def reports(draw: st.DrawFn) -> str:
    """Suites of cases, with anything at all anywhere."""
    anything = st.recursive(texts(), nested, max_leaves=8)
    cases = [
        f"<testcase>{''.join(draw(st.lists(anything, max_size=3)))}</testcase>" for _ in range(draw(st.integers(0, 3)))
    ]
    return f"<testsuite>{''.join([*cases, *draw(st.lists(anything, max_size=3))])}</testsuite>"


Expected = tuple[str, str, str | None, str | None, str | None, str | None, str | None]


def expected_case(case: ElementTree.Element) -> Expected:
    outcome: ElementTree.Element | None = None
    outputs: dict[str, str] = {}
    for child in case:
        if child.tag in {"failure", "error", "skipped"}:
            outcome = child
        elif child.tag in {"system-out", "system-err"}:
            outputs[child.tag] = "".join(child.itertext())
    value = None if outcome is None else "".join(outcome.itertext()) or None
    return (
        case.get("name", ""),
        "success" if outcome is None else outcome.tag,
        None if outcome is None else outcome.get("message"),
        None if outcome is None else outcome.get("type"),
        value,
        outputs.get("system-out") or None,
        outputs.get("system-err") or None,
    )


@settings(deadline=None)
@given(written=reports(), encoding=st.sampled_from(["utf-8", "utf-16", "iso-8859-1"]), step=st.integers(1, 200))
def test_it_sees_what_a_full_parse_sees(written: str, encoding: str, step: int) -> None:
    try:
        content = written.encode(encoding)
    except UnicodeEncodeError:
        encoding, content = "utf-8", written.encode()
    mark, content = (content[:2], content[2:]) if encoding == "utf-16" else (b"", content)
    codec = "utf-16-le" if encoding == "utf-16" else encoding
    document = mark + f'<?xml version="1.0" encoding="{encoding}"?>'.encode(codec) + content
    root = ElementTree.fromstring(document)

    cases, summary, found = parse(document, step)

    suites = list(root.iter("testsuite"))
    seen = {
        (case.suite, case.position): (
            *(case.name, case.action, case.message, case.type),
            *(text_of(document, span, found) for span in (case.value, case.stdout, case.stderr)),
        )
        for case in cases
    }
    assert seen == {
        (opened, position): expected_case(case)
        for opened, suite in enumerate(suites)
        for position, case in enumerate(suite.findall("testcase"))
    }
    assert [(suite.name, suite.tests) for suite in sorted(summary.suites, key=lambda suite: suite.opened)] == [
        (suite.get("name", ""), len(suite.findall("testcase"))) for suite in suites
    ]
