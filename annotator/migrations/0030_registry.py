"""The registry tells where a version comes from, and snapshots which answers they hold."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Coalesce


def name_answers(apps, schema_editor):
    """What settled a pair before it was noted: the last answer that was approved, or the reviewer's own after a fix."""
    reviews = apps.get_model("annotator", "Review").objects.filter(annotation__pair=OuterRef("pk"))
    approved = reviews.exclude(decision="send_back").exclude(annotation__task__lane="honeypot").order_by("-pk")
    answer = approved.annotate(answer=Coalesce(F("fixed_id"), F("annotation_id"))).values("answer")[:1]
    pairs = apps.get_model("annotator", "Pair").objects.filter(truth_source="annotated")
    pairs.update(settled_by_id=Subquery(answer))


def name_bases(apps, schema_editor):
    """As far as the database knows: the parent's weights, where it has their hash."""
    versions = apps.get_model("annotator", "ModelVersion").objects
    parent = versions.filter(pk=OuterRef("parent")).values("weights_hash")
    versions.filter(parent__isnull=False).update(base_hash=Subquery(parent))


class Migration(migrations.Migration):

    dependencies = [
        ('annotator', '0029_evaluations'),
    ]

    operations = [
        migrations.CreateModel(
            name='SnapshotPair',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('split', models.CharField(max_length=8)),
                ('instances', models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.AddField(
            model_name='modelversion',
            name='archived_at',
            field=models.DateTimeField(blank=True, help_text='Folded away in lists since then', null=True),
        ),
        migrations.AddField(
            model_name='modelversion',
            name='base_hash',
            field=models.CharField(blank=True, help_text='Of the weights that it was trained from', max_length=64),
        ),
        migrations.AddField(
            model_name='modelversion',
            name='code_revision',
            field=models.CharField(blank=True, help_text='Commit of the code that trained it', max_length=64),
        ),
        migrations.AddField(
            model_name='modelversion',
            name='notes',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='modelversion',
            name='packages',
            field=models.JSONField(default=dict, help_text='{name: version} of what the trainer ran with'),
        ),
        migrations.AddField(
            model_name='modelversion',
            name='weights_removed_at',
            field=models.DateTimeField(blank=True, help_text='By retention; null: they lie there', null=True),
        ),
        migrations.AddField(
            model_name='pair',
            name='settled_by',
            field=models.ForeignKey(blank=True, db_index=False, editable=False, help_text='The answer that is its truth; null: imported, drawn, or not looked at', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='annotator.annotation'),
        ),
        migrations.AlterField(
            model_name='review',
            name='fixed',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='fixing', to='annotator.annotation'),
        ),
        migrations.AddIndex(
            model_name='pair',
            index=models.Index(condition=models.Q(('settled_by', None), _negated=True), fields=['settled_by'], name='pair_settled_by'),
        ),
        migrations.AddField(
            model_name='snapshotpair',
            name='answer',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='snapshot_rows', to='annotator.annotation'),
        ),
        migrations.AddField(
            model_name='snapshotpair',
            name='pair',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='snapshot_rows', to='annotator.pair'),
        ),
        migrations.AddField(
            model_name='snapshotpair',
            name='snapshot',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='rows', to='annotator.snapshot'),
        ),
        migrations.AddConstraint(
            model_name='snapshotpair',
            constraint=models.UniqueConstraint(fields=('snapshot', 'pair'), name='snapshot_pair_once'),
        ),
        migrations.AddField(
            model_name='snapshot',
            name='is_indexed',
            field=models.BooleanField(default=False, editable=False, help_text='All its rows (SnapshotPair) are written'),
        ),
        migrations.AddField(
            model_name='modelversion',
            name='mirrored',
            field=models.CharField(blank=True, editable=False, help_text="What MLflow's registry was told", max_length=64),
        ),
        migrations.RunPython(name_answers, migrations.RunPython.noop),
        migrations.RunPython(name_bases, migrations.RunPython.noop),
    ]
