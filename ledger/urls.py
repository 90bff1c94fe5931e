"""Addresses that machines call."""

from django.urls import path

from ledger.views import stripe_webhook

urlpatterns = [path("stripe", stripe_webhook, name="stripe_webhook")]
