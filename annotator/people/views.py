"""Who may do what, who holds what."""

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotator.common.access import has_role, members_active
from annotator.common.shell import ADMIN, REVIEWER, page, project_page, refusals_told, whole_number
from annotator.models import Membership, Project
from annotator.queue.assignments import task_reassign
from annotator.queue.leases import lease_release_by_admin

from .agreement_page import agreements_of
from .audit_page import audit_page
from .forms import InvitationForm, MemberForm
from .invitations import invitation_create, invitation_revoke
from .open_invitations import invitations_open
from .people_page import people_of
from .quality import NEWEST, figures_of
from .services import account_switch, member_invite, member_set


@require_http_methods(["GET", "HEAD", "POST"])
@project_page(REVIEWER)
def people(request: HttpRequest, project: Project) -> HttpResponse:
    """The list for reviewers and admins; POST adds a member and is the admins' alone."""
    if request.method == "POST":
        return add(request, slug=project.slug)
    return _page(request, project, MemberForm())


@require_POST
@project_page(ADMIN)
def add(request: HttpRequest, project: Project) -> HttpResponse:
    form = MemberForm(request.POST)
    if not form.is_valid():
        return _page(request, project, form, status=400)
    with refusals_told(request, form):
        member, password = member_invite(project=project, user=request.user, **form.cleaned_data)
        messages.success(request, f"{member.get_username()} is {form.cleaned_data['role']} of {project.name} now.")
        return _page(request, project, MemberForm(), invited=member, password=password)
    return _page(request, project, form, status=400)


@require_POST
@project_page(ADMIN)
def invite(request: HttpRequest, project: Project) -> HttpResponse:
    """A link for one person, shown on the answer and never again."""
    form = InvitationForm(request.POST)
    if form.is_valid():
        with refusals_told(request, form):
            token = invitation_create(project=project, user=request.user, **form.cleaned_data)
            link = request.build_absolute_uri(reverse("join", args=[token]))
            return _page(request, project, MemberForm(), link=link, link_for=form.cleaned_data["note"])
    return _page(request, project, MemberForm(), status=400, invitation_form=form)


@require_POST
@project_page(ADMIN)
def revoke(request: HttpRequest, project: Project, invitation_id: int) -> HttpResponse:
    invitation = project.invitations.filter(pk=invitation_id, used_at=None).first()
    if invitation is None:
        raise Http404
    invitation_revoke(invitation=invitation, user=request.user)
    messages.success(request, f"The link for {invitation.note or 'nobody in particular'} is no good any more.")
    return redirect("people", project.slug)


@require_POST
@project_page(ADMIN)
def switch(request: HttpRequest, project: Project, user_id: int) -> HttpResponse:
    """Close a member's account, or open it again."""
    member = _member(project, user_id)
    active = request.POST.get("active") == "yes"
    with refusals_told(request):
        account_switch(project=project, member=member, active=active, user=request.user)
        words = "can log in again" if active else "can't log in any more; what they held is free"
        messages.success(request, f"{member.get_username()} {words}.")
    return redirect("people", project.slug)


def _page(request: HttpRequest, project: Project, form: MemberForm, status: int = 200, **more: object) -> HttpResponse:
    context = {
        "people": people_of(project=project),
        "members": members_active(project=project),
        "form": form,
        "invitation_form": InvitationForm(),
        "invitations": invitations_open().filter(project=project).select_related("created_by"),
        "roles": Membership.Role.choices,
        **more,
    }
    response = page(request, "people/people.html", context, project=project, status=status)
    if more.get("password") or more.get("link"):
        response["Cache-Control"] = "no-store"
    return response


def _member(project: Project, user_id: int) -> AbstractBaseUser:
    member = get_user_model().objects.filter(pk=user_id, memberships__project=project).first()
    if member is None:
        raise Http404
    return member


@require_POST
@project_page(ADMIN)
def change(request: HttpRequest, project: Project, user_id: int) -> HttpResponse:
    """Another role, or none: out of the project."""
    member = _member(project, user_id)
    with refusals_told(request):
        member_set(project=project, member=member, role=request.POST.get("role") or None, user=request.user)
        messages.success(request, f"{member.get_username()}: {request.POST.get('role') or 'no longer a member'}.")
    if not has_role(user=request.user, project=project, role=REVIEWER):
        return redirect("home")
    return redirect("people", project.slug)


@require_POST
@project_page(REVIEWER)
def release(request: HttpRequest, project: Project, task_id: int) -> HttpResponse:
    """End somebody's lease; their draft stays."""
    task = project.tasks.select_related("holder", "project").filter(pk=task_id).first()
    if task is None:
        raise Http404
    with refusals_told(request):
        lease_release_by_admin(task=task, admin=request.user)
        messages.success(request, "The task is back in the queue; its holder's draft is kept.")
    return redirect("people", project.slug)


@require_POST
@project_page(REVIEWER)
def reassign(request: HttpRequest, project: Project, task_id: int) -> HttpResponse:
    """Keep a task for somebody; back to the page with the button."""
    task = project.tasks.filter(pk=task_id).first()
    member_id = whole_number(request.POST.get("member"))
    member = get_user_model().objects.filter(pk=member_id, memberships__project=project).first()
    if task is None or member is None:
        raise Http404
    with refusals_told(request):
        task_reassign(task=task, member=member, user=request.user)
        messages.success(request, f"It is the next task that {member.get_username()} gets.")
    return redirect("queue" if request.POST.get("from") == "queue" else "people", project.slug)


@require_safe
@project_page(REVIEWER)
def figures(request: HttpRequest, project: Project) -> HttpResponse:
    """Apart from the page, because it reads masks: the list stands while they are compared."""
    found = figures_of(project=project)
    by_person, by_concept = agreements_of(project=project)
    context = {
        "project": project,
        "figures": found,
        "newest": NEWEST,
        "known": any(row.known.whole for row in found),
        "by_person": by_person,
        "by_concept": by_concept,
    }
    return render(request, "people/figures.html", context)


@require_safe
@project_page(ADMIN)
def audit(request: HttpRequest, project: Project) -> HttpResponse:
    before = whole_number(request.GET.get("before"))
    events, more = audit_page(project=project, before=before)
    return page(request, "people/audit.html", {"events": events, "more": more}, project=project)
