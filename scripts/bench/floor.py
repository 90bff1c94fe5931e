"""The floor of the page figures: a minimal view behind the shop's middleware, front door and server."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from kikaku.door import Door

os.environ["DJANGO_SETTINGS_MODULE"] = "bench.floor_settings"


@csrf_exempt
def hello(request: HttpRequest) -> HttpResponse:
    """Return a constant response."""
    return HttpResponse("hello world")


urlpatterns = [path("hello/", hello)]
door = Door(get_wsgi_application(), patience=settings.BODY_PATIENCE_SECONDS)
