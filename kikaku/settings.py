"""Settings: one file, read from environment variables.

`.env.example` lists every variable with its meaning and default. A wrong or dangerous value raises
`ImproperlyConfigured` with the variable's name, so that nothing starts half-configured.
"""

import re
from datetime import date
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from dotenv import load_dotenv

from kikaku import mail_address, postgresql, theme
from kikaku.d1 import address as d1_address
from kikaku.door import THREADS
from kikaku.environment import env_choice, env_int, env_list, env_origins, env_secret, env_str, env_url
from kikaku.sqlite import address as sqlite_address
from kikaku.storages import storages

BASE_DIR = Path(__file__).resolve().parent.parent

load_dotenv(BASE_DIR / ".env")  # written by `make run`; real environment variables take precedence

DATABASE_URL = env_str("DATABASE_URL")
# What a shop writes on this machine: database, media, evidence. A shop on D1 has its own folder, so that two
# shops of one checkout share neither the Stripe stand-in's state nor logins.
VAR_DIR = BASE_DIR / "var" / ("d1" if urlsplit(DATABASE_URL).scheme in d1_address.SCHEMES else "")

# ── Environment ──────────────────────────────────────────────────────────────────────────────────────────

ENVIRONMENT = env_choice("ENVIRONMENT", "production", ("production", "development"))
PRODUCTION = ENVIRONMENT == "production"
DEBUG = False  # the shop's own error pages everywhere; tracebacks go to the log

PORT = env_int("PORT", 8000, minimum=1, maximum=65535)
STOREFRONT_BASE_URL = env_url("STOREFRONT_BASE_URL", "" if PRODUCTION else f"http://127.0.0.1:{PORT}")
if PRODUCTION and not STOREFRONT_BASE_URL.startswith("https://"):
    raise ImproperlyConfigured(
        "STOREFRONT_BASE_URL must be the shop's https:// address in production. "
        "On your own machine set ENVIRONMENT=development (`make run` does)."
    )
_storefront = urlsplit(STOREFRONT_BASE_URL)
ALLOWED_HOSTS = [_storefront.hostname or ""] + (
    [] if PRODUCTION else ["127.0.0.1", "localhost", "testserver"]
)
CSRF_TRUSTED_ORIGINS = [f"{_storefront.scheme}://{_storefront.netloc}"]

SECRET_KEY = env_str("SECRET_KEY") or ("" if PRODUCTION else "development-only-" + "0" * 40)
if len(SECRET_KEY) < 50 or (PRODUCTION and SECRET_KEY.startswith("development-only-")):
    raise ImproperlyConfigured(
        "SECRET_KEY must be a random text of 50 characters or more in production, for example from "
        '`python -c "import secrets; print(secrets.token_urlsafe(48))"`.'
    )
ADMIN_API_KEY = env_secret("ADMIN_API_KEY")
RELEASE = env_str("RELEASE")
if not re.fullmatch(r"[\w.+-]{0,64}", RELEASE):
    raise ImproperlyConfigured("RELEASE must be a short name such as a commit: letters, digits and . + - _")
# with it a request proves that it came through our Worker
D1_GATEWAY_SECRET = env_secret("D1_GATEWAY_SECRET")

# ── Apps ─────────────────────────────────────────────────────────────────────────────────────────────────

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.sitemaps",
    "django.contrib.humanize",  # for the pages of allauth's passkeys
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_q",
    "auditlog",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "corsheaders",
    "kikaku.d1",  # for its commands; DATABASE_URL selects the database
    "ledger",
    "shop",
    "ops",
]

MIDDLEWARE = [
    "ops.metrics.requests.RouteMiddleware",
    "kikaku.client_address.ClientAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "kikaku.permissions_policy.PermissionsPolicyMiddleware",
    "kikaku.static_files.StaticFilesMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "ops.web.limits.RateLimitMiddleware",  # after the check for forgeries, which are not to be counted
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "ops.web.policy.AdminPolicyMiddleware",
    "ops.web.audit.AdminAuditMiddleware",
    "ops.logs.sentry.SentryUserMiddleware",
    "ops.people.sessions.StaffSessionMiddleware",
    "ops.people.proof.ProofMiddleware",
]

ROOT_URLCONF = "kikaku.urls"
ORDER_PAGES = "shop.order_pages.ShopOrderPages"  # the customer's pages that the ledger links to
# `verify_books` reports them beside the books' own
OTHER_TRIGGERS = ["shop.pages.version.broken_triggers", "ops.people.triggers.broken_triggers"]
WSGI_APPLICATION = "kikaku.wsgi.application"
REFUSAL_PAGE = "ops.web.errors.refusal_page"  # the page for a request that the front door refuses
# around Django's application; the last is the outermost
WSGI_LAYERS = [
    "kikaku.content_type.PlainContentType",
    "shop.pages.store.PageStore",
    "ops.metrics.requests.RequestLog",
]
REFUSAL_OBSERVER = "ops.metrics.requests.observe_refusal"  # counts what the front door refuses
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "ops.people.context.account_context",
            ],
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ── Database ─────────────────────────────────────────────────────────────────────────────────────────────
# Each thread of the web process has a connection: WEB_THREADS on PostgreSQL, as many to D1's gateway.
# ATOMIC_REQUESTS stays off: with IMMEDIATE transactions every GET would take SQLite's write lock.

WEB_THREADS = sum(THREADS.values())
if not DATABASE_URL:
    VAR_DIR.mkdir(exist_ok=True)
    DATABASE_URL = f"sqlite:///{VAR_DIR / 'kikaku.sqlite3'}"
_scheme = urlsplit(DATABASE_URL).scheme
try:
    if _scheme in d1_address.SCHEMES:
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        _database = d1_address.database(
            DATABASE_URL, gateway_secret=D1_GATEWAY_SECRET, api_token=env_str("CLOUDFLARE_API_TOKEN")
        )
        _database["OPTIONS"].setdefault("pool_size", WEB_THREADS)
    elif _scheme in ("postgres", "postgresql"):
        _database = postgresql.database(DATABASE_URL)
    elif _scheme == "sqlite":
        _database = sqlite_address.database(DATABASE_URL)
    else:
        raise ImproperlyConfigured(
            "DATABASE_URL must begin with sqlite:///, postgres://, d1:// or d1-rest://."
        )
except ValueError as error:
    raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {error}.") from None
DATABASES = {"default": _database}

# ── Language and time ────────────────────────────────────────────────────────────────────────────────────

LANGUAGE_CODE = "ja"
LANGUAGES = [("ja", _("Japanese")), ("en", _("English"))]
TIME_ZONE = "Asia/Tokyo"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = "kikaku.formats"
# texts that other packages leave untranslated; each app has its own catalogue
LOCALE_PATHS = [BASE_DIR / "kikaku" / "locale"]

# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_ROOT = BASE_DIR / "public"  # files that browsers look for at /, such as favicon.ico
MEDIA_URL = "/media/"
MEDIA_ROOT = VAR_DIR / "media"
EVIDENCE_ROOT = VAR_DIR / "evidence"
BACKUP_ROOT = VAR_DIR / "backups"
BACKUPS_KEPT = 10  # the newest; there is one a week
BACKUP_RECIPIENT = env_str("BACKUP_RECIPIENT")
if not re.fullmatch(r"(age1[0-9a-z]{58})?", BACKUP_RECIPIENT):
    raise ImproperlyConfigured("BACKUP_RECIPIENT must be an age public key: age1 and 58 characters.")

R2_ENDPOINT_URL = env_url("R2_ENDPOINT_URL")
R2_PUBLIC_URL = env_url("R2_PUBLIC_URL")
STORAGES = storages(
    R2_ENDPOINT_URL,
    R2_PUBLIC_URL,
    evidence_root=EVIDENCE_ROOT,
    backup_root=BACKUP_ROOT,
    link_seconds=60 * env_int("R2_LINK_MINUTES", 5, minimum=1, maximum=60),
)

# ── Stripe ───────────────────────────────────────────────────────────────────────────────────────────────

STRIPE_API_VERSION = "2026-08-26.dahlia"
STRIPE_SECRET_KEY = env_str("STRIPE_SECRET_KEY")
STRIPE_PUBLISHABLE_KEY = env_str("STRIPE_PUBLISHABLE_KEY")
STRIPE_WEBHOOK_SECRETS = env_list("STRIPE_WEBHOOK_SECRET")  # two while rotating
STRIPE_API_BASE = env_url("STRIPE_API_BASE")
if STRIPE_SECRET_KEY and not STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_", "sk_test_", "rk_test_")):
    raise ImproperlyConfigured("STRIPE_SECRET_KEY must begin with sk_live_, rk_live_, sk_test_ or rk_test_.")
if STRIPE_PUBLISHABLE_KEY and not STRIPE_PUBLISHABLE_KEY.startswith(("pk_live_", "pk_test_")):
    raise ImproperlyConfigured("STRIPE_PUBLISHABLE_KEY must begin with pk_live_ or pk_test_.")
if (
    any(not secret.startswith("whsec_") for secret in STRIPE_WEBHOOK_SECRETS)
    or len(STRIPE_WEBHOOK_SECRETS) > 2
):
    raise ImproperlyConfigured(
        "STRIPE_WEBHOOK_SECRET must be one secret that begins with whsec_, or two with a comma."
    )
_live_keys = [
    name
    for name, key in (
        ("STRIPE_SECRET_KEY", STRIPE_SECRET_KEY),
        ("STRIPE_PUBLISHABLE_KEY", STRIPE_PUBLISHABLE_KEY),
    )
    if "_live_" in key[:8]
]
if PRODUCTION:
    if STRIPE_API_BASE:
        raise ImproperlyConfigured(
            "STRIPE_API_BASE points to the stand-in and is refused in production: remove it."
        )
    if "STRIPE_SECRET_KEY" not in _live_keys:
        raise ImproperlyConfigured(
            "STRIPE_SECRET_KEY must be a live key (sk_live_… or rk_live_…) in production."
        )
    if STRIPE_PUBLISHABLE_KEY and "STRIPE_PUBLISHABLE_KEY" not in _live_keys:
        raise ImproperlyConfigured("STRIPE_PUBLISHABLE_KEY is a test key: production needs pk_live_….")
    if not STRIPE_WEBHOOK_SECRETS:
        raise ImproperlyConfigured(
            "STRIPE_WEBHOOK_SECRET is missing: copy it from the webhook endpoint in Stripe."
        )
elif _live_keys:
    raise ImproperlyConfigured(
        f"{_live_keys[0]} is a live key, but ENVIRONMENT is development: use a test key."
    )

# Without a key (development only) the stand-in answers: over HTTP at STRIPE_API_BASE if that is set, else
# in-process.
SANDBOX = not PRODUCTION and not STRIPE_SECRET_KEY
SANDBOX_STATE = VAR_DIR / "stripe-sandbox.sqlite3"
SANDBOX_PORT = (urlsplit(STRIPE_API_BASE).port if STRIPE_API_BASE else None) or PORT + 1
SANDBOX_BASE_URL = STRIPE_API_BASE or f"http://127.0.0.1:{SANDBOX_PORT}"
if SANDBOX and not STRIPE_WEBHOOK_SECRETS:
    STRIPE_WEBHOOK_SECRETS = ["whsec_sandbox"]
# Dotted paths, because production must not import the stand-in: a factory of Stripe's HTTP client, and a
# context manager around each scheduled job that yields a reason to wait while a demo history is written.
STRIPE_HTTP_CLIENT = "kikaku.sandbox.adapter.http_client" if SANDBOX else ""
JOB_GUARD = "kikaku.sandbox.adapter.job_guard" if SANDBOX else ""
DEMO_YEAR_END = SANDBOX and not STRIPE_API_BASE  # whether a new shop has orders around it

# ── The shop's terms (integer JPY, tax included) ─────────────────────────────────────────────────────────

SHIPPING_FEE = 500
FREE_SHIPPING_FROM = 5_000  # goods total after discount
ORDER_MINIMUM = 50  # Stripe refuses card payments below this
CHECKOUT_MINUTES = 35  # Stripe requires 30 minutes or more
KONBINI_MINIMUM, KONBINI_MAXIMUM = 120, 300_000  # Stripe's limits at a convenience store
# a voucher is valid until 23:59:59 JST of the day this many days after its creation; Stripe accepts 1 to 60
KONBINI_DAYS = 3
# mails to one address that is of no paid order: anybody may have typed it
UNSOLICITED_MAILS_A_DAY = 6
MAX_UNPAID_ORDERS = 3  # at once, of one e-mail and of one client (`ledger.sales.holds`)
MAX_ORDERS_PER_HOUR = 10  # of one client
VOUCHER_STOCK_SHARE = Fraction(1, 3)  # of an item's stock, which vouchers may hold in all
VOUCHER_PIECES = 3  # of an item, which they may always hold
DISPATCH_CUTOFF_HOUR = 15  # JST; an order before it leaves on the same business day
DELIVERY_DAYS = 2  # calendar days to a prefecture for which staff keep none (`ledger.sales.delivery`)
REFUND_CEILING = env_int("REFUND_CEILING", 30_000, minimum=0, maximum=10_000_000)  # `ledger.admin.ceiling`
RETURN_DAYS = 30  # days after arrival within which a customer may ask for a return
# who sells, as 特定商取引法 demands it on pages and mails: fictional until the shop's own are written here
SELLER = {
    "ja": {
        "name": "LED企画デモ商店（見本）",
        "address": "〒100-0000 東京都見本区見本町1-2-3 見本ビル4階",
        "telephone": "03-0000-0000",
        "hours": "平日 10:00〜17:00",
    },
    "en": {
        "name": "LED Kikaku Demo Store (sample)",
        "address": "4F Mihon Building, 1-2-3 Mihoncho, Mihon-ku, Tokyo 100-0000, Japan",
        "telephone": "03-0000-0000",
        "hours": "weekdays 10:00–17:00 JST",
    },
}
CLOSED_DAYS: frozenset[date] = frozenset()  # JST days without dispatch besides the weekends

# When a fact becomes a to-do of staff (`ops.todos.rules`; docs/operations.md has what to do about each)
TODO_THRESHOLDS = {
    "stock_pieces": 5,  # so few left to sell, or fewer
    "event_attempts": 3,  # failed so often
    "unfulfilled_days": 3,  # since it was paid; urgent after twice as many
    "high_value": 100_000,  # JPY, of an order that is paid and not shipped
    "rate_minimum": 10,  # payments (orders), below which no rate says anything
    "refund_days": 30,
    "refund_warning_percent": 30,  # of the payments of these days
    "refund_alarm_percent": 50,
    "payment_hours": 24,
    "payment_warning_percent": 20,  # of the orders of these hours that somebody tried to pay
    "payment_alarm_percent": 40,
    "volume_high_percent": 300,  # of the mean of seven days
    "volume_low_percent": 30,
    "volume_minimum": 10,  # orders a day, below which the number says nothing
}

# No page is kept here (see `shop.pages`); unfold would keep found customers for five minutes.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

# ── Mail, queue, logs ────────────────────────────────────────────────────────────────────────────────────

EMAIL_URL = env_str("EMAIL_URL") or "console:"
DEFAULT_FROM_EMAIL = "LED企画 <shop@example.jp>"
EMAIL_TIMEOUT = 10
try:
    _mail = mail_address.server(EMAIL_URL)
except ValueError as error:
    raise ImproperlyConfigured(str(error)) from None
EMAIL_BACKEND = _mail.backend
EMAIL_HOST, EMAIL_PORT = _mail.host, _mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.ssl, _mail.starttls

REDIS_URL = env_url("REDIS_URL", schemes=("redis", "rediss"))
Q_CLUSTER: dict[str, object] = {
    "name": "kikaku",
    "workers": 1,
    "timeout": 300,  # with the defaults None and 60 a long task runs twice
    "retry": 600,
    "max_attempts": 1,  # the next run of a job does what a failed one left
    "ack_failures": True,
    "catch_up": False,  # the jobs catch up by themselves after an outage
    "bulk": 1,
    "save_limit": -1,
    "poll": 2,
    "label": "Django Q",
    "scheduler": False,  # it would run any function that a row of its table names; see `ops.jobs.queue`
    "broker_class": "ops.jobs.queue.RedisQueue" if REDIS_URL else "ops.jobs.queue.DatabaseQueue",
    **({"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}),
}

WORKER_HEARTBEAT_FILE = env_str("WORKER_HEARTBEAT_FILE")
# Gets a mail of each daily close, with the SHA-256 that anchors the chain of evidence outside the database.
BOOKS_EMAIL = env_str("BOOKS_EMAIL")
SLACK_WEBHOOK_URL = env_url("SLACK_WEBHOOK_URL", schemes=("https", "http"))
ALERTS_IN_DEVELOPMENT = env_choice("ALERTS_IN_DEVELOPMENT", "0", ("0", "1")) == "1"
ALERTS_REPEAT_HOURS = 24  # an alert that is not over is sent again, if it still occurs
ALERT_REFUND_FROM = 50_000  # JPY, of one refund
ALERTS_PER_HOUR = 30  # messages to Slack; what is more waits, and comes in one message
PROCESS_START = "ops.health.watch.start"  # each web process calls it: it watches database, worker and jobs
WATCH_SECONDS = 30
WEB_WORKERS = env_int("WEB_WORKERS", 1, minimum=1, maximum=64)  # `kikaku.server` sets it for its processes
SENTRY_DSN = env_url("SENTRY_DSN", schemes=("https", "http"))
LOGGING_CONFIG = None  # ops.apps sets up structlog

# Features that an optional variable would switch on; web and worker log them at their start.
SWITCHED_OFF = [
    feature
    for feature, is_on in (
        ("files on R2 (R2_ENDPOINT_URL): they are stored below var/", R2_ENDPOINT_URL),
        (
            "client addresses from our Worker (D1_GATEWAY_SECRET): the connection's address counts",
            D1_GATEWAY_SECRET,
        ),
        ("Redis (REDIS_URL): jobs queue in the database", REDIS_URL),
        ("sending mail (EMAIL_URL): it is printed in the log", _mail.host),
        ("the mail of each daily close (BOOKS_EMAIL)", BOOKS_EMAIL),
        ("encrypted backups (BACKUP_RECIPIENT)", BACKUP_RECIPIENT),
        ("alerts to Slack (SLACK_WEBHOOK_URL)", SLACK_WEBHOOK_URL),
        ("error reports to Sentry (SENTRY_DSN)", SENTRY_DSN),
        ("Stripe itself (STRIPE_SECRET_KEY): the stand-in answers", not SANDBOX),
    )
    if not is_on
]

# ── Security ─────────────────────────────────────────────────────────────────────────────────────────────

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PRODUCTION else None
SECURE_SSL_REDIRECT = False  # the edge in front speaks https; the health probe inside does not
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
# W008: see above. W005, W021: the domain's other hosts are the merchant's, and may still speak http
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_ENGINE = "shop.sessions"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 24 * 3600
CHECKOUT_SESSION_SECONDS = 4 * 3600  # since the last step: the session of a customer holds the typed address
# a browser takes a cookie of such a name from this very host alone, over https: no subdomain can plant one
COOKIE_PREFIX = "__Host-" if PRODUCTION else ""
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}sessionid"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}csrftoken"
CSRF_FAILURE_VIEW = "ops.web.errors.forged"
CORS_ALLOWED_ORIGINS = list(
    dict.fromkeys(
        CSRF_TRUSTED_ORIGINS
        + env_origins("CORS_ALLOWED_ORIGINS", schemes=("https",) if PRODUCTION else ("https", "http"))
    )
)
CORS_URLS_REGEX = r"^/api/.*$"
CORS_ALLOW_CREDENTIALS = False  # nothing there knows a visitor
CORS_ALLOW_METHODS = ("GET", "HEAD", "OPTIONS")
CORS_ALLOW_HEADERS = ("accept", "if-none-match")
CORS_EXPOSE_HEADERS = ("etag", "retry-after")
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"  # for a login that names no page to go to
# allauth: how staff sign in (`ops.people`)
ACCOUNT_ADAPTER = "ops.people.sign_in.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"  # the owner enters the addresses
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900  # seconds
ACCOUNT_RATE_LIMITS = MFA_RATE_LIMITS = False  # they need a cache; ours are below
ACCOUNT_FORMS = {"reauthenticate": "ops.people.forms.PasswordForm"}
MFA_ADAPTER = "ops.people.second_factor.MFAAdapter"  # encrypts secrets under SECRET_KEY
MFA_FORMS = {
    "authenticate": "ops.people.forms.AuthenticateForm",
    "reauthenticate": "ops.people.forms.ReauthenticateForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "LED企画"
MFA_TOTP_TOLERANCE = 1  # codes of the 30 seconds before and after, for clocks that differ
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
MFA_REQUIRED_ROLES = env_list("MFA_REQUIRED_ROLES") or (["店主", "経理"] if PRODUCTION else [])
PROOF_OF_IDENTITY = "ops.people.sign_in.is_recent"
SIGN_IN_DAYS = 180  # how long sign-ins are listed
AUDITLOG_CID_HEADER = None  # a request must not control what the audit log stores
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000
BODY_PATIENCE_SECONDS, STALL_SECONDS = 20.0, 60.0  # for 10,000 bytes of a body, for any of a response

# Per client: (requests at once, seconds in which as many are allowed again), see `ops.web.limits`. A shared
# connection (an office, a mobile carrier) is one client.
RATE_LIMITS = {
    "GET search": (120, 60),
    "POST cart_add": (120, 60),
    "POST cart_update": (120, 60),
    "POST order_again": (120, 60),
    "POST checkout": (60, 300),
    "POST checkout_place": (60, 300),
    "POST order_pay": (60, 300),
    "POST order_cancel": (60, 300),
    "POST contact": (15, 3600),
    "POST admin:login": (15, 300),
    "POST mfa_authenticate": (15, 300),
    "POST mfa_login_webauthn": (15, 300),
    "POST mfa_reauthenticate": (15, 300),
    "POST account_reauthenticate": (15, 300),
    "POST admin_password_reset": (5, 3600),
}
LOGIN_LIMIT_PER_NAME = (15, 300)  # for one user name from all clients; known browsers have their own
SECOND_FACTOR_LIMIT_PER_DAY = (40, 86_400)  # codes for one user from all browsers that are not known

_images = [SELF, "data:"] + ([R2_PUBLIC_URL] if R2_PUBLIC_URL else [])
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": _images,
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # applies to a form's redirect, too: placing an order leads to Stripe's page
        "form-action": [SELF, "https://checkout.stripe.com"] + ([SANDBOX_BASE_URL] if SANDBOX else []),
    }
}

UNFOLD = theme.UNFOLD
