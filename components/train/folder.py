"""Where checkpoints stand: a directory of this machine, or a prefix of a bucket."""

import os
import shutil
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlparse

from shipway.components.lib.files import aside
from shipway.components.lib.storage import store_uri


class Folder(Protocol):
    """Files by name; each is whole or absent."""

    def names(self, prefix: str) -> list[str]:
        """Everything whose name begins so."""

    def create(self, name: str, file: Path) -> None:
        """Put a file there."""

    def fetch(self, name: str, file: Path) -> None:
        """Bring a file here."""

    def remove(self, name: str) -> None:
        """Remove a file; it is no error that there is none."""


class LocalFolder:
    """A directory of this machine; it stands as long as there is a file in it."""

    def __init__(self, path: Path) -> None:
        """Use a directory, which need not be there yet."""
        self._path = path

    def names(self, prefix: str) -> list[str]:
        """Everything whose name begins so, without what is half written."""
        found = [file.name for file in self._path.glob("*")] if self._path.is_dir() else []
        return [name for name in found if name.startswith(prefix) and name[0] != "."]

    def create(self, name: str, file: Path) -> None:
        """Put a file there."""
        with aside(self._path / name) as draft:
            shutil.copyfile(file, draft)

    def fetch(self, name: str, file: Path) -> None:
        """Bring a file here."""
        shutil.copyfile(self._path / name, file)

    def remove(self, name: str) -> None:
        """Remove a file; with the last one the directory goes, and what a killed writer left."""
        (self._path / name).unlink(missing_ok=True)
        if not self.names(""):
            shutil.rmtree(self._path, ignore_errors=True)


def folder_at(uri: str) -> Folder | None:
    """The folder at a path, a file:// URI, gs://bucket/prefix or s3://bucket/prefix.

    Returns:
        None where nothing can be kept: another scheme, or a MinIO whose address nobody told.
    """
    scheme = uri.partition("://")[0] if "://" in uri else "file"
    if scheme == "file":
        return LocalFolder(Path(unquote(urlparse(uri).path) if "://" in uri else uri))
    if scheme == "gs":
        from shipway.components.lib.model_store_gcs import GoogleBucket

        return GoogleBucket(uri)
    if scheme == "s3" or (scheme == "minio" and os.environ.get("AWS_ENDPOINT_URL")):
        from shipway.components.lib.model_store_s3 import S3Bucket

        return S3Bucket(store_uri(uri))
    return None
