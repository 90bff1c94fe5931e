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

PICTURE_CACHE_CONTROL = "public, max-age=31536000, immutable"  # a picture's name is never used again


def storages(
    endpoint_url: str, public_url: str, *, evidence_root: Path, backup_root: Path, link_seconds: int
) -> dict[str, dict[str, Any]]:
    """Return Django's STORAGES; raise `ImproperlyConfigured` if a variable of R2 is missing.

    `default` has the pictures, which are public. `evidence` and `backups` are private: on R2 the same bucket,
    the backups below `backups/`. A signed link to a private file is valid `link_seconds`.
    """
    on_disk: dict[str, dict[str, Any]] = {
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
        "default": {"BACKEND": "kikaku.durable_files.DurableFileStorage"},
        "evidence": {
            "BACKEND": "kikaku.durable_files.DurableFileStorage",
            "OPTIONS": {"location": evidence_root, "base_url": None},
        },
        "backups": {
            "BACKEND": "kikaku.durable_files.WrittenOnceFileStorage",
            "OPTIONS": {"location": backup_root, "base_url": None},
        },
    }
    if not endpoint_url:
        return on_disk
    for name in R2_VARIABLES:
        if not env_str(name):
            raise ImproperlyConfigured(
                f"{name} is missing: R2_ENDPOINT_URL needs {', '.join(R2_VARIABLES)} too."
            )
    from kikaku.object_storage import client_config  # boto3 is slow to import

    public_address = urlsplit(public_url)
    options: dict[str, Any] = {
        "endpoint_url": endpoint_url,
        "access_key": env_str("R2_ACCESS_KEY_ID"),
        "secret_key": env_str("R2_SECRET_ACCESS_KEY"),
        "region_name": "auto",
        "default_acl": None,  # R2 has no ACLs
        "client_config": client_config(),
    }
    public = {
        "bucket_name": env_str("R2_PUBLIC_BUCKET"),
        "custom_domain": public_address.netloc + public_address.path,
        "url_protocol": f"{public_address.scheme}:",
        "file_overwrite": False,  # a name that is taken gets an addition
        "object_parameters": {"CacheControl": PICTURE_CACHE_CONTROL},
    }
    private = {"bucket_name": env_str("R2_PRIVATE_BUCKET"), "querystring_expire": link_seconds}
    private_backend = "kikaku.object_storage.PrivateObjectStorage"
    return {
        **on_disk,
        "default": {
            "BACKEND": "kikaku.object_storage.ObjectStorage",
            "OPTIONS": {**options, **public},
        },
        "evidence": {"BACKEND": private_backend, "OPTIONS": {**options, **private}},
        "backups": {"BACKEND": private_backend, "OPTIONS": {**options, **private, "location": "backups"}},
    }
