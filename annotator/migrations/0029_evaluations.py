"""Evaluations are kept one by one with their files, and the gate judges versions that no run made."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def name_gates(apps, schema_editor):
    """All evaluations so far were made for the gate: the newest decision on the snapshot that knew the version."""
    evaluations = apps.get_model("annotator", "Evaluation").objects
    decisions = apps.get_model("annotator", "GateDecision").objects.order_by("-pk")
    for evaluation in evaluations.only("pk", "project_id", "snapshot_id", "version_id"):
        here = decisions.filter(project_id=evaluation.project_id, snapshot_id=evaluation.snapshot_id)
        either = models.Q(challenger_id=evaluation.version_id) | models.Q(champion_id=evaluation.version_id)
        gate = here.filter(either).first() or here.first()  # or it was the model as shipped
        if gate is not None:
            evaluations.filter(pk=evaluation.pk).update(gate_id=gate.pk)


class Migration(migrations.Migration):

    dependencies = [
        ('annotator', '0028_gate_policy_columns'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='evaluation',
            options={'ordering': ['-id']},
        ),
        migrations.RemoveConstraint(
            model_name='evaluation',
            name='evaluation_once',
        ),
        migrations.AddField(
            model_name='evaluation',
            name='asked_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='evaluation',
            name='folder',
            field=models.CharField(blank=True, help_text='Empty: its files were not kept', max_length=200),
        ),
        migrations.AddField(
            model_name='evaluation',
            name='gate',
            field=models.ForeignKey(blank=True, help_text='The decision that it was made for; null: it was asked for by itself', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='evaluations', to='annotator.gatedecision'),
        ),
        migrations.AddField(
            model_name='evaluation',
            name='job',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='evaluations', to='annotator.job'),
        ),
        migrations.AddField(
            model_name='evaluation',
            name='preset',
            field=models.JSONField(default=dict, help_text='What was asked of the figures: toolbox/presets.py'),
        ),
        migrations.AddField(
            model_name='evaluation',
            name='weights_hash',
            field=models.CharField(blank=True, help_text='Of the weights that were judged', max_length=64),
        ),
        migrations.AddField(
            model_name='gatedecision',
            name='asked_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='gatedecision',
            name='folder',
            field=models.CharField(blank=True, help_text='With rows.json; empty: they were not kept', max_length=200),
        ),
        migrations.AddField(
            model_name='gatedecision',
            name='job',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='gates', to='annotator.job'),
        ),
        migrations.AddField(
            model_name='project',
            name='preset',
            field=models.CharField(choices=[('pilot', 'a pilot, people look at every answer'), ('production', 'production')], default='pilot', help_text='Each evaluation ends in a sentence: deploy, label so many more, or check the training.', max_length=12, verbose_name='what the models are for'),
        ),
        migrations.AlterField(
            model_name='gatedecision',
            name='run',
            field=models.ForeignKey(blank=True, help_text='That made the challenger', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='gates', to='annotator.trainingrun'),
        ),
        migrations.AlterField(
            model_name='job',
            name='kind',
            field=models.CharField(choices=[('import', 'Import'), ('undo_import', 'Undo an import'), ('gallery', 'Change of many images'), ('mine', 'Mine'), ('snapshot', 'Snapshot'), ('retrain', 'Retrain and gate'), ('gate', 'Ask the gate'), ('evaluate', 'Evaluate a version'), ('memory_plan', "Plan a run's memory"), ('export', 'Export'), ('label_studio', 'Pull from Label Studio'), ('studio_push', 'Push to Label Studio'), ('predict', 'Predict'), ('publish', 'Publish a data version'), ('scenes', 'Find scenes'), ('feed', 'Take in from a feed'), ('boxes', 'Draw masks in boxes')], max_length=16),
        ),
        migrations.AddIndex(
            model_name='evaluation',
            index=models.Index(fields=['version', 'snapshot', 'split'], name='evaluation_of_version'),
        ),
        migrations.RunPython(name_gates, migrations.RunPython.noop),
    ]
