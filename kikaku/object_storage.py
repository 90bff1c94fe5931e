"""Files on R2, or another S3: written once by a conditional PUT, never overwritten.

django-storages does the rest. Its upload is replaced, since boto3's transfer manager knows no
`If-None-Match`. One PUT is stored whole or not at all, so an outage leaves no half file.
"""

import errno
import functools
import io
from collections.abc import Callable
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile
from typing import IO, Any, ParamSpec, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage
from storages.utils import clean_name

CONNECT_SECONDS, READ_SECONDS = 3, 10  # a web thread waits no longer for one attempt
ATTEMPTS = 2  # of each request
MAX_OBJECT_BYTES = 4_900_000_000  # R2 takes less than 5 GiB in one PUT (its documentation, "Limits")
MAX_BYTES_IN_MEMORY = 1_000_000  # of a file that is read; a longer one is kept on disk
COMPARED_BYTES = 1_000_000  # at once

P = ParamSpec("P")
R = TypeVar("R")


class StorageUnavailable(OSError):
    """The object storage does not answer, or answers that it failed. Nothing was lost; try again later."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EHOSTUNREACH, text)  # by which the error pages know that it will pass


class StorageRefused(OSError):
    """The object storage refuses our key or knows no such bucket: a variable is wrong."""


def client_config() -> Config:
    """Return how boto3 talks to R2.

    R2 answers boto3's own checksums with "Unauthorized", so they are sent only where S3 demands them.
    """
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def in_our_words(error: Exception) -> Exception:
    """Return the exception that says what a failed request to the storage means."""
    if not isinstance(error, ClientError):
        return StorageUnavailable(f"The object storage (R2) does not answer: {error}")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error.response.get("Error", {}).get("Code", "")
    if status in (401, 403):
        return StorageRefused(
            f"The object storage (R2) refuses the key ({code}): check R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY "
            "and what its token may do with the bucket."
        )
    if code == "NoSuchBucket":
        return StorageRefused(
            "The object storage (R2) has no such bucket: check R2_PRIVATE_BUCKET and R2_PUBLIC_BUCKET."
        )
    if status >= 500 or status == 429:
        return StorageUnavailable(f"The object storage (R2) answered {status} {code}.")
    return error


def in_clear(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function raise `StorageUnavailable` and `StorageRefused` in the place of boto3's errors."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (BotoCoreError, ClientError) as error:
            raise in_our_words(error) from error

    return wrapped


class ObjectStorage(S3Storage):  # type: ignore[misc]  # django-storages has no types
    """A bucket whose objects are written once.

    `save` raises FileExistsError for a name with other content; the same content again is no error. All
    methods raise `StorageUnavailable` and `StorageRefused`.
    """

    @in_clear
    def _save(self, name: str, content: Any) -> str:
        # Django's hook
        cleaned: str = clean_name(name)
        key = self._normalize_name(cleaned)
        inner = content
        while isinstance(inner, File):  # one without a name is false, and botocore sends nothing for it
            inner = inner.file
        inner.seek(0)
        binary = isinstance(inner.read(0), bytes)
        body: IO[bytes] = inner if binary else io.BytesIO(inner.read().encode())
        body.seek(0, io.SEEK_END)
        size = body.tell()
        if size > MAX_OBJECT_BYTES:
            raise OSError(errno.EFBIG, f"a file of {size} bytes is too large for one object", name)
        body.seek(0)
        client = self.connection.meta.client
        try:
            client.put_object(
                Bucket=self.bucket_name,
                Key=key,
                Body=body,
                IfNoneMatch="*",
                **self._get_write_parameters(cleaned, content),
            )
        except ClientError as error:
            # 409: another PUT of the name is under way
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                raise
            # our first attempt may have been stored, and only its answer lost
            if not self._holds(key, body):
                raise FileExistsError(errno.EEXIST, "a file of this name has other content", name) from None
        return cleaned

    def _holds(self, key: str, body: IO[bytes]) -> bool:
        """Return whether an object has this content."""
        body.seek(0)
        try:
            stored = self.connection.meta.client.get_object(Bucket=self.bucket_name, Key=key)["Body"]
        except self.connection.meta.client.exceptions.NoSuchKey:
            return False
        with stored:
            while True:
                ours, theirs = body.read(COMPARED_BYTES), stored.read(COMPARED_BYTES)
                if ours != theirs:
                    return False
                if not ours:
                    return True

    @in_clear
    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        # Django's hook
        if mode != "rb":
            raise ValueError("files on R2 are opened with mode rb alone")
        client = self.connection.meta.client
        key = self._normalize_name(clean_name(name))
        try:
            stored = client.get_object(Bucket=self.bucket_name, Key=key)["Body"]
        except client.exceptions.NoSuchKey:
            raise FileNotFoundError(errno.ENOENT, "no such file", name) from None
        content = SpooledTemporaryFile(max_size=MAX_BYTES_IN_MEMORY)  # noqa: SIM115  (its File closes it)
        with stored:
            copyfileobj(stored, content)  # raises if the connection breaks off before the object's end
        content.seek(0)
        return File(content, name)

    @in_clear
    def delete(self, name: str) -> None:
        """Delete a file; one that does not exist is no error."""
        super().delete(name)

    @in_clear
    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        found: bool = super().exists(name)
        return found

    @in_clear
    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the folders and the files in a folder."""
        found: tuple[list[str], list[str]] = super().listdir(path)
        return found

    @in_clear
    def size(self, name: str) -> int:
        """Return the size of a file in bytes. Raises FileNotFoundError."""
        size: int = super().size(name)
        return size


class PrivateObjectStorage(ObjectStorage):
    """Evidence and backups: `save` keeps the name or refuses; `url` returns a link that ages in minutes."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return the name itself: a file that is there already must not get a second one beside it."""
        return str(clean_name(name))

    def download_link(self, name: str, *, filename: str, content_type: str) -> str:
        """Return a signed link by which a browser saves a file, for `querystring_expire` seconds."""
        link: str = self.url(
            name,
            parameters={
                "ResponseContentDisposition": f'attachment; filename="{filename}"',
                "ResponseContentType": content_type,
                "ResponseCacheControl": "private, no-store",
            },
        )
        return link
