"""Content pages: sanitised when saved, shown in both languages."""

import re
from html.parser import HTMLParser

import pytest
from django.test import Client
from django.utils.html import strip_tags
from hypothesis import given
from hypothesis import strategies as st

from shop.demo.pages import PAGES
from shop.sanitise import ALLOWED_ATTRIBUTES, ALLOWED_TAGS, sanitise
from shop.testing import build


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("<p>あ<script>alert(1)</script>い</p>", "<p>あい</p>"),
        ('<p onclick="x()" style="color:red" class="a">あ</p>', "<p>あ</p>"),
        ('<a href="javascript:alert(1)">あ</a>', "<a>あ</a>"),
        ('<a href=" java\tscript:alert(1)">あ</a>', "<a>あ</a>"),
        ('<a href="data:text/html,x">あ</a>', "<a>あ</a>"),
        ('<a href="/pages/terms/" target="_blank">あ</a>', '<a href="/pages/terms/">あ</a>'),
        ('<a href="mailto:a@example.jp">あ</a>', '<a href="mailto:a@example.jp">あ</a>'),
        ('<a href="https://example.jp/?a=1&b=2">あ</a>', '<a href="https://example.jp/?a=1&amp;b=2">あ</a>'),
        ("<p>あ<img src=x onerror=alert(1)></p>", "<p>あ</p>"),
        ("<svg><text onload=x>あ</text></svg>い", "い"),
        ("<p>開いたまま<strong>太字", "<p>開いたまま<strong>太字</strong></p>"),
        ("1 < 2 & 3 &lt; 4", "1 &lt; 2 &amp; 3 &lt; 4"),
        ("<!-- <script> --><p>あ</p>", "<p>あ</p>"),
        ("あ<br/>い<br>", "あ<br>い<br>"),
        (
            '<table><tr><th scope="row">あ</th><td colspan="2">い</td></tr></table>',
            '<table><tbody><tr><th scope="row">あ</th><td colspan="2">い</td></tr></tbody></table>',
        ),
        ("<scr<script>ipt>alert(1)</script>", "ipt&gt;alert(1)"),
    ],
)
def test_only_allowed_tags_attributes_and_links_remain(dirty: str, clean: str) -> None:
    assert sanitise(dirty) == clean


def parts(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """Return the opening tags of a text with their attributes."""
    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    reader = Reader()
    reader.feed(html)
    reader.close()
    return found


HTML_PIECES = [
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
HTML_PIECES += [
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


@given(st.lists(st.sampled_from(HTML_PIECES), max_size=14).map("".join))
def test_no_disallowed_tag_attribute_or_link_remains(dirty: str) -> None:
    for tag, attributes in parts(sanitise(dirty)):
        assert tag in ALLOWED_TAGS
        for name, value in attributes.items():
            assert name in ALLOWED_ATTRIBUTES.get(tag, ())
            # browsers ignore blanks and control characters in a scheme
            assert name != "href" or not re.sub(r"[\x00-\x20]", "", value or "").startswith("javascript:")


def test_sanitising_changes_no_content_page_of_the_demo() -> None:
    for page in PAGES:
        for body in (page.body.ja, page.body.en):
            clean = sanitise(body)
            assert [part for part in parts(clean) if part[0] != "tbody"] == [
                part for part in parts(body) if part[0] != "tbody"
            ]
            assert strip_tags(clean) == strip_tags(body)


@pytest.mark.django_db
def test_a_content_page_is_sanitised_when_saved_and_shown_in_both_languages(client: Client) -> None:
    build.content_page(body="<h2>販売業者</h2><script>alert(1)</script>")
    page = client.get("/pages/tokushoho/").content.decode()
    assert "<h2>販売業者</h2>" in page
    assert "alert(1)" not in page
    assert "Seller" in client.get("/en/pages/tokushoho/").content.decode()


@pytest.mark.django_db
def test_an_unknown_content_page_is_not_found(client: Client) -> None:
    assert client.get("/pages/nothing/").status_code == 404
