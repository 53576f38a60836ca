# SPDX-License-Identifier: Apache-2.0
"""The types that request and answer shapes are made of."""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw

from dci_server.foundation.errors import ApiError

UUID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

# The length is said too because `$` lets a line break through.
Id: TypeAlias = Annotated[str, Meta(pattern=UUID_PATTERN, max_length=36, extra_json_schema={"format": "uuid"})]
"""Stricter in bodies than in paths: lower case, with hyphens (conventions §8)."""

Url: TypeAlias = Annotated[str, Meta(pattern="^https?://", extra_json_schema={"format": "uri"})]
UrlOrEmpty: TypeAlias = Annotated[str, Meta(pattern=r"^(https?://|(?![\s\S]))", extra_json_schema={"format": "uri"})]
NonEmpty: TypeAlias = Annotated[str, Meta(min_length=1)]
Email: TypeAlias = Annotated[str, Meta(pattern="@", extra_json_schema={"format": "email"})]
State: TypeAlias = Literal["active", "inactive", "archived"]
Status: TypeAlias = Literal["new", "pre-run", "running", "post-run", "success", "failure", "killed", "error"]
JsonObject: TypeAlias = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]
"""An object that is stored as it was sent: no tree of it is built."""

Tags: TypeAlias = list[str | int | float | bool | None]
"""What `clean_tags` understands. Unlike `list[object]`, no tree can grow in it while it is read."""

GivenTags: TypeAlias = Annotated[
    list[Any], Meta(extra_json_schema={"items": {"type": ["string", "number", "boolean", "null"]}})
]
"""The same, where what is nested is answered in the contract's words and not in those of a shape."""
GivenIds: TypeAlias = Annotated[list[Any], Meta(extra_json_schema={"items": {"type": "string", "format": "uuid"}})]
GivenMoment: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""What is not that strict is read too (`read_moment`)."""

_REFUSED_TAGS = (
    "We are unable to create this resource. Please contact a DCI administrator. "
    "Tags are either all texts or all numbers; write each as a text."
)


class Count(msgspec.Struct):
    """How many rows there are before limit and offset."""

    count: int


_MOST_TAGS = 1_000


def clean_tags(given: Tags | list[object]) -> list[str]:
    """Blank elements are dropped, numbers become text; a mix or anything nested is refused (jobs.md §12)."""
    if len(given) > _MOST_TAGS:
        raise ApiError(f"there are more than {_MOST_TAGS} tags; keep lists in data or in a file")
    kept = [tag for tag in given if not _is_blank(tag)]
    kinds = {type(tag) for tag in kept}
    if kinds <= {str}:
        return [str(tag) for tag in kept]
    if kinds <= {int, float}:
        return [str(tag) for tag in kept]
    if kinds == {bool}:
        # quirk: a list of booleans is accepted as well (resources.md §6.2); false is blank.
        return ["true" for _ in kept]
    raise ApiError(_REFUSED_TAGS)


def _is_blank(tag: object) -> bool:
    return tag is None or tag == 0 or (isinstance(tag, str) and not tag.strip())


def empty_object() -> Raw:
    """The default of a JsonObject."""
    return Raw(b"{}")
