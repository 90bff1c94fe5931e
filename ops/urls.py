"""Addresses for machines: the health probe and the metrics."""

from django.urls import path

from ops.health.metrics import metrics
from ops.health.view import health

urlpatterns = [path("health", health, name="health"), path("metrics", metrics, name="metrics")]
