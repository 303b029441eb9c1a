"""What the gallery's new columns say about the rows that were there before. Apart from 0014: Postgres indexes no table
in the transaction that has just filled it."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import F, Max, Min, OuterRef, Subquery


def fill(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    models = {
        name: apps.get_model("annotator", name) for name in ("Pair", "Task", "Prediction", "Annotation", "Review")
    }
    image = models["Pair"].objects.filter(pk=OuterRef("pair_id")).values("image_id")[:1]
    for name in ("Task", "Prediction"):
        models[name].objects.filter(image=None).update(image_id=Subquery(image))
    answered = (
        models["Annotation"].objects.order_by().values("pair_id").annotate(low=Min("verdict"), high=Max("verdict"))
    )
    differing = answered.exclude(low=F("high")).values("pair_id")
    models["Pair"].objects.filter(pk__in=differing).update(answers_differ=True)
    corrected = models["Review"].objects.exclude(decision="approve").values("annotation__pair_id")
    models["Pair"].objects.filter(pk__in=corrected).update(was_corrected=True)


class Migration(migrations.Migration):
    dependencies = [("annotator", "0017_gallery")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
