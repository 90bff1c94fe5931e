"""Every text of ops and of the admin's first page is translated, and that translation is shown."""

import re

import polib
from django.conf import settings
from django.utils.translation import gettext, ngettext, override, pgettext

CATALOGUE = settings.BASE_DIR / "ops" / "locale" / "ja" / "LC_MESSAGES" / "django.po"
TEXT = re.compile(r'(?:\b_|gettext|gettext_lazy|ngettext)\(\s*"((?:[^"\\]|\\.)*)"')
TEXT_IN_CONTEXT = re.compile(r'pgettext(?:_lazy)?\(\s*"[^"]*",\s*"([^"]*)"')
TEXT_IN_BLOCK = re.compile(r"\{% blocktranslate[^%]*%\}([^{]*)\{%")
TEXT_IN_TEMPLATE = re.compile(r'\{% translate "([^"]*)"')


def test_the_catalogue_holds_exactly_the_texts_in_use() -> None:
    sources = [
        path
        for path in (settings.BASE_DIR / "ops").rglob("*.py")
        if {"tests", "testing", "migrations"}.isdisjoint(path.relative_to(settings.BASE_DIR).parts)
    ]
    used: set[str] = set()
    for path in sources:
        text = path.read_text()
        used |= set(TEXT.findall(text)) | set(TEXT_IN_CONTEXT.findall(text))
    templates = settings.BASE_DIR / "templates"
    for page in (templates / "admin" / "index.html", *(templates / "ops").glob("*.html")):
        used |= set(TEXT_IN_TEMPLATE.findall(page.read_text()))
        used |= set(TEXT_IN_BLOCK.findall(page.read_text()))
    known = {entry.msgid for entry in polib.pofile(str(CATALOGUE))}
    elsewhere = {"Shop and books", "Search apps and models..."}  # settings.py, and a text of unfold
    assert known - elsewhere == used


def test_no_text_is_untranslated_or_fuzzy() -> None:
    catalogue = polib.pofile(str(CATALOGUE))
    assert not catalogue.untranslated_entries() and not catalogue.fuzzy_entries()


def test_no_other_app_overrides_a_translation() -> None:
    """The catalogue of an app listed earlier wins where both hold a text: ours then needs a context."""
    different = []
    with override("ja"):
        for entry in polib.pofile(str(CATALOGUE)):
            if entry.msgid_plural:
                shown, wanted = ngettext(entry.msgid, entry.msgid_plural, 2), entry.msgstr_plural[0]
            elif entry.msgctxt:
                shown, wanted = pgettext(entry.msgctxt, entry.msgid), entry.msgstr
            else:
                shown, wanted = gettext(entry.msgid), entry.msgstr
            if shown != wanted:
                different.append((entry.msgid, wanted, shown))
    assert not different
