"""The model store: immutable versions of each model, and which of them is the champion.

    {store}/{model}/versions/{n}/...     a model package, with evaluation.json and decision.json
    {store}/{model}/champion.json        {version, digest, promoted, history}

A directory, or a prefix of a bucket (`lib/model_store_bucket.py`).
"""

import datetime
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlparse

from shipway.components.lib.errors import ConflictError, StoreError
from shipway.components.lib.files import sha256_of, write_json_aside
from shipway.components.lib.model_package import verify_files

HISTORY = 100


@dataclass(frozen=True)
class Champion:
    """The version that serves.

    Attributes:
        version: its number in the store.
        digest: of its package.
        promoted: when, ISO 8601 in UTC.
        endpoint: base URL at which it was released; empty where that is not known.
        history: the champions before it, the latest first.
    """

    version: str
    digest: str
    promoted: str = ""
    endpoint: str = ""
    history: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Champion":
        """Read champion.json.

        Raises:
            StoreError: a part is missing.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise StoreError(
                f"champion.json is damaged ({error}). Restore it: "
                '{"version": "1", "digest": "...", "promoted": "", "history": []}'
            ) from error


class ModelStore(Protocol):
    """What every store can do."""

    def register(self, model_name: str, package: Path, extra_files: Mapping[str, Path]) -> str:
        """Add a package as a new version; one that is there already keeps its version."""

    def champion(self, model_name: str) -> Champion | None:
        """The champion, or None before the first."""

    def promote(
        self, model_name: str, version: str, expected: str | None, endpoint: str = ""
    ) -> Champion:
        """Make a version the champion if the champion is still the expected one."""

    def download(self, model_name: str, version: str) -> Path:
        """A version's directory on this machine."""

    def uri(self, model_name: str, version: str) -> str:
        """Where a model server finds a version."""


def open_store(uri: str) -> ModelStore:
    """The store at a directory, a file:// URI, gs://bucket/prefix or s3://bucket/prefix.

    Raises:
        StoreError: the URI is empty, names no bucket, or is of another scheme.
    """
    scheme, _, rest = uri.partition("://") if "://" in uri else ("file", "", uri)
    if scheme == "file" and uri:
        return DirectoryStore(Path(unquote(urlparse(uri).path) if "://" in uri else uri))
    if scheme not in ("gs", "s3", "minio") or not rest.split("/")[0]:
        raise StoreError(
            f"model_store='{uri}' is no place that a store can be in; use a directory, "
            "gs://bucket/prefix or s3://bucket/prefix."
        )
    from shipway.components.lib.model_store_bucket import BucketStore

    if scheme == "gs":
        from shipway.components.lib.model_store_gcs import GoogleBucket

        return BucketStore(GoogleBucket(uri))
    from shipway.components.lib.model_store_s3 import S3Bucket

    return BucketStore(S3Bucket(f"s3://{rest}"))  # KServe knows MinIO by this name only


def next_champion(
    model_name: str, current: Champion | None, following: Champion, expected: str | None
) -> Champion:
    """The champion after a promotion: the compare of compare-and-swap.

    Args:
        model_name: of the model.
        current: the champion that stands.
        following: the one to be, without its time and its history.
        expected: version of the champion that it may follow.

    Raises:
        ConflictError: the champion is neither the expected one nor the version itself.
    """
    if current is not None and current.version == following.version:
        return current
    standing = current.version if current else None
    if standing != expected:
        raise ConflictError(
            f"The champion of '{model_name}' is version {standing or 'none'}, not "
            f"{expected or 'none'} as when this release began: somebody else promoted. Run again "
            "to be measured against the new champion."
        )
    history = []
    if current is not None:
        entry = {name: text for name, text in asdict(current).items() if name != "history"}
        history = [entry, *current.history][:HISTORY]
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return replace(following, promoted=now, history=history)


class DirectoryStore:
    """A store in a directory that all its users can write to."""

    def __init__(self, root: Path) -> None:
        """Use a directory; it is made when the first version comes."""
        self.root = root.absolute()

    def _versions(self, model_name: str) -> dict[str, Path]:
        folder = self.root / model_name / "versions"
        found = [p for p in folder.glob("*") if p.name.isdecimal() and p.is_dir()]
        return {path.name: path for path in sorted(found, key=lambda path: int(path.name))}

    def register(self, model_name: str, package: Path, extra_files: Mapping[str, Path]) -> str:
        """Add a package as a new version; one that is there already keeps its version.

        Raises:
            ModelPackageError: the package is not whole.
            StoreError: the directory cannot be written to.
        """
        digest = verify_files(package)
        with self._alone(model_name):
            versions = self._versions(model_name)
            for version, path in versions.items():
                if sha256_of(path / "manifest.json") == digest:
                    verify_files(path)
                    return version
            version = str(max(map(int, versions), default=0) + 1)
            folder = self.root / model_name / "versions"
            draft = folder / f".{version}.partial"
            shutil.rmtree(draft, ignore_errors=True)
            try:
                shutil.copytree(package, draft)
                for name, source in extra_files.items():
                    shutil.copyfile(source, draft / name)
                verify_files(draft)
                os.rename(draft, folder / version)
            except OSError as error:
                raise StoreError(
                    f"Version {version} of '{model_name}' could not be written to '{folder}': "
                    f"{error.strerror}. Free space there, or choose another model_store."
                ) from error
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            return version

    def champion(self, model_name: str) -> Champion | None:
        """The champion, or None before the first.

        Raises:
            StoreError: champion.json is damaged.
        """
        try:
            text = (self.root / model_name / "champion.json").read_text(encoding="utf-8")
            return Champion.from_json(json.loads(text))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(f"champion.json of '{model_name}' is no JSON ({error}).") from error

    def promote(
        self, model_name: str, version: str, expected: str | None, endpoint: str = ""
    ) -> Champion:
        """Make a version the champion if the champion is still the expected one.

        Raises:
            ConflictError: somebody else promoted meanwhile.
            StoreError: there is no such version.
        """
        digest = sha256_of(self.download(model_name, version) / "manifest.json")
        with self._alone(model_name):
            current = self.champion(model_name)
            following = Champion(version, digest, endpoint=endpoint)
            champion = next_champion(model_name, current, following, expected)
            if champion != current:
                write_json_aside(self.root / model_name / "champion.json", asdict(champion))
            return champion

    def download(self, model_name: str, version: str) -> Path:
        """A version's directory: this store is on this machine.

        Raises:
            StoreError: there is no such version.
        """
        path = self._versions(model_name).get(version)
        if path is None:
            known = ", ".join(self._versions(model_name)) or "none"
            raise StoreError(
                f"'{model_name}' has no version '{version}' in '{self.root}'; it has {known}."
            )
        return path

    def uri(self, model_name: str, version: str) -> str:
        """Where a model server on this machine finds a version."""
        return f"file://{self.download(model_name, version)}"

    @contextmanager
    def _alone(self, model_name: str) -> Iterator[None]:
        folder = self.root / model_name
        try:
            (folder / "versions").mkdir(parents=True, exist_ok=True)
            lock = (folder / ".lock").open("w")
        except OSError as error:
            raise StoreError(
                f"The model store '{self.root}' cannot be written to: {error.strerror}. Give write "
                "access, or choose another model_store."
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
