"""Finds the files to load and reads their bytes: local or S3, plain, gzip or zstd, checked and hashed."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, cast

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from telestream.errors import SourceError, TelestreamError, TransientError, UsageError

READ_BYTES = 1 << 20
HEAD_BYTES = 256 << 10
"""Enough decompressed bytes for a thousand lines."""

IGNORED_SUFFIXES = (
    ".manifest.json",
    ".tmp",
    ".part",
    ".partial",
    ".filepart",
    ".crc",
    ".md5",
    ".sha256",
    ".md",
    ".yaml",
    ".yml",
)
"""Names that a folder or a pattern does not yield: half-copied files, checksums, manifests, notes."""

PARQUET_MAGIC = b"PAR1"
AVRO_MAGIC = b"Obj\x01"
_COMPRESSION: tuple[tuple[bytes, Literal["gzip", "zstd"]], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_ARCHIVES = ((b"PK\x03\x04", "a zip archive"), (b"\xfd7zXZ\x00", "xz-compressed"), (b"7z\xbc\xaf", "a 7z archive"))
_BZIP2 = re.compile(rb"BZh[1-9]1AY&SY")
_COPY_AGAIN = "Copy the file again from where it was written, and load it once it is complete."


class ByteStream(Protocol):
    """What readers need of a file."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, nothing at the end."""

    def close(self) -> None:
        """Free it."""


@dataclass(frozen=True)
class Source:
    """A file to load.

    Attributes:
        uri: absolute path, or `s3://bucket/key`.
        size: bytes as stored. A local file that grows later is read up to here.
        modified_at: when it was last written.
    """

    uri: str
    size: int
    modified_at: datetime

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.uri.rstrip("/").rpartition("/")[2]

    @property
    def is_local(self) -> bool:
        """Say whether the file is on this machine."""
        return "://" not in self.uri

    def open(self) -> BinaryIO:
        """Open the bytes as stored.

        Raises:
            SourceError: the file is gone or may not be read.
            TransientError: the object store does not answer.
        """
        with reading(self.uri):
            if self.is_local:
                return Path(self.uri).open("rb", buffering=0)
            return cast(BinaryIO, _file_system(self.uri).open(self.uri, "rb", cache_type="readahead"))

    def compression(self) -> Literal["gzip", "zstd"] | None:
        """Tell from the first bytes, never from the name, how the file is compressed.

        Raises:
            SourceError: the file is empty or an archive that cannot be read.
        """
        with self.open() as raw, reading(self.uri):
            head = raw.read(16)
        if not head:
            raise SourceError(
                f"{self.uri}: the file is empty", hint="If no calls were made, remove the file; else copy it again."
            )
        for magic, kind in _ARCHIVES:
            if head.startswith(magic):
                raise _archive(self.uri, kind)
        if _BZIP2.match(head):
            raise _archive(self.uri, "bzip2-compressed")
        return next((kind for magic, kind in _COMPRESSION if head.startswith(magic)), None)

    def content(self, *, hashed: bool = False) -> Content:
        """Open the decompressed bytes; `hashed` to ask for the digest of the stored ones at the end."""
        return Content(self, hashed=hashed)

    def head(self, size: int = HEAD_BYTES) -> bytes:
        """Return the first decompressed bytes, at most `size`.

        Raises:
            SourceError: there are none.
        """
        with self.content() as content:
            data = content.read_fully(size)
        if not data:
            raise SourceError(f"{self.uri}: the file is empty once decompressed", hint=_COPY_AGAIN)
        return data

    def fingerprint(self) -> str:
        """Return the SHA-256 of the stored bytes as hex, having read the file to its end.

        Compressed files are decompressed in the same pass; of Parquet the footer and of Avro every block is
        checked, so that a half-copied file is found before its first record is loaded.

        Raises:
            SourceError: the file is empty, truncated or damaged.
        """
        with self.content(hashed=True) as content:
            head = content.read_fully(len(PARQUET_MAGIC))
            compressed = content.compression is not None
            if head in (PARQUET_MAGIC, AVRO_MAGIC):
                if compressed:
                    raise SourceError(
                        f"{self.uri}: a Parquet or Avro file inside {content.compression}",
                        hint="Decompress it first; these formats compress themselves.",
                    )
                (_check_parquet if head == PARQUET_MAGIC else _check_avro)(self)
            if not head:
                raise SourceError(f"{self.uri}: the file is empty once decompressed", hint=_COPY_AGAIN)
            while content.read(READ_BYTES):
                pass
            return content.digest()


class Content:
    """The decompressed bytes of a source, read from start to end; errors name the file."""

    def __init__(self, source: Source, *, hashed: bool) -> None:
        self.compression = source.compression()
        self._uri = source.uri
        self._raw = _Limited(source, hashlib.sha256() if hashed else None)
        self._stream: ByteStream = self._raw
        if self.compression:
            self._stream = pa.CompressedInputStream(pa.PythonFile(self._raw, mode="r"), self.compression)
        self._produced = 0

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def seekable(self) -> bool:
        """Say whether `seek` works: not in a compressed file."""
        return self.compression is None

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, nothing at the end.

        Raises:
            SourceError: the file is truncated or damaged.
        """
        with reading(self._uri):
            try:
                data = self._stream.read(size)
            except OSError as exc:
                if self.compression is None or exc.errno is not None:
                    raise
                raise SourceError(
                    f"{self._uri}: the {self.compression} data is truncated or damaged",
                    detail=f"{exc} after {self._produced:,} decompressed bytes.",
                    hint=_COPY_AGAIN,
                ) from exc
        self._produced += len(data)
        return data

    def read_fully(self, size: int) -> bytes:
        """Return `size` bytes, or all that are left."""
        parts = []
        while size > 0 and (part := self.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def seek(self, offset: int) -> None:
        """Go on at a byte offset."""
        with reading(self._uri):
            self._raw.seek(offset)

    def digest(self) -> str:
        """Return the SHA-256 of all stored bytes as hex; to be called at the end of a hashed content."""
        while self._raw.read(READ_BYTES):
            pass
        assert self._raw.hash is not None  # asked for when it was opened
        return self._raw.hash.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()


class _Limited:
    """The stored bytes of a source up to its known size; `hash` sees them pass."""

    def __init__(self, source: Source, digest: hashlib._Hash | None) -> None:
        self._file = source.open()
        self._uri = source.uri
        self._size = source.size
        self._left = source.size
        self.hash = digest

    @property
    def closed(self) -> bool:
        return self._file.closed

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self._left:
            size = self._left
        data = self._file.read(size)
        if not data and size:
            raise SourceError(
                f"{self._uri}: the file became shorter while it was being read",
                hint="Load it again once nothing writes to it.",
            )
        self._left -= len(data)
        if self.hash is not None:
            self.hash.update(data)
        return data

    def seek(self, offset: int) -> None:
        self._file.seek(offset)
        self._left = max(self._size - offset, 0)

    def close(self) -> None:
        self._file.close()


def discover(paths: Sequence[str]) -> list[Source]:
    """Find the files that paths, patterns, folders and S3 prefixes stand for, sorted by their URI.

    A folder yields all files below it, except hidden ones and those with an ignored suffix
    (`IGNORED_SUFFIXES`); a file that is named is always taken.

    Raises:
        UsageError: a path does not exist or a pattern matches nothing.
    """
    found: dict[str, Source] = {}
    for path in paths:
        for source in _discover_remote(path) if "://" in path else _discover_local(path):
            found[source.uri] = source
    return [found[uri] for uri in sorted(found)]


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Turn the errors of reading a file into ours."""
    try:
        yield
    except TelestreamError:
        raise
    except FileNotFoundError as exc:
        raise SourceError(
            f"{uri}: no such file", hint="It may have been moved after it was found; look again."
        ) from exc
    except PermissionError as exc:
        raise SourceError(
            f"{uri}: permission denied", hint="Give this user the right to read it, or run as one who has it."
        ) from exc
    except IsADirectoryError as exc:
        raise UsageError(f"{uri}: a folder, not a file") from exc
    except Exception as exc:
        if "://" in uri:
            raise _remote_error(uri, exc) from exc
        if isinstance(exc, OSError):
            raise SourceError(f"{uri}: cannot be read", detail=f"{exc}.") from exc
        raise


def _discover_local(path: str) -> Iterator[Source]:
    expanded = Path(path).expanduser()
    if not expanded.exists() and glob.has_magic(path):
        matches = [Path(match) for match in glob.glob(str(expanded), recursive=True)]
        matches = [match for match in matches if match.is_file() and _is_wanted((match.name,))]
        if not matches:
            raise UsageError(f"{path}: no file matches", hint="Quote the pattern and check it with ls.")
        yield from map(_local, matches)
    elif expanded.is_dir():
        if not os.access(expanded, os.R_OK | os.X_OK):
            raise SourceError(f"{path}: permission denied", hint="Give this user the right to list the folder.")
        for file in expanded.rglob("*"):
            if file.is_file() and _is_wanted(file.relative_to(expanded).parts):
                yield _local(file)
    elif expanded.exists():
        yield _local(expanded)
    else:
        raise UsageError(f"{path}: no such file or folder", hint="Check the path; patterns need quotes.")


def _local(path: Path) -> Source:
    with reading(str(path)):
        if not path.is_file():
            raise UsageError(f"{path}: not a regular file", hint="Write pipes and devices to a file first.")
        facts = path.stat()
    return Source(os.path.abspath(path), facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))


def _discover_remote(path: str) -> Iterator[Source]:
    with reading(path):
        file_system = _file_system(path)
        protocol = path.partition("://")[0]
        root = path.partition("://")[2].rstrip("/")
        if glob.has_magic(path):
            infos = file_system.glob(path, detail=True)
        elif not path.endswith("/") and file_system.isfile(path):
            yield _remote(protocol, file_system.info(path))
            return
        else:
            infos = file_system.find(path, detail=True)
        if not infos:
            raise UsageError(f"{path}: nothing found", hint="Check the bucket, the prefix and AWS_ENDPOINT_URL.")
        for key, info in infos.items():
            below = key[len(root) + 1 :] if key.startswith(root + "/") else key.rpartition("/")[2]
            if info["type"] == "file" and _is_wanted(tuple(below.split("/"))):
                yield _remote(protocol, info)


def _remote(protocol: str, info: dict[str, Any]) -> Source:
    modified_at = info.get("LastModified") or datetime.fromtimestamp(0, UTC)
    return Source(f"{protocol}://{info['name']}", info["size"], modified_at)


def _is_wanted(parts: tuple[str, ...]) -> bool:
    hidden = any(part.startswith((".", "_")) for part in parts)
    return not hidden and not parts[-1].endswith(IGNORED_SUFFIXES)


def _file_system(uri: str) -> Any:
    import fsspec  # heavy, and only needed for files that are not local

    protocol = uri.partition("://")[0]
    if protocol != "s3":
        raise UsageError(f"{uri}: {protocol}:// is not supported", hint="Use a local path or s3://bucket/prefix.")
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or None
    # Without its cache of listings: others write there while we watch.
    return fsspec.filesystem("s3", endpoint_url=endpoint, use_listings_cache=False)


def _remote_error(uri: str, exc: Exception) -> TelestreamError:
    from botocore.exceptions import NoCredentialsError

    if isinstance(exc, NoCredentialsError):
        return UsageError(
            f"{uri}: no credentials for the object store",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
        )
    return TransientError(f"{uri}: the object store does not answer", detail=f"{type(exc).__name__}: {exc}.")


def _archive(uri: str, kind: str) -> SourceError:
    return SourceError(f"{uri}: {kind}, which cannot be read", hint="Unpack it, or compress with gzip or zstd.")


def _check_parquet(source: Source) -> None:
    with source.open() as raw, reading(source.uri):
        try:
            pq.read_metadata(raw)
        except pa.ArrowException as exc:
            raise SourceError(
                f"{source.uri}: the Parquet file is incomplete or damaged", detail=f"{exc}.", hint=_COPY_AGAIN
            ) from exc


def _check_avro(source: Source) -> None:
    number = 0
    with source.open() as raw, reading(source.uri):
        try:
            for number, _ in enumerate(fastavro.block_reader(raw), start=1):  # noqa: B007
                pass
        except Exception as exc:  # fastavro raises whatever its decoders do
            raise SourceError(
                f"{source.uri}: the Avro file is damaged in block {number + 1}",
                detail=f"{type(exc).__name__}: {exc}.",
                hint=_COPY_AGAIN,
            ) from exc
