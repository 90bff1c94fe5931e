"""The pages to which a customer may be sent: those at Stripe, and in development those of the stand-in."""

import re

from django.conf import settings

STRIPE_PAGE = re.compile(r"https://(?:[a-z0-9-]+\.)*stripe\.com/[!-~]*")


def is_stripe_page(url: str) -> bool:
    """Return whether an address is a page at Stripe, or at the stand-in while that answers for Stripe."""
    if STRIPE_PAGE.fullmatch(url):
        return True
    return settings.SANDBOX and url.startswith(f"{settings.SANDBOX_BASE_URL}/")
