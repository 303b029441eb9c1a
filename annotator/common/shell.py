"""What every page shares: the frame (projects, tabs, role), the membership check, refusals told to the person."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.utils import InterfaceError, OperationalError
from django.forms import BaseForm, Form
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse

from annotator.models import Project

from .access import ADMIN, ANNOTATOR, RANK, REVIEWER, may_create_project, memberships_of, project_for
from .database_trouble import database_trouble
from .errors import RoostError

MODEL_PAGES = ("predictions", "version", "evaluations", "evaluation", "version-compare", "gates", "gate")
# (label, address, least role, further addresses that light the same tab)
TABS = (
    ("Home", "project", ANNOTATOR, ("curve",)),
    ("Images", "images", ANNOTATOR, ("image", "changes", "trash", "splits", "feeds")),
    ("Queue", "queue", ANNOTATOR, ("frames",)),
    ("Desk", "desk", ANNOTATOR, ("desk-task",)),
    ("Review", "reviews", REVIEWER, ("review", "reviews-certain")),
    ("Data", "snapshots", ANNOTATOR, ("snapshot", "snapshot-difference")),
    ("Training", "training", ANNOTATOR, ("run",)),
    ("Models", "models", ANNOTATOR, MODEL_PAGES),
    ("Jobs", "jobs", ANNOTATOR, ("job",)),
    ("People", "people", REVIEWER, ()),
    ("Settings", "settings", ADMIN, ("concept", "label-studio")),
    ("Audit", "audit", ADMIN, ()),
)


@dataclass(frozen=True)
class Tab:
    label: str
    url: str
    current: bool


def log_in_first(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """To the log-in page and back; a poll from a page left open has its page read anew, which leads there as well."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated and "HX-Request" in request.headers:
            return HttpResponse(status=401, headers={"HX-Refresh": "true"})
        return login_required(view)(request, *args, **kwargs)

    return inner


def project_page(role: str = ANNOTATOR) -> Callable:
    """Log-in first; then the view gets the project instead of its slug: 404 for outsiders, 403 below `role`."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @log_in_first
        @wraps(view)
        def inner(request: HttpRequest, slug: str, **kwargs: Any) -> HttpResponse:
            return view(request, project_for(request.user, slug, role=role), **kwargs)

        return inner

    return decorate


def page(
    request: HttpRequest,
    template: str,
    context: dict | None = None,
    *,
    project: Project | None = None,
    status: int = 200,
) -> HttpResponse:
    """Render a whole page: the frame's context and the page's own."""
    memberships = list(memberships_of(user=request.user))
    role = next((row.role for row in memberships if project and row.project_id == project.pk), None)
    frame = {
        "project": project,
        "role": role,
        "is_admin": role == ADMIN,
        "is_reviewer": role in (REVIEWER, ADMIN),
        "may_create": may_create_project(user=request.user, roles={row.role for row in memberships}),
        "my_projects": [row.project for row in memberships],
        "tabs": _tabs(request, project, role) if project and role else [],
    }
    return render(request, template, frame | (context or {}), status=status)


def _tabs(request: HttpRequest, project: Project, role: str) -> list[Tab]:
    here = request.resolver_match.url_name if request.resolver_match else ""
    return [
        Tab(label=label, url=reverse(name, args=[project.slug]), current=here == name or here in more)
        for label, name, least, more in TABS
        if RANK[role] >= RANK[least]
    ]


@contextmanager
def refusals_told(request: HttpRequest, form: BaseForm | None = None) -> Iterator[None]:
    """A service's refusal becomes the form's error, also beside the fields it names, or else a message."""
    try:
        yield
    except RoostError as error:
        if form is None:
            messages.error(request, str(error))
            return
        form.add_error(None, str(error))
        for name, text in (error.fields or {}).items():
            if name in form.fields:
                form.add_error(name, text)
    except (OperationalError, InterfaceError) as error:
        trouble = database_trouble(error)
        if trouble is None:
            raise
        messages.error(request, str(trouble))


def whole_number(text: str | None) -> int | None:
    """An id out of an address, or None when it is none that a database could hold."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 18 else None


def posted(request: HttpRequest) -> QueryDict | None:
    """A form's data: what was posted, even if that is nothing at all; None on GET."""
    return request.POST if request.method == "POST" else None


def errors_told(request: HttpRequest, form: Form) -> None:
    """On the next page, each with its field's name: an action has no page of its own to show its form on."""
    for name, errors in form.errors.items():
        label = form.fields[name].label or name.replace("_", " ").capitalize() if name in form.fields else ""
        for error in errors:
            messages.error(request, f"{label}: {error}" if label else error)


def desk_urls(project: Project) -> dict[str, str]:
    names = ("project", "queue", "desk", "reviews")
    return {"api": "/api/v1/"} | {name: reverse(name, args=[project.slug]) for name in names}
