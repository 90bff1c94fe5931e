"""Clean the HTML that staff write: a small set of tags, no scripts, no styles, only safe links."""

from collections.abc import Sequence
from html import escape
from html.parser import HTMLParser
from urllib.parse import urlsplit

# tag → attributes that may stay
ALLOWED: dict[str, frozenset[str]] = {
    **{
        tag: frozenset()
        for tag in [
            "h2",
            "h3",
            "h4",
            "p",
            "ul",
            "ol",
            "li",
            "dl",
            "dt",
            "dd",
            "table",
            "caption",
            "thead",
            "tbody",
            "tfoot",
            "tr",
            "strong",
            "em",
            "b",
            "i",
            "small",
            "br",
            "hr",
            "blockquote",
            "address",
            "div",
            "span",
            "sup",
            "sub",
        ]
    },
    "a": frozenset({"href", "hreflang"}),
    "th": frozenset({"scope", "colspan", "rowspan"}),
    "td": frozenset({"colspan", "rowspan"}),
}
VOID = frozenset({"br", "hr"})
SILENT = frozenset({"script", "style", "template", "noscript", "iframe", "object", "svg", "math", "title"})
SCHEMES = frozenset({"http", "https", "mailto", "tel"})


def is_safe_link(href: str) -> bool:
    """Say whether a link leads to a page, a mail or a telephone, and nowhere that runs code."""
    plain = "".join(sign for sign in href if sign > " ")  # browsers skip blanks and control signs in a scheme
    if plain.startswith("//"):
        return False
    try:
        scheme = urlsplit(plain).scheme
    except ValueError:
        return False
    return scheme in SCHEMES if scheme else plain.startswith(("/", "#", "?")) or ":" not in plain


class _Cleaner(HTMLParser):
    """Write down again what is allowed, with every tag closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.open: list[str] = []
        self.silent: list[str] = []  # open elements whose content is dropped

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Keep an allowed tag with its allowed attributes."""
        if tag in SILENT:
            self.silent.append(tag)
        if self.silent or tag not in ALLOWED:
            return
        kept = "".join(
            f' {name}="{escape(value)}"'
            for name, value in attrs
            if name in ALLOWED[tag] and value is not None and (name != "href" or is_safe_link(value))
        )
        self.parts.append(f"<{tag}{kept}>")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close a tag that is open, and what was left open within it."""
        if self.silent:
            if tag in self.silent:
                del self.silent[self.silent.index(tag) :]
            return
        if tag in self.open:
            while True:
                last = self.open.pop()
                self.parts.append(f"</{last}>")
                if last == tag:
                    break

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Treat <br/> as <br>; a self-closed silent tag hides nothing after it."""
        if tag not in SILENT:
            self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        """Keep text, escaped anew."""
        if not self.silent:
            self.parts.append(escape(data, quote=False))

    def finish(self) -> str:
        """Return the cleaned text with every tag closed."""
        self.close()
        self.parts += [f"</{tag}>" for tag in reversed(self.open)]
        return "".join(self.parts)


def sanitise(html: str) -> str:
    """Return `html` with only the allowed tags, attributes and links; everything else is dropped or escaped."""
    cleaner = _Cleaner()
    cleaner.feed(html)
    return cleaner.finish()
