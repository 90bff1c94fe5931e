"""Roles of staff: groups whose permissions this table says.

A row is one thing that staff see or do, with its permissions and the roles that have it. `apply_roles` makes
the groups hold exactly these permissions; a migration calls it. After a change of the table write another
migration that does no more than that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

OWNER, MANAGER, PACKER, ACCOUNTANT, READER = "店主", "マネージャー", "出荷担当", "経理", "閲覧"
ROLES = (OWNER, MANAGER, PACKER, ACCOUNTANT, READER)


@dataclass(frozen=True)
class Right:
    """What staff see or do: its name in Japanese, its permissions, and the roles that have it."""

    name: str
    permissions: tuple[str, ...]
    roles: tuple[str, ...]


def _view(app: str, *models: str) -> tuple[str, ...]:
    return tuple(f"{app}.view_{model}" for model in models)


def _edit(app: str, *models: str) -> tuple[str, ...]:
    return tuple(f"{app}.{act}_{model}" for model in models for act in ("view", "add", "change", "delete"))


CATALOGUE = [
    "product",
    "variant",
    "picture",
    "specification",
    "category",
    "contentpage",
    "searchsynonym",
    "redirect",
]
RIGHTS = (
    Right(
        "注文・荷物・在庫を見る",
        _view("ledger", "order", "orderline", "orderevent", "shipment", "shipmentline", "stockitem"),
        ROLES,
    ),
    Right("配送会社・お届け日数を見る", _view("ledger", "carrier", "deliverytime", "remotearea"), ROLES),
    Right("発送・送り状番号の訂正", ("ledger.ship_order",), (OWNER, MANAGER, PACKER)),
    Right(
        "入金・返金・決済の画面を見る",
        _view("ledger", "payment", "refund", "refundline", "checkoutattempt", "keptmoney", "keptmoneyline"),
        (OWNER, MANAGER, ACCOUNTANT, READER),
    ),
    Right("返金（上限まで）・手数料の計上", ("ledger.refund_order",), (OWNER, MANAGER, ACCOUNTANT)),
    Right("上限を超える返金", ("ledger.refund_above_ceiling",), (OWNER,)),
    Right("注文のキャンセル", ("ledger.cancel_order",), (OWNER, MANAGER)),
    Right("在庫の入庫・訂正", ("ledger.change_stockitem",), (OWNER, MANAGER)),
    Right("在庫の動きを見る", _view("ledger", "stockmovement"), (OWNER, MANAGER, ACCOUNTANT, READER)),
    Right(
        "お問い合わせ・送信メールを見る",
        (*_view("shop", "contactmessage"), *_view("ledger", "outgoingmail")),
        (OWNER, MANAGER, READER),
    ),
    Right(
        "お問い合わせの対応・メールの再送",
        ("shop.change_contactmessage", "ledger.change_outgoingmail"),
        (OWNER, MANAGER),
    ),
    Right(
        "商品・カテゴリ・固定ページ・検索語を見る",
        _view("shop", *CATALOGUE),
        (OWNER, MANAGER, READER),
    ),
    Right(
        "商品・カテゴリ・固定ページ・検索語の編集",
        _edit("shop", *CATALOGUE),
        (OWNER, MANAGER),
    ),
    Right(
        "配送会社・お届け日数・注文の上限の編集",
        _edit("ledger", "carrier", "deliverytime", "remotearea", "orderallowance"),
        (OWNER, MANAGER),
    ),
    Right(
        "帳簿・日次締め・差異を見る",
        _view(
            "ledger",
            "account",
            "journalentry",
            "journalline",
            "dailyclose",
            "closingbalance",
            "evidencefile",
            "balancetransaction",
            "discrepancy",
            "taxstatus",
            "taxrate",
        ),
        (OWNER, MANAGER, ACCOUNTANT, READER),
    ),
    Right("Stripeのイベントを見る", _view("ledger", "stripeevent", "setaside"), (OWNER, MANAGER, ACCOUNTANT)),
    Right("Stripeのイベントの再処理・除外", ("ledger.change_stripeevent",), (OWNER, MANAGER, ACCOUNTANT)),
    Right("差異の解決", ("ledger.resolve_discrepancy",), (OWNER, MANAGER, ACCOUNTANT)),
    Right("要対応を見る", _view("ops", "todo"), ROLES),
    Right("要対応の担当・完了", ("ops.change_todo",), (OWNER, MANAGER, ACCOUNTANT)),
    Right("手動の日次締め", ("ledger.close_day",), (OWNER, ACCOUNTANT)),
    Right("仕訳帳・帳票・証憑・CSVの保存", ("ledger.export_books",), (OWNER, ACCOUNTANT)),
    Right("勘定科目の追加・変更", ("ledger.add_account", "ledger.change_account"), (OWNER, ACCOUNTANT)),
    Right("税務の設定の入力", ("ledger.add_taxstatus", "ledger.add_taxrate"), (OWNER,)),
    Right(
        "ジョブ・稼働・通知の記録を見る",
        _view("ops", "jobrun", "heartbeat", "alert"),
        (OWNER, MANAGER, ACCOUNTANT, READER),
    ),
    Right(
        "変更の記録・スタッフ・ログイン履歴を見る",
        (*_view("auditlog", "logentry"), *_view("auth", "user", "group"), *_view("ops", "signin")),
        (OWNER,),
    ),
)


def permissions_of(role: str) -> frozenset[str]:
    """Return the permissions of a role, each as `app.codename`."""
    return frozenset(name for right in RIGHTS if role in right.roles for name in right.permissions)


def apply_roles(apps: Apps, *, using: str = "default") -> None:
    """Make each role's group hold the permissions of the table, and no other.

    `apps` are the models at the time of the migration: a permission of a model that a later migration makes
    does not exist yet and is left out, as the migration after it calls this again.
    """
    group_model: Any = apps.get_model("auth", "Group")
    permission_model: Any = apps.get_model("auth", "Permission")
    known = {
        f"{app}.{codename}": pk
        for pk, app, codename in permission_model.objects.using(using).values_list(
            "pk", "content_type__app_label", "codename"
        )
    }
    holding: Any = group_model.permissions.through
    for role in ROLES:
        group, _created = group_model.objects.using(using).get_or_create(name=role)
        wanted = {known[name] for name in permissions_of(role) if name in known}
        rows = holding.objects.using(using).filter(group_id=group.pk)
        held = set(rows.values_list("permission_id", flat=True))
        rows.filter(permission_id__in=held - wanted).delete()
        missing = [holding(group_id=group.pk, permission_id=pk) for pk in sorted(wanted - held)]
        holding.objects.using(using).bulk_create(missing)


def create_roles(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the permissions of all models so far, and apply the roles: the work of a migration.

    Django itself creates permissions only after all migrations.
    """
    using = schema_editor.connection.alias
    for label in ("ledger", "shop", "ops", "auth", "auditlog"):
        config: Any = apps.get_app_config(label)
        config.models_module = True  # else Django takes it for an app without models
        create_permissions(config, verbosity=0, using=using, apps=apps)
        config.models_module = None
    apply_roles(apps, using=using)


def check_names(names: Sequence[str]) -> None:
    """Raise `ImproperlyConfigured` if `MFA_REQUIRED_ROLES` names a role that does not exist."""
    if list(names) != ["none"] and (unknown := set(names) - set(ROLES)):
        raise ImproperlyConfigured(
            f"MFA_REQUIRED_ROLES names {', '.join(sorted(unknown))}; "
            f"it must be none, or of the roles {', '.join(ROLES)}."
        )
