"""The Celery application. Queues: default (imports, exports, snapshots), inference (mining), training (retrains)."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

app = Celery("roost")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["annotator.jobs"], related_name="tasks")
app.autodiscover_tasks(["annotator.jobs"], related_name="workers")
