"""Texts of the admin: cleaned when saved, shown in both languages."""

from html.parser import HTMLParser

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from shop.demo.pages import PAGES
from shop.sanitise import ALLOWED, is_safe_link, sanitise
from shop.tests import build


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("<p>あ<script>alert(1)</script>い</p>", "<p>あい</p>"),
        ('<p onclick="x()" style="color:red" class="a">あ</p>', "<p>あ</p>"),
        ('<a href="javascript:alert(1)">あ</a>', "<a>あ</a>"),
        ('<a href=" java\tscript:alert(1)">あ</a>', "<a>あ</a>"),
        ('<a href="//evil.example">あ</a>', "<a>あ</a>"),
        ('<a href="/pages/terms/" target="_blank">あ</a>', '<a href="/pages/terms/">あ</a>'),
        ('<a href="mailto:a@example.jp">あ</a>', '<a href="mailto:a@example.jp">あ</a>'),
        ('<a href="https://example.jp/?a=1&b=2">あ</a>', '<a href="https://example.jp/?a=1&amp;b=2">あ</a>'),
        ("<p>あ<img src=x onerror=alert(1)></p>", "<p>あ</p>"),
        ("<svg><p>あ</p></svg>い", "い"),
        ("<p>開いたまま<strong>太字", "<p>開いたまま<strong>太字</strong></p>"),
        ("</p></div>あ", "あ"),
        ("<p><b>あ</p>い", "<p><b>あ</b></p>い"),
        ("1 < 2 & 3 &lt; 4", "1 &lt; 2 &amp; 3 &lt; 4"),
        ("<!-- <script> --><p>あ</p>", "<p>あ</p>"),
        ("あ<br/>い<br>", "あ<br>い<br>"),
        ('<table><tr><th scope="row">あ</th><td colspan="2">い</td></tr></table>',) * 2,
        ("<scr<script>ipt>alert(1)</script>", "ipt&gt;alert(1)"),
        ("<script/><p>あ</p>", "<p>あ</p>"),
    ],
)
def test_only_the_small_set_of_tags_stays(dirty: str, clean: str) -> None:
    assert sanitise(dirty) == clean


class Reader(HTMLParser):
    """Collect what a text is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.found.append((tag, attrs))


PIECES = [
    "<p>",
    "</p>",
    "<script>",
    "</script>",
    "<a href='",
    "javascript:",
    "'>",
    "</a>",
    "<",
    ">",
    '"',
    "&#x3c;",
]
PIECES += [
    "<td ",
    "onload=x ",
    "/>",
    "<!--",
    "-->",
    "あ",
    "<style>",
    "<![CDATA[",
    "]]>",
    "&lt;",
    "<svg ",
    "\x00",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_nothing_dangerous_survives_and_cleaning_twice_changes_nothing(dirty: str) -> None:
    clean = sanitise(dirty)
    reader = Reader()
    reader.feed(clean)
    reader.close()
    for tag, attributes in reader.found:
        assert tag in ALLOWED
        for name, value in attributes:
            assert name in ALLOWED[tag]
            assert name != "href" or is_safe_link(value or "")
    assert sanitise(clean) == clean


def test_the_texts_of_the_demo_shop_lose_nothing() -> None:
    for page in PAGES:
        for body in (page.body.ja, page.body.en):
            assert sanitise(body).count("<") == body.count("<")


@pytest.mark.django_db
def test_a_text_is_cleaned_whoever_saves_it_and_shown_in_both_languages(client: Client) -> None:
    build.text(body="<h2>販売業者</h2><script>alert(1)</script>")
    page = client.get("/pages/tokushoho/").content.decode()
    assert "<h2>販売業者</h2>" in page
    assert "alert(1)" not in page
    assert "Seller" in client.get("/en/pages/tokushoho/").content.decode()


@pytest.mark.django_db
def test_a_text_that_does_not_exist_is_not_found(client: Client) -> None:
    assert client.get("/pages/nothing/").status_code == 404
