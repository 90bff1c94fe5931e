"""The URLs: for machines (without language), then shop and admin, in Japanese at / and in English at /en/."""

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("ops.urls")),
    path("webhooks/", include("ledger.urls")),
    path("", include("shop.machine_urls")),
    *i18n_patterns(
        path("admin/account/", include("ops.people.urls")),
        path("admin/", admin.site.urls),
        path("", include("shop.urls")),
        prefix_default_language=False,
    ),
]

handler400 = "ops.web.errors.bad_request"
handler403 = "ops.web.errors.forbidden"
handler404 = "ops.web.errors.not_found"
handler500 = "ops.web.errors.server_error"
