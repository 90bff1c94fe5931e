"""What the search reads of a product, and the words of one meaning. The triggers of the pages stand on all of it."""

import django.core.validators
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from shop.pages.version import install


def hold(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers anew: SQLite lost those of the tables that it rebuilt."""
    install(schema_editor)


class Migration(migrations.Migration):

    dependencies = [
        ('shop', '0002_page_version'),
    ]

    operations = [
        migrations.CreateModel(
            name='SearchSynonym',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('words', models.CharField(help_text='separated by blanks, such as 照明 ライト ランプ', max_length=300, validators=[django.core.validators.RegexValidator('\\S\\s+\\S', 'Please write at least two words, with a blank between.')], verbose_name='words of one meaning')),
            ],
            options={
                'verbose_name': 'synonyms of the search',
                'verbose_name_plural': 'synonyms of the search',
                'ordering': ['words'],
            },
        ),
        migrations.AddField(
            model_name='category',
            name='keywords',
            field=models.CharField(blank=True, help_text='other names, for all products of the category; shown nowhere', max_length=200, verbose_name='search words'),
        ),
        migrations.AddField(
            model_name='product',
            name='keywords',
            field=models.CharField(blank=True, help_text='readings and other names; shown nowhere', max_length=200, verbose_name='search words'),
        ),
        migrations.AddField(
            model_name='product',
            name='search_text',
            field=models.TextField(default='', editable=False),
        ),
        migrations.RunPython(hold, migrations.RunPython.noop),
    ]
