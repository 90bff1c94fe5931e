"""Templates made for one language: a constant text is translated when its template is loaded, not each time it is shown.

Half of what a page's template does is to say `{% translate "Cart" %}` and the like. Such a tag becomes the text itself,
which merges with the HTML around it; templates are kept by name and language. Tags with anything but a constant
(`as`, a variable, `{% blocktranslate %}`) stay as they are.
"""

import re

from django.template import Origin
from django.template.loaders import cached
from django.utils.translation import get_language, gettext, pgettext

CONSTANT = re.compile(r'{% translate "([^"]*)"(?: context "([^"]*)")? %}')


class Loader(cached.Loader):
    """Django's cached loader, whose templates of the shop are made for the active language."""

    def cache_key(self, template_name: str, skip: list[Origin] | None = None) -> str:
        """Keep a template once for each language."""
        return f"{super().cache_key(template_name, skip)} {get_language()}"

    def get_contents(self, origin: Origin) -> str:
        """Return the source with its constant texts translated."""
        contents = super().get_contents(origin)
        return (
            CONSTANT.sub(translated, contents) if str(origin.template_name).startswith("shop/") else contents
        )


def translated(tag: re.Match[str]) -> str:
    """Translate a tag as Django's `TranslateNode` does; percent signs are doubled in the catalogue."""
    text, context = tag[1].replace("%", "%%"), tag[2]
    return (pgettext(context, text) if context else gettext(text)).replace("%%", "%")
