"""Events that a person must look at: those that fail, and those of types without an effect in the shop."""

import json
import logging
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from ledger.ingest import events, inbox
from ledger.ingest.events import HANDLERS, UNHANDLED_TYPES, Handler
from ledger.models import SetAside, StripeEvent
from ledger.stripe import schema
from ledger.stripe.fields import is_id
from ledger.testing.webhooks import event, post, sign

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
Status = StripeEvent.Status


def receive(settings: Settings, *, now: datetime = NOW, **changes: object) -> StripeEvent:
    """Receive a signed event."""
    body = event(**changes)
    return inbox.receive(body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0]), now=now)


def receive_invalid(settings: Settings, *, now: datetime = NOW) -> StripeEvent:
    """Receive an event that no handler understands."""
    return receive(settings, now=now, type="refund.created", data={"object": {}})


def test_an_event_that_fails_is_tried_with_growing_pauses(settings: Settings) -> None:
    stored = receive_invalid(settings)
    attempts: list[int] = []
    for minute in range(24 * 60):
        inbox.process_pending(now=NOW + timedelta(minutes=minute))
        stored.refresh_from_db()
        if len(attempts) < stored.attempts:
            attempts.append(minute)
    assert attempts == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 871, 1231]  # in the end every six hours


def test_a_failure_is_an_error_line_once_until_its_error_is_another(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    stored = receive_invalid(settings)

    def errors_of_the_next_run() -> int:
        caplog.clear()
        stored.refresh_from_db()
        assert inbox.process_pending(now=stored.retry_at or NOW) == 0
        return sum(record.levelno >= logging.ERROR for record in caplog.records)

    assert [errors_of_the_next_run() for _attempt in range(3)] == [1, 0, 0]
    StripeEvent.objects.update(payload={"data": {"object": {"object": "refund"}}})
    assert [errors_of_the_next_run() for _attempt in range(2)] == [1, 0]


def test_the_close_and_the_command_do_not_wait_for_the_end_of_a_pause(settings: Settings) -> None:
    stored = receive_invalid(settings)
    inbox.process_pending(now=NOW)
    StripeEvent.objects.update(type="customer.created")
    assert inbox.process_pending(now=NOW) == 0
    assert inbox.process_pending(now=NOW, include_pausing=True) == 1
    stored.refresh_from_db()
    assert (stored.status, stored.retry_at) == (Status.DONE, None)


def test_a_person_sets_a_failed_event_aside_with_a_reason(
    admin_client: Client, admin_user: User, settings: Settings
) -> None:
    stored = receive_invalid(settings, now=timezone.now())
    inbox.process_pending(now=timezone.now())
    url = reverse("admin:ledger_stripeevent_set_this_aside", args=[stored.pk])
    page = admin_client.get(url).content.decode()
    assert "refund.created" in page and "対象外にする" in page
    assert admin_client.post(url, {"reason": "  "}).status_code == 200
    stored.refresh_from_db()
    assert stored.status == Status.FAILED  # a reason is asked for
    assert admin_client.post(url, {"reason": "テスト送信だった"}).status_code == 302
    stored.refresh_from_db()
    assert stored.status == Status.SET_ASIDE
    decision = SetAside.objects.get()
    assert (decision.event, decision.reason, decision.actor) == (
        stored,
        "テスト送信だった",
        admin_user.username,
    )
    shown = admin_client.get(reverse("admin:ledger_stripeevent_change", args=[stored.pk])).content.decode()
    assert "テスト送信だった" in shown
    assert url not in shown  # it is set aside once

    # neither the job nor Stripe's retry takes it up
    assert inbox.process_pending(now=timezone.now() + timedelta(days=1)) == 0
    body = json.dumps(stored.payload).encode()
    answer = post(Client(), body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0]))
    assert (answer.status_code, StripeEvent.objects.get().attempts) == (200, 1)
    # a person may change their mind
    admin_client.post(reverse("admin:ledger_stripeevent_process_this_again", args=[stored.pk]))
    stored.refresh_from_db()
    assert (stored.status, stored.attempts) == (Status.FAILED, 2)


def test_several_events_are_set_aside_with_one_reason(admin_client: Client, settings: Settings) -> None:
    for number in range(3):
        receive(settings, id=f"evt_{number}", type="payout.paid", data={"object": {"id": "po_1"}})
    done = receive(settings, id="evt_done")
    inbox.process_pending(now=timezone.now())
    chosen = [*StripeEvent.objects.values_list("pk", flat=True)]
    url = reverse("admin:ledger_stripeevent_changelist")
    form = {"action": "set_aside", "_selected_action": chosen}
    asked = admin_client.post(url, form)
    assert asked.status_code == 200 and not SetAside.objects.exists()
    assert done.pk not in asked.content.decode()
    assert admin_client.post(url, form | {"reason": "口座の入金を確認"}).status_code == 302
    assert SetAside.objects.filter(reason="口座の入金を確認").count() == 3
    assert StripeEvent.objects.filter(status=Status.SET_ASIDE).count() == 3
    done.refresh_from_db()
    assert done.status == Status.DONE


def test_setting_aside_requires_the_permission_to_change_events(client: Client, settings: Settings) -> None:
    stored = receive(settings, type="payout.paid")
    inbox.process_pending(now=NOW)
    user = User.objects.create_user("reader", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_stripeevent"))
    client.force_login(user)
    url = reverse("admin:ledger_stripeevent_set_this_aside", args=[stored.pk])
    assert client.post(url, {"reason": "x"}).status_code == 403
    assert not SetAside.objects.exists()


@pytest.mark.parametrize(
    "kind", ["charge.dispute.created", "payout.failed", "radar.early_fraud_warning.created", "review.opened"]
)
def test_an_event_without_effect_that_concerns_money_is_not_handled_and_stays_visible(
    admin_client: Client, settings: Settings, kind: str
) -> None:
    body = event(type=kind)
    answer = post(Client(), body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0]))
    assert answer.status_code == 200  # Stripe need not send it again
    stored = StripeEvent.objects.get()
    assert stored.status == Status.UNHANDLED
    assert inbox.process_pending(now=timezone.now() + timedelta(days=1)) == 0
    page = admin_client.get(reverse("admin:ledger_stripeevent_changelist")).content.decode()
    assert "未対応" in page
    again = reverse("admin:ledger_stripeevent_process_this_again", args=[stored.pk])
    assert "まだ対応していません" in admin_client.post(again, follow=True).content.decode()
    stored.refresh_from_db()
    assert stored.status == Status.UNHANDLED


def test_other_events_without_effect_are_done(settings: Settings) -> None:
    stored = receive(settings, type="customer.created")
    inbox.process_pending(now=NOW)
    stored.refresh_from_db()
    assert stored.status == Status.DONE


def test_no_type_is_handled_and_not_handled() -> None:
    assert not [kind for kind in HANDLERS if kind.startswith(UNHANDLED_TYPES)]


def test_an_events_object_is_checked_by_the_name_that_stripe_gives_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`charge.dispute.created` carries a `dispute`, not a `charge.dispute`."""
    handled: list[Any] = []
    handler = Handler("dispute", lambda _event, dispute, _now: handled.append(dispute["id"]))
    monkeypatch.setitem(events.HANDLERS, "charge.dispute.created", handler)
    monkeypatch.setitem(schema.SHAPES, "dispute", {"id": is_id})
    stored = receive(
        settings, type="charge.dispute.created", data={"object": {"id": "du_1", "object": "dispute"}}
    )
    assert inbox.process_pending(now=NOW) == 1
    stored.refresh_from_db()
    assert (handled, stored.status) == (["du_1"], Status.DONE)


def test_every_handler_names_a_shape() -> None:
    assert {handler.kind for handler in HANDLERS.values()} <= set(schema.SHAPES)


def test_events_that_were_stored_as_done_without_effect_become_visible(settings: Settings) -> None:
    for kind in ("payout.paid", "charge.dispute.created", "charge.succeeded", "customer.created"):
        receive(settings, id=f"evt_{kind.replace('.', '_')}", type=kind)
    StripeEvent.objects.update(status=Status.DONE)
    migration = import_module("ledger.migrations.0012_events_set_aside")
    migration.mark_unhandled(apps, connection.schema_editor())
    found = dict(StripeEvent.objects.values_list("type", "status"))
    assert found == {
        "payout.paid": Status.UNHANDLED,
        "charge.dispute.created": Status.UNHANDLED,
        "charge.succeeded": Status.DONE,
        "customer.created": Status.DONE,
    }
