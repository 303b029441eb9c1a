import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotator', '0030_registry'),
    ]

    operations = [
        migrations.AddField(
            model_name='project',
            name='person_hour_price',
            field=models.FloatField(default=0.0, help_text='Of an annotator. Reports tell what an object and an image cost by it; 0: they tell seconds alone.', validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(1000000)], verbose_name="price of an hour of labelling"),
        ),
    ]
