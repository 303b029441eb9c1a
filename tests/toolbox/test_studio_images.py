"""Which addresses of a task may be fetched, and who is sent the token."""

import pytest

from toolbox.studio_images import AddressRefused, AddressRules, Token

RULES = AddressRules("https://studio.example/ls/", frozenset({"pictures.example", "other.example:8443"}))


@pytest.mark.parametrize(
    ("address", "url", "is_studio"),
    [
        ("/data/a.png", "https://studio.example/ls/data/a.png", True),
        ("https://STUDIO.example:443/a.png", "https://studio.example/a.png", True),
        ("http://studio.example/a.png", None, None),
        ("https://pictures.example/a.png?sig=%2Fx", "https://pictures.example/a.png?sig=%2Fx", False),
        ("https://pictures.example:8443/a.png", None, None),
        ("https://other.example:8443/a.png", "https://other.example:8443/a.png", False),
        ("https://studio.example.evil.example/a.png", None, None),
        ("https://studio.example@evil.example/a.png", None, None),
        ("https://evil.example\\@studio.example/a.png", None, None),
        ("https://studio.example\\.evil.example/a.png", None, None),
        ("//studio.example/a.png", None, None),
    ],
)
def test_address_is_fetched_from_where_it_may_be(address, url, is_studio):
    if url is None:
        with pytest.raises(AddressRefused):
            RULES.target(address)
        return
    target = RULES.target(address)
    assert (str(target.url), target.is_studio) == (url, is_studio)


def _never(token):
    raise AssertionError("a legacy token is not exchanged")


def test_token_is_sent_to_label_studio_alone():
    token = Token("legacy", _never)
    assert token.headers(RULES.target("/a.png"))["Authorization"] == "Token legacy"
    assert "Authorization" not in token.headers(RULES.target("https://pictures.example/a.png"))
    assert "Authorization" not in Token("", _never).headers(RULES.target("/a.png"))


def test_personal_token_is_exchanged_once_and_never_sent_itself():
    asked = []
    token = Token("a.b.c", lambda personal: asked.append(personal) or "short-lived")
    headers = [token.headers(RULES.target(address)) for address in ("/a", "https://pictures.example/b", "/c")]
    assert [one.get("Authorization") for one in headers] == ["Bearer short-lived", None, "Bearer short-lived"]
    assert asked == ["a.b.c"]
