"""The page of the feeds: what is watched, what came last, what it refused, what the filter misses."""

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from annotator.common.access import ADMIN, has_role
from annotator.common.forms import PlainForm
from annotator.common.shell import page, posted, project_page, refusals_told
from annotator.models import Project

from .feed_judging import SAMPLE_SHARE
from .feeds import LEAST_SECONDS, MOST_SECONDS, feed_add, feed_states, feed_switch
from .forms import PlaceField
from .named_sources import sources_open


class FeedForm(PlainForm):
    place = PlaceField(label="Folder or bucket to watch")
    source = forms.CharField(
        max_length=80, required=False, help_text="Where the images come from: barn 3, camera 2. Empty: the last part."
    )
    interval_seconds = forms.IntegerField(
        label="Seconds between looks", min_value=LEAST_SECONDS, max_value=MOST_SECONDS, initial=60
    )


@require_http_methods(["GET", "HEAD", "POST"])
@project_page()
def feeds(request: HttpRequest, project: Project) -> HttpResponse:
    """GET looks; POST adds one and is the admins' alone."""
    if request.method == "POST":
        return add(request, slug=project.slug)
    return _page(request, project, _form(request))


@project_page(ADMIN)
def add(request: HttpRequest, project: Project) -> HttpResponse:
    form = _form(request)
    if form.is_valid():
        with refusals_told(request, form):
            feed = feed_add(project=project, user=request.user, **form.cleaned_data)
            messages.success(request, f"{feed} is watched; the first images come after the second look.")
            return redirect("feeds", project.slug)
    return _page(request, project, form, status=400)


@require_POST
@project_page(ADMIN)
def switch(request: HttpRequest, project: Project, feed_id: int) -> HttpResponse:
    """Pause it, or go on."""
    feed = project.feeds.filter(pk=feed_id).first()
    if feed is None:
        raise Http404
    with refusals_told(request):
        feed_switch(feed=feed, user=request.user, enabled=request.POST.get("enabled") == "on")
    return redirect("feeds", project.slug)


def _form(request: HttpRequest) -> FeedForm:
    form = FeedForm(posted(request))
    form.fields["place"].prepare(sources_open())
    return form


def _page(request: HttpRequest, project: Project, form: FeedForm, status: int = 200) -> HttpResponse:
    context = {
        "states": feed_states(project=project),
        "form": form,
        "sample_percent": round(100 * SAMPLE_SHARE),
        "may_add": has_role(user=request.user, project=project, role=ADMIN),
    }
    return page(request, "data/feeds.html", context, project=project, status=status)
