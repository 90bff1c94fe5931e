"""What machines ask."""

from django.urls import path

from ledger.ingest.inbox import stripe_webhook

urlpatterns = [path("stripe", stripe_webhook, name="stripe_webhook")]
