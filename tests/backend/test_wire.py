"""Parsing that needs no server: what configuration may leave out, and odd numbers."""

from __future__ import annotations

import pytest

from mlbackend.errors import ApiError
from mlbackend.server.wire import parse_click, parse_json, parse_predict
from mlbackend.settings import Settings, SettingsError, read_settings

PREDICT = {"model_version": "demo", "images": ["0" * 64]}


def test_concepts_fixed_by_configuration_need_not_be_sent() -> None:
    assert parse_predict(PREDICT, default_concepts=("chicken",)).concepts == ("chicken",)
    asked = parse_predict(PREDICT | {"concepts": ["duck"]}, default_concepts=("chicken",))
    assert asked.concepts == ("duck",)


def test_without_configured_concepts_they_must_be_sent() -> None:
    with pytest.raises(ApiError, match="concepts must be a list"):
        parse_predict(PREDICT)


@pytest.mark.parametrize("number", ["1e400", "1e12", "-Infinity", "true", "null", "[]"])
def test_coordinates_must_be_finite_numbers(number: str) -> None:
    image = "0" * 64
    body = f'{{"model_version": "demo", "image": "{image}", "points": [{{"x": {number}, "y": 1, "label": 1}}]}}'
    with pytest.raises(ApiError) as refusal:
        parse_click(parse_json(body.encode()))
    assert refusal.value.status == 400


@pytest.mark.parametrize("body", [b'{"a": "\\ud83d"}', b'{"a": "\\udc14\\ud83d"}', b'{"a": "\xed\xa0\x80"}'])
def test_half_a_character_is_no_text(body: bytes) -> None:
    with pytest.raises(ApiError, match="not valid JSON"):
        parse_json(body)


def test_character_in_two_halves_is_text() -> None:
    assert parse_json(b'{"a": "\\ud83d\\udc14"}') == {"a": "\U0001f414"}


def test_preview_is_a_claim() -> None:
    body = {"model_version": "demo", "image": "0" * 64, "points": [{"x": 1, "y": 1, "label": 1}]}
    assert parse_click(body | {"preview": True}).preview
    with pytest.raises(ApiError, match="preview must be true or false"):
        parse_click(body | {"preview": 1})


def test_settings_come_from_the_environment() -> None:
    settings = read_settings(
        {
            "ROOST_LS_HOSTS": "a.example, B.example:8080",
            "ROOST_LS_NETWORKS": "10.0.0.0/8",
            "ROOST_CONCEPTS": "chicken,duck",
        }
    )
    assert settings.ls_hosts == ("a.example", "b.example:8080")
    assert settings.concepts == ("chicken", "duck")
    assert [str(network) for network in settings.fetch_rules().networks] == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    "environ",
    [
        {"ROOST_MLBACKEND_PORT": "99999"},
        {"ROOST_DEVICE": "tpu"},
        {"ROOST_ONNX_CLICK": "yes"},
        {"ROOST_HOT_MB": "-1"},
    ],
)
def test_nonsense_settings_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(environ))):
        read_settings(environ)


def test_bad_network_is_refused() -> None:
    with pytest.raises(SettingsError, match="ROOST_LS_NETWORKS"):
        Settings(ls_networks=("10.0.0.0/99",)).fetch_rules()
