"""Reading objects where they lie: local files, globs and directories, and Google Cloud Storage."""

import fnmatch
import glob
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlparse

from shipway.components.lib.errors import DataError

TIMEOUT_SECONDS = 60
CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class StoredObject:
    """One object to read.

    Attributes:
        uri: absolute path, or gs://bucket/name.
        size: in bytes.
        generation: which state of it was listed: Google's generation, or the time of the last
            change in nanoseconds.
    """

    uri: str
    size: int
    generation: str


def list_objects(uri: str) -> list[StoredObject]:
    """The objects that a URI names, sorted by name.

    Args:
        uri: a path, a file:// URI, a glob or a directory, or gs://bucket/NAME, PREFIX/ or a glob.
            Names that begin with "." or "_" are left out of globs and directories.

    Raises:
        DataError: there is nothing, the scheme is unknown, or the bucket cannot be read.
    """
    uri = uri.strip()
    scheme = uri.split("://", 1)[0] if "://" in uri else "file"
    if scheme == "gs":
        found = _list_bucket(uri)
    elif scheme == "file":
        found = _list_files(unquote(urlparse(uri).path) if "://" in uri else uri)
    else:
        raise DataError(
            f"'{uri}' has the scheme '{scheme}://', which cannot be read; use a path, file:// or "
            "gs://."
        )
    if not found:
        raise DataError(f"There is nothing at '{uri}'. Check the spelling, and that it exists.")
    return sorted(found, key=lambda one: one.uri)


def _list_files(path: str) -> list[StoredObject]:
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        names = [str(file) for file in Path(path).rglob("*") if file.is_file()]
        names = [name for name in names if _is_visible(os.path.relpath(name, path))]
    elif os.path.isfile(path):
        names = [path]
    else:
        names = [name for name in glob.glob(path, recursive=True) if os.path.isfile(name)]
        names = [name for name in names if _is_visible(os.path.basename(name))]
    found = []
    for name in names:
        state = os.stat(name)
        found.append(StoredObject(os.path.abspath(name), state.st_size, str(state.st_mtime_ns)))
    return found


def _is_visible(name: str) -> bool:
    return not any(part.startswith((".", "_")) for part in Path(name).parts)


def gcs_client() -> Any:
    """A Google Cloud Storage client: with the machine's credentials, or none for an emulator."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return storage.Client(credentials=AnonymousCredentials(), project="emulator")
    return storage.Client()


def split_gs(uri: str) -> tuple[str, str]:
    """Bucket and name of gs://bucket/name."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return bucket, name


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn the client's errors into ours, naming the URI and the cure.

    Raises:
        DataError: the object or bucket cannot be read.
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except exceptions.NotFound as error:
        raise DataError(
            f"'{uri}' cannot be read: there is no such bucket or object. Check the spelling, and "
            "that nobody replaces it while it is read."
        ) from error
    except exceptions.PreconditionFailed as error:
        raise DataError(
            f"'{uri}' changed while it was read. Run again once nobody writes to it."
        ) from error
    except (exceptions.Forbidden, exceptions.Unauthorized, GoogleAuthError) as error:
        raise DataError(
            f"'{uri}' cannot be read: access was refused. Give the account that runs this step "
            "roles/storage.objectViewer on the bucket, or sign in."
        ) from error
    except exceptions.GoogleAPICallError as error:
        raise DataError(f"'{uri}' cannot be read: {error.message}. Try again later.") from error
    except (exceptions.RetryError, ConnectionError) as error:
        raise DataError(
            f"'{uri}' cannot be read: the storage service was not reached ({error}). Check the "
            "network, then run again."
        ) from error


def _list_bucket(uri: str) -> list[StoredObject]:
    bucket, name = split_gs(uri)
    prefix = name.split("*")[0].split("?")[0].split("[")[0]
    with explained(uri):
        blobs = list(gcs_client().list_blobs(bucket, prefix=prefix, timeout=TIMEOUT_SECONDS))
    found = [
        StoredObject(f"gs://{bucket}/{blob.name}", int(blob.size), str(blob.generation))
        for blob in blobs
        if not blob.name.endswith("/")
    ]
    if prefix != name:
        wanted = [one for one in found if _matches(split_gs(one.uri)[1], name)]
        return [one for one in wanted if _is_visible(one.uri.rsplit("/", 1)[-1])]
    exact = [one for one in found if one.uri == uri]
    inside = [one for one in found if one.uri.startswith(uri.rstrip("/") + "/")]
    return exact or [one for one in inside if _is_visible(one.uri[len(uri.rstrip("/")) + 1 :])]


def _matches(name: str, pattern: str) -> bool:
    """Whether a name fits a glob; as in a file system, only ** reaches into folders."""
    deep = "**" in pattern or name.count("/") == pattern.count("/")
    return deep and fnmatch.fnmatchcase(name, pattern.replace("**/", "*"))


class _RemoteFile(io.RawIOBase):
    """An object of a bucket as a file: the client's errors while reading become ours."""

    def __init__(self, uri: str, reader: Any) -> None:
        self._uri = uri
        self._reader = reader

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return int(self._reader.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in bytes."""
        with explained(self._uri):
            return int(self._reader.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; the bytes that came."""
        with explained(self._uri):
            data = self._reader.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def open_binary(stored: StoredObject) -> BinaryIO:
    """Open an object for reading, in the state in which it was listed.

    An object of a bucket is read as it is stored, in blocks, each with retries.

    Raises:
        DataError: it cannot be read, or it has changed since.
    """
    if stored.uri.startswith("gs://"):
        bucket, name = split_gs(stored.uri)
        with explained(stored.uri):
            blob = gcs_client().bucket(bucket).blob(name, generation=int(stored.generation))
            reader = blob.open(
                "rb",
                chunk_size=CHUNK_BYTES,
                timeout=TIMEOUT_SECONDS,
                raw_download=True,
                if_generation_match=int(stored.generation),
            )
        return io.BufferedReader(_RemoteFile(stored.uri, reader), CHUNK_BYTES)
    try:
        opened = open(stored.uri, "rb")
    except OSError as error:
        raise DataError(f"'{stored.uri}' cannot be read: {error.strerror}.") from error
    check_unchanged(stored)
    return opened


def check_unchanged(stored: StoredObject) -> None:
    """Refuse a local file that was written to since it was listed.

    Raises:
        DataError: its time or size is another one.
    """
    if stored.uri.startswith("gs://"):
        return  # read by its generation, so it cannot change under the reader
    state = os.stat(stored.uri)
    if (state.st_size, str(state.st_mtime_ns)) != (stored.size, stored.generation):
        raise DataError(
            f"'{stored.uri}' changed while it was read. Run again once nobody writes to it."
        )
