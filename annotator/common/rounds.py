"""How often a project has been round the loop."""

from annotator.models import Project


def round_current(*, project: Project) -> int:
    """1 until the first retrain has made a model; one more after each."""
    return 1 + project.training_runs.filter(version__isnull=False).count()
