"""Jobs as their pages show them."""

from annotator.models import Job, Project

PAGE = 50


def jobs_page(*, project: Project, kind: str = "", before: int | None = None) -> tuple[list[Job], int | None]:
    """Newest first, without their (possibly long) reports; and the id to go on from, None at the end."""
    jobs = project.jobs.select_related("created_by").defer("report", "params")
    jobs = jobs.filter(kind=kind) if kind in Job.Kind.values else jobs
    jobs = jobs.filter(id__lt=before) if before else jobs
    rows = list(jobs.order_by("-id")[: PAGE + 1])
    return rows[:PAGE], rows[PAGE - 1].pk if len(rows) > PAGE else None


def newest_job(*, project: Project, kind: str) -> Job | None:
    return project.jobs.filter(kind=kind).order_by("-id").first()


def newest_jobs(*, project: Project, kind: str, limit: int) -> list[Job]:
    return list(project.jobs.filter(kind=kind).order_by("-id")[:limit])
