from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models

# Stability was the overlap of a mask at logits +1 and -1. It is the overlap at two thresholds that follow the logits'
# own spread, and another limit goes with it. What was measured the old way must not be held against the new limit: it is
# forgotten, and the next version that mines a pair measures anew.
OLD_LIMIT, NEW_LIMIT = 0.75, 0.5


def move_limits(apps, schema_editor):
    apps.get_model("annotator", "Project").objects.filter(stability_below=OLD_LIMIT).update(stability_below=NEW_LIMIT)
    apps.get_model("annotator", "Prediction").objects.filter(min_stability__isnull=False).update(min_stability=None)


def move_limits_back(apps, schema_editor):
    apps.get_model("annotator", "Project").objects.filter(stability_below=NEW_LIMIT).update(stability_below=OLD_LIMIT)
    apps.get_model("annotator", "Prediction").objects.filter(min_stability__isnull=False).update(min_stability=None)


class Migration(migrations.Migration):
    dependencies = [
        ("annotator", "0036_value_per_second"),
    ]

    operations = [
        migrations.AlterField(
            model_name="project",
            name="stability_below",
            field=models.FloatField(
                default=NEW_LIMIT,
                help_text="Stability is the overlap of a mask at two thresholds; an unstable one is queued.",
                validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
                verbose_name="a mask is borderline below",
            ),
        ),
        migrations.AlterField(
            model_name="prediction",
            name="min_stability",
            field=models.FloatField(
                help_text="Stability of the least stable instance; null without instances, and where it was measured "
                "otherwise",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="project",
            name="pseudo_labels",
            field=models.BooleanField(
                default=False,
                help_text="Pairs that it gives 98 % or more, or 2 % or less, that look like audited ones which it had "
                "right.",
                verbose_name="teach what the model is sure of",
            ),
        ),
        migrations.AddField(
            model_name="project",
            name="pseudo_error",
            field=models.FloatField(
                default=0.01,
                help_text="By the upper 95 % bound of the audit: 0.01 takes 299 such audited answers without a fault.",
                validators=[MinValueValidator(0.001), MaxValueValidator(0.2)],
                verbose_name="with an error of at most",
            ),
        ),
        migrations.RunPython(move_limits, move_limits_back),
    ]
