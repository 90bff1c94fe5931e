"""What customers read in Japanese: rules that a person who writes shop texts found broken."""

import re
from pathlib import Path

import polib
import pytest
from django.conf import settings

from kikaku.sandbox import Sandbox
from ledger.testing import build
from shop.demo import catalogue
from shop.demo.pages import PAGES

APPS = {"shop": ["shop"], "ledger": ["ledger/mail", "ledger/terms"]}  # app → templates that customers read
JAPANESE = "ぁ-んァ-ヶ一-龠々ー"


def texts_of(folder: Path) -> set[str]:
    """Return the msgids of the templates in a folder."""
    found: set[str] = set()
    for file in folder.rglob("*"):
        if file.is_file():
            text = file.read_text()
            found |= set(re.findall(r'\{% translate "([^"]*)"', text))
            for block in re.findall(r"\{% blocktranslate[^%]*%\}(.*?)\{% (?:plural|endblock)", text):
                found.add(re.sub(r"\{\{ (\w+) \}\}", r"%(\1)s", block.replace("%", "%%")))
    return found


def sentences() -> dict[str, str]:
    """Return where it stands → Japanese text, of all that customers read."""
    found = {}
    for app, folders in APPS.items():
        path = settings.BASE_DIR / app / "locale" / "ja" / "LC_MESSAGES" / "django.po"
        read = set().union(*(texts_of(settings.BASE_DIR / "templates" / folder) for folder in folders))
        for entry in polib.pofile(str(path)):
            if app == "shop" or entry.msgid in read:
                text = entry.msgstr_plural[0] if entry.msgid_plural else entry.msgstr
                found[f"{app}: {entry.msgid}"] = text
    for page in PAGES:
        found[f"page {page.slug}"] = re.sub(r"<[^>]*>", "\n", page.body.ja)
    for product in catalogue.goods(None):
        texts = (product.title.ja, product.lead_spec.ja, product.description.ja)
        found[f"product {product.slug}"] = "\n".join(texts)
    return found


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (rf"(?<=[{JAPANESE}）」]),", "、"),
        (rf"(?<=[{JAPANESE}）」])[?!]", "？ or nothing"),
        (rf"(?<=[{JAPANESE}）」]):(?!/)", "："),
        (rf"\((?=[{JAPANESE}])", "（"),
        ("近い商品", "関連商品"),
        ("いちばん", "最も, and no claim to be first"),
        ("かまいません", "できます"),
        ("開け直しません", "開け直す必要がありません"),
        ("要りますか", "必要ですか"),
        ("商品を確保|確保して", "お取り置き"),
        ("知らせます(?<!お知らせします)", "お知らせします"),
        (rf"Stripe(?=[{JAPANESE}])", "a blank after Stripe, as everywhere"),
    ],
)
def test_no_text_for_customers_is_worded_like_this(pattern: str, instead: str) -> None:
    wrong = {where: text for where, text in sentences().items() if re.search(pattern, text)}
    assert not wrong, f"better: {instead}"


def test_the_limit_of_liability_names_slight_negligence() -> None:
    """Clauses that leave open where they hold are void (消費者契約法 8 条 3 項)."""
    (terms,) = (page.body for page in PAGES if page.slug == "terms")
    assert "軽過失（重大な過失を除く過失をいいます）による" in terms.ja
    assert "生命または身体に損害が生じた場合" in terms.ja
    for vague in ("認められない範囲", "許される限り", "法律上許され", "この限りではありません"):
        assert vague not in terms.ja
    assert "slight negligence" in terms.en


@pytest.mark.django_db
def test_a_mail_in_japanese_has_japanese_punctuation(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line("A"), build.line("W", price=1_080, tax_class="reduced")])
    build.ship(order, tracking_number="1234-5678-9013")
    texts = [mail.text for mail in order.mails.all()]
    assert "10% 対象 ¥11,500（内消費税 ¥1,045）" in "\n".join(texts)
    for text in texts:
        for line in text.splitlines():
            assert not re.search(rf"[{JAPANESE}）], |[{JAPANESE}）]: |\([{JAPANESE}]", line), line


def test_the_templates_of_the_ledger_that_customers_read_are_found() -> None:
    assert {"Order date", "Dear %(name)s,", "%(rate)s%% on %(gross)s, tax %(tax)s"} <= texts_of(
        settings.BASE_DIR / "templates" / "ledger" / "mail"
    )
