"""Pages around the sign-in of staff, below /admin/account/.

The names are allauth's where it looks for them. Customers' accounts need the same names at other addresses:
give requests for those another URL configuration (`request.urlconf`).
"""

from allauth.account import views as account_views
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from ops.people import views

urlpatterns = [
    path(
        "login/",
        RedirectView.as_view(pattern_name="admin:login", query_string=True),
        name="account_login",
    ),
    path("logout/", account_views.logout, name="account_logout"),
    path("inactive/", account_views.account_inactive, name="account_inactive"),
    path("reauthenticate/", account_views.reauthenticate, name="account_reauthenticate"),
    path("2fa/", include("allauth.mfa.urls")),
    path("sign-ins/", admin.site.admin_view(views.sign_ins), name="staff_sign_ins"),
    path("sign-out/", admin.site.admin_view(views.sign_out), name="staff_sign_out"),
    path("password/", views.PASSWORD_RESET, name="admin_password_reset"),
    path("password/sent/", views.PASSWORD_RESET_SENT, name="staff_password_reset_sent"),
    path("password/<uidb64>/<token>/", views.PASSWORD_RESET_CONFIRM, name="staff_password_reset_confirm"),
    path("password/done/", views.PASSWORD_RESET_COMPLETE, name="staff_password_reset_complete"),
]
