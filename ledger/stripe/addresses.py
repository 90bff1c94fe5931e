"""Which e-mail addresses Stripe takes from us."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_email


def is_standard(email: str) -> bool:
    """Return whether an address follows the standard (RFC 5322), as Stripe demands.

    Japanese mobile carriers gave out others, such as `hanako.@docomo.ne.jp`. Mail reaches them; Stripe is
    told none, and asks for one on its page where it needs it.
    """
    try:
        validate_email(email)
    except ValidationError:
        return False
    return True
