"""Which tables a backup has, in an order in which their rows can be written again.

Left out is what is short-lived and made anew: sessions (staff sign in again), django-q2's queue, job runs,
signs of life, counters. The triggers, and what they derive, are made by the migrations.
"""

from django.apps import apps
from django.db.models import Model

LEFT_OUT = frozenset(
    {
        "sessions.Session",
        "ops.StaffSessions",
        "django_q.Task",
        "django_q.Schedule",
        "django_q.OrmQ",
        "ops.JobRun",
        "ops.Heartbeat",
        "ops.ProcessStart",
        "ops.RateBucket",
        "ops.RequestFigures",
    }
)
# beside foreign keys: the triggers refuse an entry of a closed day, and a rate after its first entry
ALSO_BEFORE = {
    "ledger.DailyClose": ("ledger.JournalLine",),
    "ledger.JournalEntry": ("ledger.TaxRate", "ledger.TaxStatus"),
}
# rows that migrations write: a restore puts those of the backup in their place
WRITTEN_BY_MIGRATIONS = frozenset(
    {
        "auth.Permission",
        "auth.Group",
        "auth.Group_permissions",
        "contenttypes.ContentType",
        "ledger.Account",
        "ledger.Carrier",
        "ledger.DeliveryTime",
        "ledger.RemoteArea",
        "ledger.TaxRate",
        "shop.SearchSynonym",
    }
)


def tables() -> list[type[Model]]:
    """Return the models of a backup: each after those that its rows refer to."""
    models = {
        model._meta.label: model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy and model._meta.label not in LEFT_OUT
    }
    ordered: dict[str, type[Model]] = {}

    def add(label: str) -> None:
        if label in ordered or label not in models:
            return
        model = models[label]
        related = {
            field.related_model._meta.label
            for field in model._meta.concrete_fields
            if isinstance(field.related_model, type) and field.related_model is not model
        }
        for before in sorted(related | set(ALSO_BEFORE.get(label, ()))):
            add(before)
        ordered[label] = model

    for label in sorted(models):
        add(label)
    return list(ordered.values())


def columns(model: type[Model]) -> list[str]:
    """Return the names of a table's values, without what the database computes."""
    return [field.attname for field in model._meta.concrete_fields if not field.generated]
