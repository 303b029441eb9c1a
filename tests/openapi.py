"""Real answers against the generated OpenAPI document: deeply, and nothing may be there that it does not name."""

import json
import re
from datetime import datetime
from functools import cache
from typing import Any

from django.urls import resolve
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

formats = FormatChecker(formats=())


@formats.checks("date-time", raises=ValueError)
def is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@cache
def document() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


def operations() -> dict[str, dict]:
    """ "POST /api/v1/projects/{slug}/claim": what the document says about it."""
    paths = document()["paths"].items()
    return {f"{method.upper()} {path}": told for path, methods in paths for method, told in methods.items()}


def operation_of(response) -> str:
    """The name in `operations()` of what the test client asked for."""
    asked = response.request
    route = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", resolve(asked["PATH_INFO"]).route)
    return f"{asked['REQUEST_METHOD']} /{route}"


def assert_as_described(response) -> None:
    """The status, the kind of content and every field at every depth are what the document says."""
    name = operation_of(response)
    answers = operations()[name]["responses"]
    assert str(response.status_code) in answers, f"{name} is not said to answer {response.status_code}"
    content = answers[str(response.status_code)].get("content", {})
    kind = response.get("Content-Type", "").partition(";")[0]
    assert kind in content if content else not response.content, f"{name}: {kind or 'nothing'} is not described"
    if kind.endswith("json"):
        wrong = [f"{one.json_path}: {one.message}" for one in errors(json.loads(response.content), content[kind])]
        assert wrong == [], f"{name} answers {response.status_code}"


def errors(body: Any, content: dict) -> list:
    schema = strict({"components": document()["components"], **content["schema"]})
    return list(Draft202012Validator(schema, format_checker=formats).iter_errors(body))


def strict(node: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: `nullable` becomes a choice; an object has what it names alone."""
    if isinstance(node, list):
        return [strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    plain = {key: strict(value) for key, value in node.items() if key != "nullable"}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        plain.setdefault("additionalProperties", False)
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain
