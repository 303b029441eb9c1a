"""An invitation's link: the one page on which somebody without an account can make one."""

from django.contrib import messages
from django.contrib.auth import login
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from annotator.common.errors import RoostError
from annotator.common.shell import page, posted, refusals_told
from annotator.models import Invitation

from .forms import JoinForm
from .invitations import invitation_accept
from .open_invitations import invitation_find

BACKEND = "django.contrib.auth.backends.ModelBackend"


@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Who is logged in joins by one button; anybody else makes an account first."""
    try:
        invitation = invitation_find(token=token)
    except RoostError as error:
        return _page(request, None, JoinForm(), error.http_status, str(error))
    if request.user.is_authenticated:
        return _join_as(request, invitation, token)
    form = JoinForm(posted(request))
    if request.method == "POST" and form.is_valid():
        name, password = form.cleaned_data["username"], form.cleaned_data["password1"]
        with refusals_told(request, form):
            member = invitation_accept(token=token, username=name, password=password)
            login(request, member, backend=BACKEND)
            return _welcome(request, invitation)
    return _page(request, invitation, form, 400 if form.errors else 200)


def _join_as(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    if request.method == "POST":
        with refusals_told(request):
            invitation_accept(token=token, user=request.user)
            return _welcome(request, invitation)
    return _page(request, invitation, JoinForm(), 200)


def _welcome(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    messages.success(request, f"Welcome to {invitation.project.name}; you are {invitation.role} here.")
    return redirect("project", invitation.project.slug)


def _page(
    request: HttpRequest, invitation: Invitation | None, form: BaseForm, status: int, gone: str = ""
) -> HttpResponse:
    context = {"invitation": invitation, "form": form, "gone": gone}
    response = page(request, "people/join.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response
