"""Addresses for machines: the health probe."""

from django.urls import path

from ops.health.view import health

urlpatterns = [path("health", health, name="health")]
