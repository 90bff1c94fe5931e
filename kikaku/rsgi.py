"""The RSGI application that granian serves: the front door around the shop's WSGI application."""

from django.conf import settings
from django.utils.module_loading import import_string

from kikaku.door import Door
from kikaku.wsgi import application

door = Door(
    application,
    patience=settings.BODY_PATIENCE_SECONDS,
    refusal_page=import_string(settings.REFUSAL_PAGE),
)
