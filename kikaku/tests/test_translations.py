"""The apps' catalogues are one at run time: they must not speak over each other, and no package may speak English."""

import re
from collections import defaultdict
from pathlib import Path

import polib
import unfold
from django.conf import settings
from django.utils.translation import gettext, override, template

CALL = re.compile(r"""\b(?:_|gettext|gettext_lazy)\(\s*u?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")


def catalogues() -> list[Path]:
    """Find the Japanese catalogue of each app and of the project."""
    return sorted(Path(settings.BASE_DIR).glob("*/locale/ja/LC_MESSAGES/django.po"))


def test_a_text_means_the_same_in_every_catalogue() -> None:
    """Django merges the catalogues, and one wins: another meaning needs a context or another text."""
    meanings: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for path in catalogues():
        for entry in polib.pofile(str(path)):
            meaning = entry.msgstr_plural[0] if entry.msgid_plural else entry.msgstr
            meanings[entry.msgctxt or "", entry.msgid][path.parents[3].name] = meaning
    assert len(catalogues()) == 4
    assert {text: said for text, said in meanings.items() if len(set(said.values())) > 1} == {}


def test_no_catalogue_holds_a_text_twice() -> None:
    """A repeated text stops msgfmt, and with it the start of the shop."""
    for path in catalogues():
        texts = [(entry.msgctxt, entry.msgid) for entry in polib.pofile(str(path))]
        assert sorted({text for text in texts if texts.count(text) > 1}, key=str) == [], path.parents[3].name


def test_the_admins_look_says_nothing_in_english_to_japanese_staff() -> None:
    folder = Path(unfold.__file__).parent
    sources = [
        template.templatize(path.read_text(), origin=path.name)
        for path in sorted((folder / "templates").rglob("*.html"))
    ]
    sources += [path.read_text() for path in sorted(folder.rglob("*.py")) if "contrib" not in path.parts]
    texts = {str(eval(literal)) for source in sources for literal in CALL.findall(source)}
    assert len(texts) > 80
    with override("ja"):
        assert {text for text in texts if re.search(r"[A-Za-z]{2}", text) and gettext(text) == text} == set()


def test_nothing_of_the_projects_catalogue_is_untranslated_or_unsure() -> None:
    catalogue = polib.pofile(
        str(settings.BASE_DIR / "kikaku" / "locale" / "ja" / "LC_MESSAGES" / "django.po")
    )
    assert not catalogue.untranslated_entries() and not catalogue.fuzzy_entries()
