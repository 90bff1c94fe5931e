"""The shop's caches (docs/architecture.md), and how each is turned off. Needs Django set up."""

import os
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from django.conf import settings

VARIABLE = "BENCH_WITHOUT"  # environment: the caches that a process does without, separated by commas
FRAGMENT_TAG = re.compile(r'{% fragment ("[^"]+")(?: ([^%]+))? %}')

# module → the functions that prepare a query once
STATEMENTS = {
    "shop.catalogue": ("featured_statement", "home_statement", "product_statement"),
    "shop.pages.navigation": ("navigation_statement",),
    "shop.quote": ("offers_statement", "price_statement"),
    "shop.listing": ("listing_statement",),
}


def without_page_store() -> None:
    """Leave the page store out of the WSGI application: every page is rendered every time."""
    settings.WSGI_LAYERS = [layer for layer in settings.WSGI_LAYERS if not layer.endswith(".PageStore")]


def without_statements() -> None:
    """Let the ORM build the SQL of every query each time it runs."""
    for name, functions in STATEMENTS.items():
        for function in functions:
            _uncache(import_module(name), function)


def without_cards() -> None:
    """Render each product card each time it is shown."""
    _uncache(import_module("shop.catalogue"), "render_card")


def without_fragments() -> None:
    """Load each `{% fragment %}` tag of a template as an `{% include %}`."""
    from django.template.loaders.filesystem import Loader

    loader: Any = Loader
    read = loader.get_contents

    def get_contents(self: Any, origin: Any) -> str:
        return FRAGMENT_TAG.sub(_include, read(self, origin))

    loader.get_contents = get_contents


def without_navigation() -> None:
    """Read the navigation and the days of delivery from the database for every page that is rendered."""
    navigation = import_module("shop.pages.navigation")
    for name in ("shop.pages.navigation", "shop.pages.render", "shop.views.catalogue"):
        module: Any = import_module(name)
        module.load_navigation = navigation.read_navigation
    _uncache(import_module("shop.pages.delivery_table"), "table_of_version")


CACHES: dict[str, Callable[[], None]] = {
    "page-store": without_page_store,
    "statements": without_statements,
    "cards": without_cards,
    "fragments": without_fragments,
    "navigation": without_navigation,
}


def turn_off(names: Iterable[str]) -> None:
    """Turn caches off in this process; call it before the first request."""
    for name in names:
        CACHES[name]()


def turned_off() -> list[str]:
    """Return the names of the caches that the environment turns off."""
    return [name for name in os.environ.get(VARIABLE, "").split(",") if name]


def _uncache(module: Any, function: str) -> None:
    setattr(module, function, getattr(module, function).__wrapped__)


def _include(tag: "re.Match[str]") -> str:
    values = f" with {tag[2]}" if tag[2] else ""
    return f"{{% include {tag[1]}{values} %}}"
