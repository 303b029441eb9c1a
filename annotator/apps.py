"""The one Django app of the web side."""

from importlib import import_module

from django.apps import AppConfig

# They register kinds of jobs and sweeps with annotator.jobs.kinds.
REGISTERING = (
    "annotator.jobs.services",
    "annotator.queue.mining",
    "annotator.data.imports",
    "annotator.data.import_undo",
    "annotator.data.box_drawing",
    "annotator.data.scenes_job",
    "annotator.data.feed_import",
    "annotator.data.feed_looks",
    "annotator.data.exports",
    "annotator.data.snapshots",
    "annotator.data.publications",
    "annotator.data.bulk_actions",
    "annotator.data.leftovers",
    "annotator.data.trash",
    "annotator.data.uploads",
    "annotator.registry.memory_plans",
    "annotator.registry.training_runs",
    "annotator.registry.gating",
    "annotator.registry.evaluating",
    "annotator.registry.mirror",
    "annotator.registry.run_retention",
    "annotator.registry.triggers",
    "annotator.registry.version_retention",
    "annotator.predict.services",
    "annotator.label_studio.pull",
    "annotator.label_studio.push",
    "annotator.label_studio.spool",
)


class AnnotatorConfig(AppConfig):
    name = "annotator"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        for module in REGISTERING:
            import_module(module)
