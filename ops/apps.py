from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class OpsConfig(AppConfig):
    name = "ops"
    verbose_name = _("Operations")

    def ready(self) -> None:
        """Configure logs, alerts and error reports before the first request or job."""
        from ops.alerts import courier
        from ops.logs import sentry, setup
        from ops.people import roles, sign_in

        setup.configure(production=settings.PRODUCTION)
        courier.install()
        sentry.start_sentry(settings.SENTRY_DSN, environment=settings.ENVIRONMENT, release=settings.RELEASE)
        roles.check_names(settings.MFA_REQUIRED_ROLES)
        sign_in.connect()
