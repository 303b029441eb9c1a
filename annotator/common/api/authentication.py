"""`Authorization: Token <token>` for scripts; the token's SHA-256 is looked up, never the token."""

import hashlib

from django.db.models import Q
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from annotator.models import ApiToken


class TokenAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple | None:
        scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "token":
            return None
        now = timezone.now()
        digest = hashlib.sha256(token.strip().encode()).hexdigest()
        row = (
            ApiToken.objects.select_related("user")
            .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), token_sha256=digest, user__is_active=True)
            .first()
        )
        if row is None:
            raise AuthenticationFailed("This token is unknown, expired, or its owner is deactivated.")
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
        return row.user, row

    def authenticate_header(self, request: Request) -> str:
        return "Token"


class TokenScheme(OpenApiAuthenticationExtension):
    """How scripts sign in, for the API's document and its «Authorize» button."""

    target_class = "annotator.common.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        words = "`Token <token>`, made on the account page or with `manage.py`"
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": words}
