"""The admin's theme, for django-unfold."""

from django.utils.translation import gettext_lazy as _

UNFOLD = {
    "SITE_TITLE": "LED企画",
    "SITE_HEADER": "LED企画",
    "SITE_SUBHEADER": _("Shop and books"),
    "SITE_URL": "/",
    "SITE_SYMBOL": "lightbulb",
    "SHOW_LANGUAGES": False,
    "ENVIRONMENT": None,
    "DASHBOARD_CALLBACK": "ops.admin.dashboard.add_dashboard",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "ops.admin.menu.favicon"}],
    "STYLES": ["ops.admin.menu.stylesheet"],
    "SIDEBAR": {"show_search": True, "command_search": True, "navigation": "ops.admin.menu.navigation"},
    "COMMAND": {"search_callback": "ops.admin.search.find"},
    # the shop's amber (light #d98a1f), from light to dark
    "COLORS": {
        "primary": {
            "50": "oklch(98% .014 80)",
            "100": "oklch(95% .035 78)",
            "200": "oklch(90% .068 76)",
            "300": "oklch(83% .108 74)",
            "400": "oklch(76% .137 71)",
            "500": "oklch(69.5% .145 69)",
            "600": "oklch(55% .122 66)",
            "700": "oklch(47% .105 64)",
            "800": "oklch(40% .087 62)",
            "900": "oklch(34% .071 60)",
            "950": "oklch(24% .05 58)",
        }
    },
}
