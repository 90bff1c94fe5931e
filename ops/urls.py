"""What machines ask."""

from django.urls import path

from ops.health import health

urlpatterns = [path("health", health, name="health")]
