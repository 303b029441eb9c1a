"""What people had spent when a snapshot was taken is kept with it; counted once for those that there are."""

from django.db import migrations, models
from django.db.models import Count, Max, Q, Sum


def count(apps, schema_editor):
    snapshots, answers = apps.get_model("annotator", "Snapshot"), apps.get_model("annotator", "Annotation")
    makes_label = Q(task__blind=0, revision=1) & ~Q(task__lane__in=("honeypot", "second", "suspect", "incomplete"))
    makes_label &= ~Q(pair__image__split="holdout")
    for snapshot in snapshots.objects.order_by("pk"):
        known = answers.objects.filter(task__project=snapshot.project_id, created_at__lte=snapshot.created_at)
        snapshot.labour = known.order_by().aggregate(
            labels=Count("pk", filter=makes_label),
            answers=Count("pk"),
            timed=Count("pk", filter=Q(active_seconds__gt=0)),
            seconds=Sum("active_seconds", default=0.0),
            through=Max("pk", default=0),
        )
        snapshot.save(update_fields=["labour"])


class Migration(migrations.Migration):
    dependencies = [("annotator", "0034_gate_speed_may_be_empty")]

    operations = [
        migrations.AddField(
            model_name="snapshot",
            name="labour",
            field=models.JSONField(
                default=dict,
                editable=False,
                help_text="What people had spent by then: data/labour.py; empty: not counted yet",
            ),
        ),
        migrations.RunPython(count, migrations.RunPython.noop),
    ]
