"""Every text of the ledger is in the catalogue, translated, with the same placeholders."""

import re
from pathlib import Path

import polib
from django.conf import settings
from django.utils.translation import template

LEDGER = settings.BASE_DIR / "ledger"
CATALOGUE = LEDGER / "locale" / "ja" / "LC_MESSAGES" / "django.po"
LITERAL = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
CALL = re.compile(rf"\b(?:_|gettext|gettext_lazy|ngettext)\(\s*u?({LITERAL}(?:\s+{LITERAL})*)")


def texts() -> set[str]:
    """Return the texts of the code and of the templates, as makemessages finds them."""
    code = [
        path
        for path in LEDGER.rglob("*.py")
        if {"tests", "testing", "migrations"}.isdisjoint(path.relative_to(LEDGER).parts)
    ]
    sources = [path.read_text() for path in code]
    for path in sorted((settings.BASE_DIR / "templates" / "ledger").rglob("*")):
        if path.is_file():
            sources.append(template.templatize(path.read_text(), origin=path.name))
    found: set[str] = set()
    for source in sources:
        found |= {str(eval(f"({literals})")) for literals in CALL.findall(source)}
    return found


def test_every_text_of_the_ledger_is_in_the_catalogue() -> None:
    known = {entry.msgid for entry in polib.pofile(str(CATALOGUE))}
    collected = texts()
    assert len(collected) > 250
    assert collected - known == set()


def test_no_entry_is_untranslated_or_fuzzy() -> None:
    catalogue = polib.pofile(str(CATALOGUE))
    assert not catalogue.untranslated_entries()
    assert not catalogue.fuzzy_entries()


def test_translations_have_the_placeholders_of_their_texts() -> None:
    for entry in polib.pofile(str(CATALOGUE)):
        text = entry.msgstr_plural[0] if entry.msgid_plural else entry.msgstr
        values = sorted(re.findall(r"%\(\w+\)[sd]|%%", entry.msgid_plural or entry.msgid))
        assert sorted(re.findall(r"%\(\w+\)[sd]|%%", text)) == values, entry.msgid


def test_mail_templates_contain_no_untranslatable_japanese() -> None:
    for path in sorted(Path(settings.BASE_DIR / "templates" / "ledger" / "mail").iterdir()):
        bare = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<style>.*?</style>|<[^>]*>", " ", path.read_text(), flags=re.S)
        found = set(re.findall(r"[ぁ-んァ-ヶ一-龠]+", bare))
        assert found <= {"企画", "様"}, f"{path.name}: {found}"
