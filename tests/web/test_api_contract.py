"""Every operation of the API is called for real, and every answer is held against the generated document, deeply.

The calls are in api_cases.py; an operation without a case there fails.
"""

import json
import re

import pytest
from drf_spectacular.validation import validate_schema

from tests import factories
from tests.openapi import assert_as_described, document, errors, operation_of, operations
from tests.web.api_cases import CASES
from tests.web.api_farm import NEVER_REFUSED, POINT, V1, Farm, post


@pytest.fixture
def farm(tiny_barn, api, picture, settings) -> Farm:
    people = (tiny_barn.annotator, tiny_barn.reviewer, tiny_barn.admin, tiny_barn.outsider)
    return Farm(tiny_barn, *(api(one) for one in people), picture, settings)


def test_every_operation_has_a_case():
    assert set(CASES) == set(operations())


def test_document_itself_is_valid_openapi():
    validate_schema(document())


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_answer_is_as_the_document_says(farm, name):
    called = [answer for answer in CASES[name](farm) if answered(answer)]
    own = [answer.status_code for answer in called if operation_of(answer) == name]
    assert any(status < 300 for status in own), own
    assert name in NEVER_REFUSED or any(status >= 400 for status in own), own


def answered(response) -> bool:
    assert_as_described(response)
    return True


@pytest.mark.parametrize("name", sorted(set(CASES) - {f"GET {V1}/schema/"}))
def test_whoever_is_signed_out_is_refused_as_the_document_says(db, api, name):
    method, path = name.split()
    path = re.sub(r"\{(?!slug)\w+\}", "1", path)
    refused = getattr(api(None), method.lower())(path.replace("{slug}", "barn"), {}, format="json")
    assert refused.status_code == 401
    assert_as_described(refused)


def test_backend_that_is_away_is_told_as_the_document_says(barn, api, no_backend):
    held = factories.make_task(barn.project, holder=barn.annotator)
    bodies = {
        "click": {"points": [POINT]},
        "similar": {"exemplars": [{"box": [1, 1, 9, 9]}]},
        "mask": {"mask_id": "a", "threshold": 1},
    }
    for verb, body in bodies.items():
        refused = post(api(barn.annotator), f"{V1}/tasks/{held.pk}/{verb}", body)
        assert refused.status_code == 503
        assert_as_described(refused)


@pytest.mark.parametrize(
    "change", [{"more": 1}, {"number": "1"}, {"colour": None}, {"name": ...}], ids=["new", "kind", "null", "gone"]
)
def test_answer_with_another_field_kind_or_gap_would_be_found(change):
    row = {"id": 1, "number": 1, "name": "hen", "colour": "#123456"} | change
    body = {key: value for key, value in row.items() if value is not ...}
    content = {"schema": {"$ref": "#/components/schemas/Concept"}}
    assert len(errors(json.loads(json.dumps(body)), content)) == 1
    assert errors({"id": 1, "number": 1, "name": "hen", "colour": "#123456"}, content) == []
