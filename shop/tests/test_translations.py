"""Every text of the shop is translated, and the translation is what pages show."""

import re
from pathlib import Path

import polib
from django.conf import settings
from django.utils.translation import gettext, ngettext, override, pgettext

CATALOGUE = settings.BASE_DIR / "shop" / "locale" / "ja" / "LC_MESSAGES" / "django.po"
TEMPLATES: list[Path] = sorted((settings.BASE_DIR / "templates" / "shop").rglob("*.html"))


def test_every_text_is_translated_and_none_is_fuzzy() -> None:
    catalogue = polib.pofile(str(CATALOGUE))
    assert len(catalogue) > 250
    assert not catalogue.untranslated_entries()
    assert not catalogue.fuzzy_entries()


def test_translations_have_the_same_placeholders_as_their_texts() -> None:
    for entry in polib.pofile(str(CATALOGUE)):
        text = entry.msgstr_plural[0] if entry.msgid_plural else entry.msgstr
        wanted = set(re.findall(r"%\(\w+\)[sd]|%d", entry.msgid_plural or entry.msgid))
        assert set(re.findall(r"%\(\w+\)[sd]|%d", text)) == wanted, entry.msgid


def test_no_other_app_overrides_a_translation_of_the_shop() -> None:
    """The catalogues of apps that are installed before the shop take precedence."""
    with override("ja"):
        for entry in polib.pofile(str(CATALOGUE)):
            if entry.msgid_plural:
                shown, wanted = ngettext(entry.msgid, entry.msgid_plural, 2), entry.msgstr_plural[0]
            elif entry.msgctxt:
                shown, wanted = pgettext(entry.msgctxt, entry.msgid), entry.msgstr
            else:
                shown, wanted = gettext(entry.msgid), entry.msgstr
            assert shown == wanted, entry.msgid


def test_every_text_of_a_template_is_in_the_catalogue() -> None:
    known = {entry.msgid for entry in polib.pofile(str(CATALOGUE))}
    for path in TEMPLATES:
        for text in re.findall(r'\{% translate "([^"]*)"', path.read_text()):
            assert text.replace("%", "%%") in known or text in known, f"{path.name}: {text}"


def test_templates_contain_no_untranslated_japanese() -> None:
    """Japanese text in a template would be on the English pages too."""
    for path in TEMPLATES:
        bare = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", path.read_text(), flags=re.S)
        found = re.findall(r"[ぁ-んァ-ヶ一-龠]+", bare)
        assert set(found) <= {"日本語", "様"}, f"{path.name}: {found}"
