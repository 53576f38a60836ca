# SPDX-License-Identifier: Apache-2.0
"""Examples for the document, made from the schemas: what a field is called says what it looks like."""

from collections.abc import Mapping
from typing import Any, cast

_ID = "2f1d4c1e-6b0a-4d0e-9a55-0c7a3d8f9b21"
_MOMENT = "2026-11-15T10:20:30.123456"
_SAMPLES: Mapping[str, object] = {
    "action": "create_teams",
    "after": 4711,
    "answer": "ok",
    "attempts": 1,
    "api_secret": "DCI." + "x7" * 30,
    "canonical_project_name": "RHEL 9.6",
    "classname": "smoke",
    "client_version": "python-dciclient_4.2.0",
    "comment": "nightly run",
    "component_types": ["compose"],
    "component_types_optional": [],
    "components": [_ID],
    "components_ids": [_ID],
    "configuration": "two nodes",
    "count": 1,
    "country": "FR",
    "current_password": "what it was",
    "display_name": "RHEL-9.6.0-20261115.0",
    "duration": 4211,
    "email": "alice@example.org",
    "event_types": ["job_finished"],
    "etag": "3d5f0a9c8b7e4d21a6c05f1e2b3c4d5e",
    "filename": "smoke",
    "first": 1,
    "fullname": "Alice Example",
    "key": "installation_seconds",
    "label": "RHEL",
    "last": 4711,
    "md5": None,
    "message": "",
    "mime": "text/plain",
    "new_password": "a long new one",
    "password": "a long one",
    "size": 2048,
    "secret": "DCI." + "x7" * 30,
    "sso_username": "alice",
    "status": "success",
    "status_code": 400,
    "statuses": ["failure", "error"],
    "status_reason": "",
    "tags": ["build:nightly"],
    "teams_ids": [_ID],
    "topic_ids": [_ID],
    "remoteci_ids": [_ID],
    "time": 17,
    "timezone": "UTC",
    "title": "",
    "total": 4,
    "type": "compose",
    "uid": "",
    "url": "https://builds.example.org/RHEL-9.6.0-20261115.0",
    "user_agent": "python-dciclient_4.2.0",
    "value": "1",
    "version": "9.6.0-20261115.0",
}
_NAMES: Mapping[str, str] = {
    "Component": "RHEL-9.6.0-20261115.0",
    "Feeder": "builds",
    "File": "install.log",
    "Identity": "alice",
    "Job": "nightly",
    "Pipeline": "nightly",
    "Product": "RHEL",
    "Remoteci": "lab-1",
    "Result": "smoke",
    "Subscriber": "alice",
    "Team": "Partner",
    "Topic": "RHEL-9.6",
    "User": "alice",
    "Webhook": "chat",
}
_DEEPEST = 8


class Examples:
    """`components` are the schemas by name."""

    def __init__(self, components: Mapping[str, Any]) -> None:
        self._components = components

    def of(self, schema: Mapping[str, Any], name: str = "", owner: str = "", depth: int = 0) -> object:
        """A value that fits the schema, under the name that its field has in the object `owner`."""
        if "$ref" in schema:
            target = cast("str", schema["$ref"]).rpartition("/")[2]
            return self.of(self._components[target], name, target, depth)
        if "anyOf" in schema:
            return self._of_alternatives(schema["anyOf"], name, owner, depth)
        if "enum" in schema:
            return _SAMPLES[name] if _SAMPLES.get(name) in schema["enum"] else schema["enum"][0]
        match schema.get("type"):
            case "object":
                return self._of_object(schema, depth)
            case "array":
                return self._of_array(schema, name, depth)
            case "string":
                return _text(name, owner, schema)
            case "integer" | "number":
                sample = _SAMPLES.get(name, 0)
                return sample if isinstance(sample, int | float) else 0
            case "boolean":
                return False
            case _:
                return _SAMPLES.get(name)

    def _of_alternatives(self, alternatives: list[Mapping[str, Any]], name: str, owner: str, depth: int) -> object:
        values = [each for each in alternatives if each.get("type") != "null"]
        is_nullable = len(values) < len(alternatives)
        if is_nullable and (depth > _DEEPEST or name.startswith(("previous", "next", "update_previous", "sso_sub"))):
            return None
        return self.of(values[0], name, owner, depth)

    def _of_object(self, schema: Mapping[str, Any], depth: int) -> object:
        fields = cast("Mapping[str, Mapping[str, Any]]", schema.get("properties", {}))
        owner = str(schema.get("title", ""))
        return {name: self.of(field, name, owner, depth + 1) for name, field in fields.items()}

    def _of_array(self, schema: Mapping[str, Any], name: str, depth: int) -> object:
        item = schema.get("items")
        sample = _SAMPLES.get(name)
        if isinstance(sample, list) and (not item or "$ref" not in item):
            return cast("object", sample)
        return [self.of(item, name, "", depth + 1)] if item and depth <= _DEEPEST else []


def _text(name: str, owner: str, schema: Mapping[str, Any]) -> str:
    if name == "id" or name.endswith("_id"):
        return _ID
    if name.endswith("_at"):
        return _MOMENT
    sample = _SAMPLES.get(name)
    if isinstance(sample, str):
        return sample
    if name == "name":
        return next((text for noun, text in _NAMES.items() if noun in owner), "smoke")
    return _ID if schema.get("format") == "uuid" else ""
