"""Django merges the apps' catalogues: no text has two meanings, and unfold's texts are translated."""

import re
from collections import defaultdict
from pathlib import Path

import polib
import unfold
from django.conf import settings
from django.utils.translation import gettext, override, template

CATALOGUE = settings.BASE_DIR / "kikaku" / "locale" / "ja" / "LC_MESSAGES" / "django.po"
LITERAL = r"""u?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
GETTEXT_CALL = re.compile(rf"\b(?:_|gettext|gettext_lazy)\(\s*({LITERAL}(?:\s*{LITERAL})*)")


def catalogues() -> list[Path]:
    """Return the Japanese catalogue of each app and of the project."""
    return sorted(Path(settings.BASE_DIR).glob("*/locale/ja/LC_MESSAGES/django.po"))


def test_a_text_means_the_same_in_every_catalogue() -> None:
    """Of two catalogues one wins: another meaning needs a context or another text."""
    meanings: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for path in catalogues():
        for entry in polib.pofile(str(path)):
            meaning = entry.msgstr_plural[0] if entry.msgid_plural else entry.msgstr
            meanings[entry.msgctxt or "", entry.msgid][path.parents[3].name] = meaning
    assert len(catalogues()) == 4
    assert {text: found for text, found in meanings.items() if len(set(found.values())) > 1} == {}


def test_no_catalogue_holds_a_text_twice() -> None:
    """A repeated text makes msgfmt fail, and with it the start of the shop."""
    for path in catalogues():
        texts = [(entry.msgctxt, entry.msgid) for entry in polib.pofile(str(path))]
        assert sorted({text for text in texts if texts.count(text) > 1}, key=str) == [], path.parents[3].name


def test_every_text_of_unfold_is_translated_to_japanese() -> None:
    folder = Path(unfold.__file__).parent
    sources = [
        template.templatize(path.read_text(), origin=path.name)
        for path in sorted((folder / "templates").rglob("*.html"))
    ]
    sources += [path.read_text() for path in sorted(folder.rglob("*.py")) if "contrib" not in path.parts]
    texts = {str(eval(f"({literal})")) for source in sources for literal in GETTEXT_CALL.findall(source)}
    assert len(texts) > 80
    with override("ja"):
        assert {text for text in texts if re.search(r"[A-Za-z]{2}", text) and gettext(text) == text} == set()


def test_no_text_of_the_project_is_untranslated_or_fuzzy() -> None:
    catalogue = polib.pofile(str(CATALOGUE))
    assert not catalogue.untranslated_entries() and not catalogue.fuzzy_entries()


def test_every_text_of_our_base_of_the_admin_is_in_the_catalogue() -> None:
    sources = [
        template.templatize(path.read_text(), origin=path.name)
        for path in (settings.BASE_DIR / "templates" / "kikaku").rglob("*.html")
    ]
    sources += [path.read_text() for path in (settings.BASE_DIR / "kikaku" / "admin").rglob("*.py")]
    texts = {str(eval(f"({literal})")) for source in sources for literal in GETTEXT_CALL.findall(source)}
    assert texts
    assert texts - {entry.msgid for entry in polib.pofile(str(CATALOGUE))} == set()
