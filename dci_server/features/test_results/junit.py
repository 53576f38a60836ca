# SPDX-License-Identifier: Apache-2.0
"""Reads JUnit files of any size in flat memory: cases come out as they end, long texts as byte ranges of the file.

The rules are those of junit.md §2. Two restrictions keep hostile files cheap. A document type may declare nothing:
entities can blow up, and a range must be readable without the rest of its file (a DOCTYPE without declarations is
accepted, what it refers to is not fetched). And whatever has to be remembered is bounded: depth, the length of a tag,
the number of different names, the suites with their properties. Names and types of cases and suites are cut where rows end.
"""

import codecs
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, NamedTuple
from xml.parsers import expat

from dci_server.foundation.errors import ApiError

Action = Literal["success", "skipped", "error", "failure"]
Span = tuple[int, int]

LONGEST_MESSAGE = 4096
LONGEST_NAME = 2048
"""Of suites, classes and cases, and of types: the file has them in full."""
LONGEST_TAG = 2 * 1024 * 1024
DEEPEST = 128
_LENGTH_OF_DIGEST = 32
MOST_NAMES = 4096
LONGEST_NAMES = 256 * 1024
MOST_KEPT_BYTES = 24 * 1024 * 1024
STEP = 256 * 1024
TEXT_PIECE = 64 * 1024
MICROSECONDS = 1_000_000
LONGEST_TIME = timedelta.max.total_seconds()
LARGEST_INTEGER = 2**31 - 1
NO_ELEMENTS = expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]
# Python's codecs are more than character encodings, and it remembers each name it was ever asked for.
ENCODING = re.compile(r"(ascii|us-ascii|utf|iso|latin|cp|windows|koi8|mac|tis)[-_a-z0-9]{0,16}", re.IGNORECASE)
# White space, byte order marks, the zeros of UTF-16.
BLANK_BYTES = b" \t\r\n\xef\xbb\xbf\xfe\xff\0"


class InvalidXml(ApiError):
    """Decision 40: 400 with the place; expat counts lines from 1 and columns from 0."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"Invalid XML: {reason}: line {line}, column {column}")
        self.line = line
        self.column = column


class Case(NamedTuple):
    """`value`, `stdout` and `stderr` say where the text is, for `read_text`; None when there is none."""

    suite: int  # `Suite.opened`: the suite's id is known when it closes, after its cases
    position: int
    name: str
    classname: str
    time: float
    action: Action
    message: str | None  # its beginning
    type: str | None
    value: Span | None
    stdout: Span | None
    stderr: Span | None


class Property(NamedTuple):
    name: str
    value: str


@dataclass(slots=True)
class Suite:
    """Counts its direct cases only. `id` is its place in the order of closing, `opened` in the order of opening."""

    opened: int
    name: str
    id: int = 0
    tests: int = 0
    success: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0
    microseconds: int = 0
    properties: list[Property] = field(default_factory=list[Property])

    @property
    def time(self) -> float:
        return self.microseconds / MICROSECONDS


@dataclass(frozen=True, slots=True)
class Summary:
    """The suites in the order of closing, and the columns of the stored row (junit.md §3)."""

    suites: list[Suite]
    total: int
    success: int
    skips: int
    failures: int
    errors: int
    time: int


class _OpenCase:
    __slots__ = ("action", "attributes", "message", "stderr", "stdout", "suite", "type", "value")

    def __init__(self, suite: Suite, attributes: dict[str, str]) -> None:
        self.suite = suite
        self.attributes = attributes
        self.action: Action = "success"
        self.message: str | None = None
        self.type: str | None = None
        self.value: Span | None = None
        self.stdout: Span | None = None
        self.stderr: Span | None = None


class _OpenText:
    """A child of a case whose text may be asked for later."""

    __slots__ = ("attributes", "case", "has_text", "start")

    def __init__(self, case: _OpenCase, attributes: dict[str, str]) -> None:
        self.case = case
        self.attributes = attributes
        self.start = 0
        self.has_text = False


class _OpenProperties:
    __slots__ = ("suite",)

    def __init__(self, suite: Suite) -> None:
        self.suite = suite


_OpenElement = Suite | _OpenCase | _OpenText | _OpenProperties | None


class JunitParser:
    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        # With a separator expat resolves namespaces, so that a name in a namespace never equals a plain one.
        self._expat = expat.ParserCreate(namespace_separator="}", intern=self._names)
        self._elements: list[_OpenElement] = []
        self._texts: list[_OpenText] = []
        self._text_without_start: _OpenText | None = None
        self._suites: list[Suite] = []
        self._suite_names: list[str] = []
        self._cases: list[Case] = []
        self._waiting = bytearray()
        self._fed = 0
        self._unfinished = 0
        self._head = b""
        self._declared_encoding = "utf-8"
        self._is_blank = True
        self._counted_names = 0
        self._kept_bytes = 0
        self._refusal: InvalidXml | None = None
        self._listen()

    def feed(self, chunk: bytes) -> list[Case]:
        """The cases that are complete by now. Give it a MiB at a time: they are all in memory together."""
        for start in range(0, len(chunk), STEP):
            self._waiting += chunk[start : start + STEP]
            # Before expat 2.6 an unfinished tag is scanned from its start each time: let it grow by half in between.
            if len(self._waiting) * 2 > self._unfinished:
                self._parse_waiting()
        return self._take_cases()

    def close(self) -> tuple[list[Case], Summary]:
        """The last cases and the counts. A document that ends early is invalid, an empty one is not (decision 41)."""
        self._parse_waiting()
        self._parse(b"", is_final=True)
        self._stop_listening()
        return self._take_cases(), self._summary()

    def suite_name(self, opened: int) -> str:
        """Of a case's `suite`."""
        return self._suite_names[opened]

    @property
    def encoding(self) -> str:
        """What `read_text` needs to know about this file."""
        if self._head.startswith((codecs.BOM_UTF16_LE, b"<\0")):
            return "utf-16-le"
        if self._head.startswith((codecs.BOM_UTF16_BE, b"\0<")):
            return "utf-16-be"
        return self._declared_encoding

    def _take_cases(self) -> list[Case]:
        cases, self._cases = self._cases, []
        return cases

    def _parse_waiting(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        self._head = (self._head + data[:4])[:4]
        self._is_blank = self._is_blank and not data.strip(BLANK_BYTES)
        self._fed += len(data)
        self._parse(data)
        self._require_bounded_tag()

    def _parse(self, data: bytes, is_final: bool = False) -> None:
        if self._refusal is not None:
            raise self._refusal
        try:
            self._expat.Parse(data, is_final)
        except expat.ExpatError as error:
            if not (is_final and self._is_blank and error.code == NO_ELEMENTS):
                raise self._invalid(expat.ErrorString(error.code), error.lineno, error.offset) from None
        except (LookupError, ValueError):
            # What Python raises for an encoding that it cannot tell expat about.
            raise self._refused("unknown encoding") from None
        self._require_bounded_names()

    def _require_bounded_tag(self) -> None:
        position = self._expat.CurrentByteIndex
        if position >= 0:
            self._unfinished = self._fed - position
        if self._unfinished > LONGEST_TAG:
            raise self._refused("a tag or a comment is too long")

    def _require_bounded_names(self) -> None:
        """expat remembers every name of an element or attribute until its end."""
        if len(self._names) == self._counted_names:
            return
        self._counted_names = len(self._names)
        if self._counted_names > MOST_NAMES or sum(map(len, filter(None, self._names))) > LONGEST_NAMES:
            raise self._refused("too many different names of elements and attributes")

    def _refused(self, reason: str) -> InvalidXml:
        return self._invalid(reason, self._expat.CurrentLineNumber, self._expat.CurrentColumnNumber)

    def _invalid(self, reason: str, line: int, column: int) -> InvalidXml:
        self._refusal = InvalidXml(reason, line, column)
        self._stop_listening()
        return self._refusal

    def _listen(self) -> None:
        self._expat.StartElementHandler = self._start_element
        self._expat.EndElementHandler = self._end_element
        self._expat.CommentHandler = self._something_without_text
        self._expat.ProcessingInstructionHandler = self._something_without_text
        self._expat.StartCdataSectionHandler = self._something_without_text
        self._expat.XmlDeclHandler = self._declaration
        self._expat.StartDoctypeDeclHandler = self._document_type
        self._expat.SkippedEntityHandler = self._undefined_entity
        # Only with a handler does expat tell us the names of namespaces, which it remembers too.
        self._expat.StartNamespaceDeclHandler = self._namespace

    def _stop_listening(self) -> None:
        """The parser holds us and we hold it: let both go without waiting for the garbage collector."""
        self._expat.StartElementHandler = None
        self._expat.EndElementHandler = None
        self._expat.CharacterDataHandler = None
        self._expat.CommentHandler = None
        self._expat.ProcessingInstructionHandler = None
        self._expat.StartCdataSectionHandler = None
        self._expat.XmlDeclHandler = None
        self._expat.StartDoctypeDeclHandler = None
        self._expat.SkippedEntityHandler = None
        self._expat.StartNamespaceDeclHandler = None

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is None:
            return
        if not ENCODING.fullmatch(encoding):
            raise self._refused("unknown encoding")
        self._declared_encoding = codecs.lookup(encoding).name

    def _document_type(self, _name: str, _system: str | None, _public: str | None, has_declarations: int) -> None:
        if has_declarations:
            raise self._refused("declarations in a document type are not accepted")

    def _undefined_entity(self, _name: str, _is_parameter: int) -> None:
        raise self._refused("undefined entity")

    def _namespace(self, _prefix: str | None, _name: str | None) -> None:
        pass

    def _something_without_text(self, *_: str) -> None:
        self._mark_start()

    def _mark_start(self) -> None:
        """expat does not say where a start tag ends, but where the next thing begins."""
        if self._text_without_start is not None:
            self._text_without_start.start = self._expat.CurrentByteIndex
            self._text_without_start = None

    def _some_text(self, _text: str) -> None:
        self._mark_start()
        for element in self._texts:
            element.has_text = True
        # That there is some is enough: a log of megabytes passes without another call.
        self._expat.CharacterDataHandler = None

    def _start_element(self, tag: str, attributes: dict[str, str]) -> None:
        if self._text_without_start is not None:
            self._mark_start()
        elements = self._elements
        if len(elements) >= DEEPEST:
            raise self._refused("elements are nested too deeply")
        parent = elements[-1] if elements else None
        element: _OpenElement = None
        if tag == "testsuite":
            element = self._open_suite(attributes)
        elif type(parent) is Suite:
            if tag == "testcase":
                element = _OpenCase(parent, attributes)
            elif tag == "properties":
                parent.properties = []
                element = _OpenProperties(parent)
        elif type(parent) is _OpenCase:
            if tag in TEXTS:
                element = self._open_text(parent, attributes)
        elif type(parent) is _OpenProperties and tag == "property":
            self._add_property(parent.suite, attributes)
        elements.append(element)

    def _end_element(self, tag: str) -> None:
        if self._text_without_start is not None:
            self._mark_start()
        element = self._elements.pop()
        if type(element) is _OpenCase:
            self._close_case(element)
        elif type(element) is _OpenText:
            self._close_text(tag, element)
        elif type(element) is Suite:
            element.id = len(self._suites)
            self._suites.append(element)

    def _open_suite(self, attributes: dict[str, str]) -> Suite:
        suite = Suite(len(self._suite_names), shortened(attributes.get("name", "")))
        self._suite_names.append(suite.name)
        self._keep(sys.getsizeof(suite) + sys.getsizeof(suite.properties) + sys.getsizeof(suite.name))
        return suite

    def _add_property(self, suite: Suite, attributes: dict[str, str]) -> None:
        name = attributes.get("name", "").strip()
        if name:
            added = Property(name, attributes.get("value", ""))
            self._keep(sys.getsizeof(added) + sys.getsizeof(added.name) + sys.getsizeof(added.value))
            suite.properties.append(added)

    def _keep(self, size: int) -> None:
        self._kept_bytes += size
        if self._kept_bytes > MOST_KEPT_BYTES:
            raise self._refused("too many suites and properties")

    def _open_text(self, case: _OpenCase, attributes: dict[str, str]) -> _OpenText:
        element = _OpenText(case, attributes)
        self._texts.append(element)
        self._text_without_start = element
        self._expat.CharacterDataHandler = self._some_text
        return element

    def _close_text(self, tag: str, element: _OpenText) -> None:
        span = (element.start, self._expat.CurrentByteIndex) if element.has_text else None
        self._texts.pop()
        if not self._texts:
            self._expat.CharacterDataHandler = None
        case = element.case
        if tag == "system-out":
            case.stdout = span
        elif tag == "system-err":
            case.stderr = span
        else:
            message = element.attributes.get("message")
            case.action = ACTIONS[tag]
            case.message = message and message[:LONGEST_MESSAGE]
            kind = element.attributes.get("type")
            case.type = kind and shortened(kind)
            case.value = span

    def _close_case(self, case: _OpenCase) -> None:
        suite, attributes = case.suite, case.attributes
        microseconds = _microseconds(attributes.get("time", ""))
        name, classname = shortened(attributes.get("name", "")), shortened(attributes.get("classname", ""))
        seconds = microseconds / MICROSECONDS
        texts = (case.message, case.type, case.value, case.stdout, case.stderr)
        self._cases.append(Case(suite.opened, suite.tests, name, classname, seconds, case.action, *texts))
        suite.microseconds += microseconds
        suite.tests += 1
        if case.action == "success":
            suite.success += 1
        elif case.action == "failure":
            suite.failures += 1
        elif case.action == "skipped":
            suite.skipped += 1
        else:
            suite.errors += 1

    def _summary(self) -> Summary:
        suites = self._suites
        return Summary(
            suites,
            total=sum(suite.tests for suite in suites),
            success=sum(suite.success for suite in suites),
            skips=sum(suite.skipped for suite in suites),
            failures=sum(suite.failures for suite in suites),
            errors=sum(suite.errors for suite in suites),
            time=_whole_seconds(sum(suite.microseconds for suite in suites)),
        )


ACTIONS: dict[str, Action] = {"skipped": "skipped", "error": "error", "failure": "failure"}
TEXTS = {*ACTIONS, "system-out", "system-err"}


class TextReader:
    """The text in a range of a file that was accepted, nested elements included; of a cut range, what is complete.

    It comes in pieces, so that a text of megabytes is never whole in memory.
    """

    def __init__(self, encoding: str) -> None:
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("ignore")
        self._texts: list[str] = []
        self._open_sections: list[bool] = []
        self._is_cut = False
        self._parser = expat.ParserCreate("utf-8")
        self._parser.CharacterDataHandler = self._texts.append
        self._parser.StartCdataSectionHandler = lambda: self._open_sections.append(True)
        self._parser.EndCdataSectionHandler = self._open_sections.clear
        self._parse(b"<text>")

    def feed(self, piece: bytes | memoryview) -> str:
        self._parse(piece if self._decoder is None else self._decoder.decode(piece).encode())
        return self._taken()

    def close(self) -> str:
        """What is held back until it is known not to be part of something longer, like a carriage return."""
        if not self._open_sections:
            self._parse(b"</text>", is_final=True)
        return self._taken()

    def _parse(self, piece: bytes | memoryview, is_final: bool = False) -> None:
        if self._is_cut:
            return
        try:
            self._parser.Parse(piece, is_final)
        except expat.ExpatError:
            # The fragment was cut here; all that comes before has been delivered.
            self._is_cut = True

    def _taken(self) -> str:
        text = "".join(self._texts)
        self._texts.clear()
        return text


def read_text(fragment: bytes | memoryview, encoding: str) -> Iterator[str]:
    """A text that is in memory, in pieces."""
    reader = TextReader(encoding)
    for start in range(0, len(fragment), TEXT_PIECE):
        yield reader.feed(fragment[start : start + TEXT_PIECE])
    yield reader.close()


def shortened(name: str) -> str:
    """What a row keeps of a name. Two that differ only beyond it stay two: a digest stands for what is left out."""
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_LENGTH_OF_DIGEST]
    return f"{name[: LONGEST_NAME - _LENGTH_OF_DIGEST - 1]}…{digest}"


def _microseconds(text: str) -> int:
    """0 for what is no number, infinite, or longer than a duration can be (junit.md §2.3)."""
    try:
        seconds = float(text)
    except ValueError:
        return 0
    return round(seconds * MICROSECONDS) if -LONGEST_TIME <= seconds <= LONGEST_TIME else 0


def _whole_seconds(microseconds: int) -> int:
    """Half away from zero, and within what the column holds."""
    whole = min((abs(microseconds) + MICROSECONDS // 2) // MICROSECONDS, LARGEST_INTEGER)
    return whole if microseconds >= 0 else -whole
