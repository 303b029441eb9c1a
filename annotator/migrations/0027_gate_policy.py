"""The gate's policy has margins instead of a rise that is allowed, and a run may be judged more than once."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


def give_margins(apps, schema_editor):
    """Whoever allowed no rise at all had the default: the margin's own default takes its place."""
    apps.get_model("annotator", "Project").objects.filter(gate_alarm_margin=0).update(gate_alarm_margin=0.02)


def name_snapshots(apps, schema_editor):
    decisions = apps.get_model("annotator", "GateDecision").objects
    runs = apps.get_model("annotator", "TrainingRun").objects
    for gate in decisions.select_related("run").only("run__snapshot_id"):
        decisions.filter(pk=gate.pk).update(snapshot_id=gate.run.snapshot_id)
        runs.filter(pk=gate.run_id).update(gate_id=gate.pk)


class Migration(migrations.Migration):
    dependencies = [("annotator", "0026_run_cost")]

    operations = [
        migrations.RenameField("project", "gate_max_fpr_rise", "gate_alarm_margin"),
        migrations.RenameField("project", "gate_bootstrap_rounds", "gate_bootstrap"),
        migrations.RunPython(give_margins, migrations.RunPython.noop),
        migrations.AlterField(
            "gatedecision",
            "run",
            models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="gates", to="annotator.trainingrun"
            ),
        ),
        migrations.AddField(
            "gatedecision",
            "snapshot",
            models.ForeignKey(
                help_text="Whose holdout",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="gate_decisions",
                to="annotator.snapshot",
            ),
        ),
        migrations.AddField(
            "trainingrun",
            "gate",
            models.OneToOneField(
                blank=True,
                help_text="The newest decision",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="annotator.gatedecision",
            ),
        ),
        migrations.RunPython(name_snapshots, migrations.RunPython.noop),
    ]
