"""The Celery application. Queues: default (imports, exports, snapshots), inference (mining), training (retrains)."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

import annotator.jobs.broker  # noqa: F401  registers fsatomic://

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

app = Celery("roost")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["annotator.jobs"])


@worker_ready.connect
def _begin_sweeping(sender: Any, **kwargs: Any) -> None:
    from annotator.jobs import workers

    workers.worker_started(name=str(sender.hostname))


@worker_shutting_down.connect
def _stop_jobs(**kwargs: Any) -> None:
    from annotator.jobs import workers

    workers.worker_stopping()
