"""A person's own things: API tokens."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from annotator.common.shell import log_in_first, page, posted

from .forms import TokenForm
from .tokens import token_create, token_revoke


@require_http_methods(["GET", "HEAD", "POST"])
@log_in_first
def tokens(request: HttpRequest) -> HttpResponse:
    """The list; POST makes one and shows it this once."""
    form, token = TokenForm(posted(request)), None
    if request.method == "POST" and form.is_valid():
        token, form = token_create(user=request.user, **form.cleaned_data), TokenForm()
    context = {"form": form, "token": token, "tokens": request.user.api_tokens.order_by("-id")}
    response = page(request, "people/tokens.html", context, status=400 if form.errors else 200)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@log_in_first
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    token = request.user.api_tokens.filter(pk=token_id).first()
    if token is None:
        raise Http404
    token_revoke(token=token, user=request.user)
    messages.success(request, f"«{token.name}» is revoked.")
    return redirect("tokens")
