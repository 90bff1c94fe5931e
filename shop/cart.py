"""The cart: a signed cookie, SKU → quantity and the price that was seen. Browsing writes nothing to the database."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

COOKIE = "cart"
COUNT_COOKIE = (
    "cart_count"  # only the number of pieces, for the badge: readable by the script, worth nothing forged
)
SALT = "shop.cart"
MAX_AGE = 30 * 24 * 3600  # seconds
MAX_LINES = 50
MAX_QUANTITY = 9_999
MAX_BYTES = 3_900  # browsers keep 4,096 for name, value and attributes together


class CartFull(Exception):
    """The cart holds as many different goods as a cookie carries."""


class WrongQuantity(Exception):
    """The typed quantity is no whole number from 1 to 9,999."""


@dataclass(frozen=True, slots=True)
class CartLine:
    """What somebody wants."""

    sku: str
    quantity: int  # 1 to 9,999
    price_seen: int  # JPY, when it was put into the cart or last confirmed


@dataclass(frozen=True)
class Cart:
    """An immutable cart; `damaged` says that a cookie came which we did not sign."""

    lines: tuple[CartLine, ...] = ()
    damaged: bool = field(default=False, compare=False)

    def __iter__(self) -> Iterator[CartLine]:
        return iter(self.lines)

    def __bool__(self) -> bool:
        return bool(self.lines)

    @property
    def pieces(self) -> int:
        """Number of pieces, shown beside the link to the cart."""
        return sum(line.quantity for line in self.lines)

    def get(self, sku: str) -> CartLine | None:
        """Return the line of a SKU."""
        return next((line for line in self.lines if line.sku == sku), None)

    def add(self, sku: str, quantity: int, *, price: int) -> "Cart":
        """Return the cart with `quantity` more of `sku`.

        Raises:
            WrongQuantity: together it would be more than 9,999.
            CartFull: there are 50 different goods in it already.
        """
        present = self.get(sku)
        together = quantity + (present.quantity if present else 0)
        if not 1 <= together <= MAX_QUANTITY:
            raise WrongQuantity
        line = CartLine(sku, together, price)
        if present:
            return Cart(tuple(line if other.sku == sku else other for other in self.lines))
        if len(self.lines) >= MAX_LINES:
            raise CartFull
        return Cart((*self.lines, line))

    def change(self, sku: str, quantity: int) -> "Cart":
        """Return the cart with `quantity` (1 to 9,999; 0 removes) of `sku`, if it is in it at all."""
        if not 0 <= quantity <= MAX_QUANTITY:
            raise WrongQuantity
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

    def seen(self, prices: dict[str, int]) -> "Cart":
        """Return the cart with the prices that the customer has now seen."""
        return Cart(
            tuple(
                CartLine(line.sku, line.quantity, prices.get(line.sku, line.price_seen))
                for line in self.lines
            )
        )


def read(request: HttpRequest) -> Cart:
    """Read the cart of a visitor; a cookie that we did not sign, or that is too old, is an empty cart."""
    raw = request.COOKIES.get(COOKIE)
    if not raw:
        return Cart()
    try:
        rows = signing.loads(raw, salt=SALT, max_age=MAX_AGE)
        lines = [CartLine(str(sku), int(quantity), int(price)) for sku, quantity, price in rows]
    except signing.SignatureExpired:
        return Cart()
    except (signing.BadSignature, ValueError, TypeError):
        return Cart(damaged=True)
    return Cart(tuple(lines))


def write(response: HttpResponse, cart: Cart) -> None:
    """Put the cart into the visitor's cookies; an empty one removes them.

    Raises:
        CartFull: the cookie would be larger than browsers keep.
    """
    if not cart:
        response.delete_cookie(COOKIE, samesite="Lax")
        response.delete_cookie(COUNT_COOKIE, samesite="Lax")
        return
    rows = [[line.sku, line.quantity, line.price_seen] for line in cart]
    value = signing.dumps(rows, salt=SALT)
    if len(value) > MAX_BYTES:  # compressing takes as long as all the rest: only what has to be
        value = signing.dumps(rows, salt=SALT, compress=True)
    if len(value) > MAX_BYTES:
        raise CartFull
    for name, text, hidden in ((COOKIE, value, True), (COUNT_COOKIE, str(cart.pieces), False)):
        response.set_cookie(
            name, text, max_age=MAX_AGE, secure=settings.PRODUCTION, httponly=hidden, samesite="Lax"
        )


def parse_quantity(text: str) -> int:
    """Read a typed quantity, full-width digits too; 0 is allowed and means: none.

    Raises:
        WrongQuantity: it is no whole number from 0 to 9,999.
    """
    text = text.strip().replace(",", "")
    if not text.isdecimal() or len(text) > 6 or int(text) > MAX_QUANTITY:
        raise WrongQuantity
    return int(text)
