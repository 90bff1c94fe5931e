"""The RSGI application that granian serves: the front door around the shop's WSGI application."""

import asyncio

from django.conf import settings
from django.utils.module_loading import import_string

from kikaku.door import Door
from kikaku.stalled_clients import limit_stalls_once_listening
from kikaku.wsgi import application


class ShopDoor(Door):
    """The front door, which also ends connections whose client takes nothing of a response."""

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start it in the worker process."""
        super().__rsgi_init__(loop)
        limit_stalls_once_listening(loop, settings.STALL_SECONDS)
        import_string(settings.PROCESS_START)()


door = ShopDoor(
    application,
    patience=settings.BODY_PATIENCE_SECONDS,
    refusal_page=import_string(settings.REFUSAL_PAGE),
    observe_refusal=import_string(settings.REFUSAL_OBSERVER),
)
