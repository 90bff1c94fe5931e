"""Names of permissions in Japanese; Django stores them in English."""

import re

from django.utils.translation import gettext, gettext_lazy

ACTIONS = {
    "add": gettext_lazy("add"),
    "change": gettext_lazy("change"),
    "delete": gettext_lazy("delete"),
    "view": gettext_lazy("view"),
}
USUAL = re.compile(r"Can (add|change|delete|view) ")  # how Django names its own


def act_label(name: str) -> str:
    """Return a permission's stored name as staff read it, such as 閲覧."""
    usual = USUAL.match(name)
    return str(ACTIONS[usual[1]]) if usual else gettext(name)


def permission_label(text: str) -> str:
    """Return the text of a permission, `app | model | name`, with its name as staff read it."""
    head, separator, name = text.rpartition(" | ")
    return f"{head}{separator}{act_label(name)}"
