"""The cart: a signed cookie, SKU → quantity and seen price. Browsing writes nothing to the database."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from kikaku.money import MAX_LINE_QUANTITY

CART_COOKIE = f"{settings.COOKIE_PREFIX}cart"
COUNT_COOKIE = "cart_count"  # the number of pieces, which the script shows in the badge; nothing trusts it
COOKIE_SALT = "shop.cart"
COOKIE_MAX_AGE = 30 * 24 * 3600  # seconds
MAX_LINES = 50
MAX_COOKIE_BYTES = 3_900  # browsers allow 4,096 for name, value and attributes together


class CartFull(Exception):
    """The cart has as many different SKUs as fit into a cookie."""


class InvalidQuantity(Exception):
    """A quantity is not an integer in the allowed range."""


@dataclass(frozen=True, slots=True)
class CartLine:
    """A SKU with its quantity."""

    sku: str
    quantity: int  # 1 to 9,999
    price_seen: int  # JPY, the last price that the customer was shown


@dataclass(frozen=True)
class Cart:
    """An immutable cart; `damaged` if its cookie has no valid signature."""

    lines: tuple[CartLine, ...] = ()
    damaged: bool = field(default=False, compare=False)

    def __iter__(self) -> Iterator[CartLine]:
        return iter(self.lines)

    def __bool__(self) -> bool:
        return bool(self.lines)

    @property
    def pieces(self) -> int:
        """Return the number of pieces, shown beside the link to the cart."""
        return sum(line.quantity for line in self.lines)

    def get(self, sku: str) -> CartLine | None:
        """Return the line of a SKU, if there is one."""
        return next((line for line in self.lines if line.sku == sku), None)

    def add(self, sku: str, quantity: int, *, price: int) -> "Cart":
        """Return the cart with `quantity` more of `sku`.

        Raises:
            InvalidQuantity: the sum is not from 1 to 9,999.
            CartFull: it has 50 different SKUs already.
        """
        present = self.get(sku)
        total = quantity + (present.quantity if present else 0)
        if not 1 <= total <= MAX_LINE_QUANTITY:
            raise InvalidQuantity
        line = CartLine(sku, total, price)
        if present:
            return Cart(tuple(line if other.sku == sku else other for other in self.lines))
        if len(self.lines) >= MAX_LINES:
            raise CartFull
        return Cart((*self.lines, line))

    def change(self, sku: str, quantity: int) -> "Cart":
        """Return the cart with `quantity` (1 to 9,999; 0 removes it) of a `sku` that is in it."""
        if not 0 <= quantity <= MAX_LINE_QUANTITY:
            raise InvalidQuantity
        return Cart(
            tuple(
                CartLine(line.sku, quantity, line.price_seen) if line.sku == sku else line
                for line in self.lines
                if line.sku != sku or quantity
            )
        )

    def remove(self, skus: Iterable[str]) -> "Cart":
        """Return the cart without `skus`."""
        gone = set(skus)
        return Cart(tuple(line for line in self.lines if line.sku not in gone))

    def with_seen_prices(self, prices: dict[str, int]) -> "Cart":
        """Return the cart with the prices (SKU → JPY) that the customer was shown now."""
        return Cart(
            tuple(
                CartLine(line.sku, line.quantity, prices.get(line.sku, line.price_seen))
                for line in self.lines
            )
        )


def read_cart(request: HttpRequest) -> Cart:
    """Return the cart of a visitor; it is empty if the cookie is missing, expired or damaged."""
    raw = request.COOKIES.get(CART_COOKIE)
    if not raw:
        return Cart()
    try:
        rows = signing.loads(raw, salt=COOKIE_SALT, max_age=COOKIE_MAX_AGE)
        lines = [CartLine(str(sku), int(quantity), int(price)) for sku, quantity, price in rows]
    except signing.SignatureExpired:
        return Cart()
    except (signing.BadSignature, ValueError, TypeError):
        return Cart(damaged=True)
    return Cart(tuple(lines))


def write_cart(response: HttpResponse, cart: Cart) -> None:
    """Set the cart's cookies on a response; an empty cart deletes them.

    Raises:
        CartFull: the cookie would be larger than browsers allow.
    """
    if not cart:
        response.delete_cookie(CART_COOKIE, samesite="Lax")
        response.delete_cookie(COUNT_COOKIE, samesite="Lax")
        return
    rows = [[line.sku, line.quantity, line.price_seen] for line in cart]
    value = signing.dumps(rows, salt=COOKIE_SALT)
    if len(value) > MAX_COOKIE_BYTES:  # only large carts: compressing doubles the time
        value = signing.dumps(rows, salt=COOKIE_SALT, compress=True)
    if len(value) > MAX_COOKIE_BYTES:
        raise CartFull
    for name, text, hidden in ((CART_COOKIE, value, True), (COUNT_COOKIE, str(cart.pieces), False)):
        response.set_cookie(
            name, text, max_age=COOKIE_MAX_AGE, secure=settings.PRODUCTION, httponly=hidden, samesite="Lax"
        )


def parse_quantity(text: str) -> int:
    """Return a typed quantity, 0 to 9,999; full-width digits are accepted.

    Raises:
        InvalidQuantity: it is not an integer from 0 to 9,999.
    """
    text = text.strip().replace(",", "")
    if not text.isdecimal() or len(text) > 6 or int(text) > MAX_LINE_QUANTITY:
        raise InvalidQuantity
    return int(text)
