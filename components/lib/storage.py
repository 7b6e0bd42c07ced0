"""Reading objects where they lie: local files, buckets, web servers, and what fsspec knows."""

import glob
import os
import re
import shutil
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.objects import (
    Place,
    StoredObject,
    changed,
    fixed_part,
    is_visible,
)

__all__ = [
    "StoredObject",
    "base_of",
    "brought_here",
    "check_unchanged",
    "list_objects",
    "open_binary",
    "scheme_of",
    "store_uri",
]

# Names in the query of a web address that carry a secret.
SECRETS = re.compile(r"pass(word)?|pwd|secret|(.*[-_])?(token|signature|sig|key|credential)", re.I)


def list_objects(uri: str) -> list[StoredObject]:
    """The objects that a URI names, sorted by name.

    Args:
        uri: a path, a file:// URI, a glob or a directory; gs:// or s3://bucket/NAME, PREFIX/ or a
            glob; an http(s):// address; or what fsspec has a file system for (az://, hdfs://).
            Names that begin with "." or "_" are left out of globs and directories.

    Raises:
        ConfigurationError: the URI carries a secret.
        DataError: there is nothing, the scheme is unknown, or the place cannot be read.
    """
    uri = uri.strip()
    refuse_secrets(uri)
    found = place_of(uri).listed(uri)
    if not found:
        raise DataError(f"There is nothing at '{uri}'. Check the spelling, and that it exists.")
    return sorted(found, key=lambda one: one.uri)


def open_binary(stored: StoredObject) -> BinaryIO:
    """Open an object for reading, in the state in which it was listed.

    A remote object is read as it is stored, in blocks, each with retries.

    Raises:
        DataError: it cannot be read, or it has changed since.
    """
    return place_of(stored.uri).opened(stored)


def check_unchanged(stored: StoredObject) -> None:
    """Refuse an object that was written to since it was listed.

    Raises:
        DataError: it is another one now.
    """
    place_of(stored.uri).check_unchanged(stored)


def brought_here(uri: str, target: Path) -> Path:
    """A file or a directory on this machine; of a bucket, a copy at `target`.

    Raises:
        DataError: there is nothing, or it cannot be read.
    """
    if scheme_of(uri) == "file":
        return Path(_path(uri))
    base = base_of(uri)
    for stored in list_objects(uri):
        name = stored.uri[len(base) :].lstrip("/")
        file = target / name if name else target
        file.parent.mkdir(parents=True, exist_ok=True)
        with open_binary(stored) as source, file.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    return target


def store_uri(uri: str) -> str:
    """A URI of Kubeflow Pipelines as storage clients know it: MinIO speaks S3."""
    return uri.replace("minio://", "s3://", 1)


def base_of(uri: str) -> str:
    """What the names of all objects of a URI begin with, up to its first wildcard."""
    uri = uri.strip()
    if scheme_of(uri) == "file":
        path = os.path.expanduser(_path(uri))
        uri = os.path.abspath(path)
        if os.path.exists(path):
            return uri
    fixed = fixed_part(uri)
    return uri.rstrip("/") if fixed == uri else fixed.rpartition("/")[0]


def scheme_of(uri: str) -> str:
    """The scheme of a URI; file for a path."""
    return uri.split("://", 1)[0].lower() if "://" in uri else "file"


def place_of(uri: str) -> Place:
    """The service that keeps the objects of a URI; its client is imported only then."""
    scheme = scheme_of(uri)
    if scheme == "file":
        return LocalFiles()
    if scheme == "gs":
        from shipway.components.lib.storage_google import GoogleObjects

        return GoogleObjects()
    if scheme == "s3":
        from shipway.components.lib.storage_s3 import S3Objects

        return S3Objects()
    if scheme in ("http", "https"):
        from shipway.components.lib.storage_http import HttpObjects

        return HttpObjects()
    from shipway.components.lib.storage_fsspec import FsspecObjects

    return FsspecObjects()


def refuse_secrets(uri: str) -> None:
    """Refuse a URI with a password or a signature in it: it would stand in logs and metadata.

    Raises:
        ConfigurationError: there is one; the message does not repeat it.
    """
    if scheme_of(uri) == "file":
        return
    parts = urlsplit(uri)
    secret = "a password" if ":" in parts.netloc.rpartition("@")[0] else ""
    if parts.scheme in ("http", "https"):
        names = [name for name, _ in parse_qsl(parts.query) if SECRETS.fullmatch(name)]
        secret = secret or (f"the secret '{names[0]}'" if names else "")
    if secret:
        raise ConfigurationError(
            f"data_uri of {parts.scheme}://{parts.netloc.rpartition('@')[2]} holds {secret}, which "
            "would stand in logs and metadata. Take it out and renew it; credentials come from the "
            "environment (a secret of the pod), or the account that runs the step."
        )


class LocalFiles:
    """Files of this machine."""

    def listed(self, uri: str) -> list[StoredObject]:
        """The files that a path, a directory, a glob or a file:// URI names."""
        path = os.path.expanduser(_path(uri))
        if os.path.isdir(path):
            names = [str(file) for file in Path(path).rglob("*") if file.is_file()]
            names = [name for name in names if is_visible(os.path.relpath(name, path))]
        elif os.path.isfile(path):
            names = [path]
        else:
            names = [name for name in glob.glob(path, recursive=True) if os.path.isfile(name)]
            names = [name for name in names if is_visible(os.path.basename(name))]
        return [_stored(os.path.abspath(name)) for name in names]

    def opened(self, stored: StoredObject) -> BinaryIO:
        """A file, which must be unchanged."""
        try:
            opened = open(stored.uri, "rb")
        except OSError as error:
            raise DataError(f"'{stored.uri}' cannot be read: {error.strerror}.") from error
        self.check_unchanged(stored)
        return opened

    def check_unchanged(self, stored: StoredObject) -> None:
        """Refuse a file whose time or size is another one."""
        try:
            now = _stored(stored.uri)
        except OSError as error:
            raise changed(stored.uri) from error
        if now != stored:
            raise changed(stored.uri)


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path) if "://" in uri else uri


def _stored(path: str) -> StoredObject:
    state = os.stat(path)
    return StoredObject(path, state.st_size, str(state.st_mtime_ns))
