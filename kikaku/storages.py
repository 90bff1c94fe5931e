"""Where files are stored: on R2 when its variables are set, else on this machine's disk."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from kikaku.environment import env_str

R2_VARIABLES = (
    "R2_ACCESS_KEY_ID",
    "R2_SECRET_ACCESS_KEY",
    "R2_PRIVATE_BUCKET",
    "R2_PUBLIC_BUCKET",
    "R2_PUBLIC_URL",
)


def storages(endpoint_url: str, public_url: str, *, evidence_root: Path) -> dict[str, dict[str, Any]]:
    """Return Django's STORAGES; raise `ImproperlyConfigured` if a variable of R2 is missing."""
    on_disk: dict[str, dict[str, Any]] = {
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "evidence": {
            "BACKEND": "kikaku.durable_files.DurableFileStorage",
            "OPTIONS": {"location": evidence_root, "base_url": None},
        },
    }
    if not endpoint_url:
        return on_disk
    for name in R2_VARIABLES:
        if not env_str(name):
            raise ImproperlyConfigured(
                f"{name} is missing: R2_ENDPOINT_URL needs {', '.join(R2_VARIABLES)} too."
            )
    from botocore.config import Config  # it is slow to import

    options: dict[str, Any] = {
        "endpoint_url": endpoint_url,
        "access_key": env_str("R2_ACCESS_KEY_ID"),
        "secret_key": env_str("R2_SECRET_ACCESS_KEY"),
        "region_name": "auto",
        "default_acl": None,
        "file_overwrite": False,
        "client_config": Config(
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=20,
            request_checksum_calculation="when_required",  # R2 answers boto3's own checksums "Unauthorized"
            response_checksum_validation="when_required",
        ),
    }
    public = {"bucket_name": env_str("R2_PUBLIC_BUCKET"), "custom_domain": urlsplit(public_url).netloc}
    private = {"bucket_name": env_str("R2_PRIVATE_BUCKET")}
    return {
        **on_disk,
        "default": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**options, **public}},
        "evidence": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**options, **private}},
    }
