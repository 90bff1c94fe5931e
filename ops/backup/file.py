"""The file of a backup: lines of JSON, compressed by gzip, encrypted by age if there is a key.

The first line is the header; then for each table its name and columns, its rows, and its end with their
number, SHA-256 and last id; the last line has the totals. Nothing is held in memory but a piece of it.
"""

import gzip
import hashlib
import json
import os
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyrage
from pyrage import x25519

FORMAT = 1
PIECE = 64_000  # bytes
AGE_HEADER = b"age-encryption.org/"
Identity = x25519.Identity


class BackupBroken(Exception):
    """The file is no backup, incomplete, altered, or needs another key; the message says which."""


@dataclass
class Table:
    """What the end of a table says."""

    label: str
    rows: int
    sha256: str
    last_id: int | None


@dataclass
class Contents:
    """What a backup says of itself."""

    header: dict[str, Any]
    tables: list[Table] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Return the number of all rows."""
        return sum(table.rows for table in self.tables)


def line(value: Any) -> bytes:
    """Return a value as a line, the same from every engine: PostgreSQL orders the keys of a JSON value."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True)
    return text.encode("utf-8", "surrogatepass") + b"\n"


class _Compressed:
    """A reader of lines that compresses them as they are read, and keeps the error that ended it."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.problem: Exception | None = None
        self._lines = iter(lines)
        self._compressor = zlib.compressobj(level=6, wbits=31)
        self._buffer = b""
        self._ended = False

    def read(self, size: int = PIECE) -> bytes:
        """Return at most `size` bytes; nothing at the end."""
        parts, length = [self._buffer], len(self._buffer)
        while length < size and not self._ended:
            try:
                piece = self._compressor.compress(next(self._lines))
            except StopIteration:
                piece, self._ended = self._compressor.flush(), True
            except Exception as error:
                self.problem = error
                raise
            parts.append(piece)
            length += len(piece)
        whole = b"".join(parts)
        self._buffer = whole[size:]
        return whole[:size]


class _Hashed:
    """A writer that hashes what it writes, and keeps the first error."""

    def __init__(self, target: IO[bytes]) -> None:
        self.problem: Exception | None = None
        self.target = target
        self.digest = hashlib.sha256()

    def write(self, piece: bytes) -> int:
        """Write a piece."""
        self.digest.update(piece)
        try:
            return self.target.write(piece)
        except Exception as error:
            self.problem = self.problem or error
            raise

    def flush(self) -> None:
        """Write what is buffered."""
        self.target.flush()


def read_recipient(text: str) -> Any:
    """Return an age public key (age1…). Raises `ValueError` for anything else."""
    try:
        return x25519.Recipient.from_str(text)
    except Exception:
        raise ValueError("an age public key begins with age1; make one with age-keygen") from None


def read_identities(path: Path) -> list[Identity]:
    """Return the secret keys of a file of age-keygen. Raises `BackupBroken`."""
    try:
        lines = [each.strip() for each in path.read_text().splitlines()]
        found = [x25519.Identity.from_str(each) for each in lines if each.startswith("AGE-SECRET-KEY-")]
    except Exception as error:
        raise BackupBroken(f"the key file {path} cannot be read: {type(error).__name__}") from None
    if not found:
        raise BackupBroken(f"the key file {path} has no line that begins with AGE-SECRET-KEY-")
    return found


def write(lines: Iterable[bytes], target: IO[bytes], *, recipient: Any = None) -> str:
    """Write lines, compressed and, for a recipient, encrypted; return the SHA-256 of what was written.

    Errors of the lines and of the target come through as they are. pyrage makes its own of them, and says
    nothing of one that meets the last bytes it writes.
    """
    reader, writer = _Compressed(lines), _Hashed(target)
    if recipient is not None:
        try:
            pyrage.encrypt_io(reader, writer, [recipient])
        except pyrage.EncryptError as error:
            raise reader.problem or writer.problem or error from None
        if writer.problem is not None:
            raise writer.problem
    else:
        while piece := reader.read():
            writer.write(piece)
    writer.flush()
    return writer.digest.hexdigest()


@contextmanager
def _plain(source: IO[bytes], identities: list[Identity]) -> Iterator[IO[bytes]]:
    """Yield the compressed content of a file, decrypted by a thread where it is encrypted."""
    start = source.read(len(AGE_HEADER))
    source.seek(0)
    if start != AGE_HEADER:
        yield source
        return
    if not identities:
        raise BackupBroken("the backup is encrypted: name the file with its key (--identity)")
    reading, writing = os.pipe()
    problems: list[Exception] = []

    def decrypt() -> None:
        with os.fdopen(writing, "wb") as out:
            try:
                pyrage.decrypt_io(source, out, identities)
            except BrokenPipeError:  # the reader has stopped
                pass
            except Exception as error:
                problems.append(error)

    thread = threading.Thread(target=decrypt, daemon=True)
    thread.start()
    with os.fdopen(reading, "rb") as plain:
        try:
            yield plain
        except Exception:
            if not problems:  # the content is at fault, not the encryption
                raise
        finally:
            plain.close()
            thread.join()
    if problems:
        raise BackupBroken(
            f"the backup cannot be decrypted: another key, broken off or altered ({problems[0]})"
        )


def read(source: IO[bytes], *, identities: list[Identity]) -> Iterator[tuple[str, Any]]:
    """Yield what a backup has, checked, as (kind, value).

    Kinds: header, table (label and columns), row (values), end (`Table`), contents (`Contents`).

    Raises `BackupBroken` where it is no complete backup.
    """
    try:
        with _plain(source, identities) as plain, gzip.open(plain, "rb") as unpacked:
            yield from _checked(unpacked)
    except (EOFError, OSError, zlib.error, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BackupBroken(f"the file is no backup, or broken off or altered: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BackupBroken(f"the file does not have the form of a backup: {error!r}") from None


def _checked(unpacked: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    lines = iter(unpacked)
    header = json.loads(next(lines, b""))
    if header["backup"] != FORMAT:
        raise BackupBroken(f"the backup has format {header['backup']}; this version reads {FORMAT}")
    contents = Contents(header)
    yield "header", header
    label, digest, rows = "", hashlib.sha256(), 0
    for text in lines:
        value = json.loads(text)
        if isinstance(value, list):
            digest.update(text)
            rows += 1
            yield "row", value
        elif "table" in value:
            label, digest, rows = value["table"], hashlib.sha256(), 0
            yield "table", value
        elif "end" in value:
            table = Table(value["end"], value["rows"], value["sha256"], value["last_id"])
            if (table.label, table.rows, table.sha256) != (label, rows, digest.hexdigest()):
                raise BackupBroken(f"the rows of {label} are not those that were written")
            contents.tables.append(table)
            yield "end", table
        else:
            if (value["tables"], value["rows"]) != (len(contents.tables), contents.rows):
                raise BackupBroken("tables are missing")
            if next(lines, b""):
                raise BackupBroken("something follows the end")
            yield "contents", contents
            return
    raise BackupBroken("the file breaks off")
