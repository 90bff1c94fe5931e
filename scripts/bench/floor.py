"""The floor of the page figures: a minimal view with the shop's middleware, settings and server."""

import os

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

os.environ["DJANGO_SETTINGS_MODULE"] = "bench.floor_settings"


@csrf_exempt
def hello(request: HttpRequest) -> HttpResponse:
    """Return a constant response."""
    return HttpResponse("hello world")


urlpatterns = [path("hello/", hello)]
application = get_wsgi_application()
