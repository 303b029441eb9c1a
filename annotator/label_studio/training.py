"""«Start training», pressed in Label Studio: many presses, one retrain."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from annotator.common.errors import RoostError
from annotator.models import LabelStudioLink, TrainingRun
from annotator.registry.training_runs import retrain_start


def training_answer(*, link: LabelStudioLink) -> dict[str, Any]:
    """Start the retrain that was asked for long enough ago; what forbids it is told, and is no failure of the pull."""
    due = Now() - timedelta(seconds=settings.LABEL_STUDIO_TRAIN_SECONDS)
    asked = LabelStudioLink.objects.filter(pk=link.pk, training_asked_at__lte=due)
    if not asked.exists():
        return {}
    try:
        job = retrain_start(project=link.project, user=None, trigger=TrainingRun.Trigger.LABEL_STUDIO)
        report = {"run": job.training_run.number, "training": "A retrain was started, as Label Studio asked for."}
    except RoostError as error:
        report = {"training": f"Label Studio asked for a retrain. {error}"}
    # Only now: a worker that is killed before this asks again, and hears that the retrain is under way.
    asked.update(training_asked_at=None)
    return report
