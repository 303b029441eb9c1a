import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("annotator", "0004_predictions_are_jobs"),
    ]

    operations = [
        migrations.AddField(
            model_name="concept",
            name="merged_into",
            field=models.ForeignKey(
                blank=True,
                help_text="It was another name for this",
                null=True,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="merged",
                to="annotator.concept",
            ),
        ),
        migrations.AddField(
            model_name="concept",
            name="retired_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
