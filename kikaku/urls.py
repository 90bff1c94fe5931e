"""The URLs: for machines (without language), then shop and admin, in Japanese at / and in English at /en/."""

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("ops.urls")),
    path("webhooks/", include("ledger.urls")),
    *i18n_patterns(
        path("admin/", admin.site.urls),
        path("", include("shop.urls")),
        prefix_default_language=False,
    ),
]

handler403 = "shop.views.errors.forbidden"
handler404 = "shop.views.errors.not_found"
handler500 = "shop.views.errors.server_error"
