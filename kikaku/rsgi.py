"""The RSGI application that granian serves: the front door around the shop's WSGI application."""

from django.conf import settings

from kikaku.door import Door
from kikaku.wsgi import application

door = Door(application, patience=settings.BODY_PATIENCE_SECONDS)
