"""A model store in a Google Cloud Storage bucket.

A version exists once its manifest.json does, which is uploaded last; the champion is swapped under
a generation precondition, so that of two promotions at once one wins and the other is told.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shipway.components.lib.errors import ConflictError, DataError, StoreError
from shipway.components.lib.model_package import verify_files
from shipway.components.lib.model_store import Champion, next_champion
from shipway.components.lib.storage import TIMEOUT_SECONDS, explained, gcs_client, split_gs

MANIFEST = "manifest.json"


class BucketStore:
    """A store under gs://bucket/prefix."""

    def __init__(self, uri: str) -> None:
        """Use a bucket and prefix; nothing is asked of the server yet."""
        self.root = uri.rstrip("/")
        self._bucket, self._prefix = split_gs(self.root)
        self._client = gcs_client()

    def _name(self, *parts: str) -> str:
        return "/".join(part for part in (self._prefix, *parts) if part)

    def _blob(self, *parts: str) -> Any:
        return self._client.bucket(self._bucket).blob(self._name(*parts))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            with explained(self.root):
                yield
        except DataError as error:
            raise StoreError(f"The model store fails: {error}") from error

    def _blobs(self, model_name: str) -> list[tuple[str, str, Any]]:
        """Version, file and blob of everything that stands under a model's versions."""
        prefix = self._name(model_name, "versions") + "/"
        with self._reached():
            blobs = self._client.list_blobs(self._bucket, prefix=prefix, timeout=TIMEOUT_SECONDS)
            parts = [(*blob.name[len(prefix) :].partition("/")[::2], blob) for blob in blobs]
        return [(version, file, blob) for version, file, blob in parts if version.isdecimal()]

    def _versions(self, model_name: str) -> dict[str, Any]:
        """Manifest blobs by version."""
        blobs = self._blobs(model_name)
        return {version: blob for version, file, blob in blobs if file == MANIFEST}

    def register(self, model_name: str, package: Path, extra_files: Mapping[str, Path]) -> str:
        """Add a package as a new version; one that is there already keeps its version.

        Raises:
            ModelPackageError: the package is not whole.
            ConflictError: another run took the version's number meanwhile.
            StoreError: the bucket cannot be written to.
        """
        digest = verify_files(package)
        blobs = self._blobs(model_name)
        ours = [one for one in blobs if (one[2].metadata or {}).get("digest") == digest]
        for known, name, _ in ours:
            if name == MANIFEST:
                return str(known)
        # An upload that broke off has no manifest. Ours is continued; another's number is taken.
        taken = max((int(version) for version, *_ in blobs), default=0)
        version = ours[0][0] if ours else str(taken + 1)
        files = {str(f.relative_to(package)): f for f in package.rglob("*") if f.is_file()}
        files |= dict(extra_files)
        manifest = files.pop(MANIFEST)
        for relative, file in sorted(files.items()):
            self._upload(file, digest, model_name, "versions", version, relative)
        self._upload(manifest, digest, model_name, "versions", version, MANIFEST)
        return version

    def _upload(self, file: Path, digest: str, *parts: str) -> None:
        from google.api_core.exceptions import PreconditionFailed

        blob = self._blob(*parts)
        blob.metadata = {"digest": digest}
        with self._reached():
            try:
                blob.upload_from_filename(
                    str(file), if_generation_match=0, checksum="md5", timeout=TIMEOUT_SECONDS
                )
            except PreconditionFailed as error:
                blob.reload(timeout=TIMEOUT_SECONDS)
                if (blob.metadata or {}).get("digest") != digest:
                    raise ConflictError(
                        f"'{self.root}/{'/'.join(parts)}' was written by another run meanwhile. "
                        "Run again: the model gets the next version."
                    ) from error

    def champion(self, model_name: str) -> Champion | None:
        """The champion, or None before the first."""
        return self._champion(model_name)[0]

    def _champion(self, model_name: str) -> tuple[Champion | None, int]:
        """The champion and the generation of its pointer, 0 where there is none."""
        with self._reached():
            name = self._name(model_name, "champion.json")
            blob = self._client.bucket(self._bucket).get_blob(name, timeout=TIMEOUT_SECONDS)
            if blob is None:
                return None, 0
            generation = int(blob.generation)  # a download may forget it
            text = blob.download_as_bytes(timeout=TIMEOUT_SECONDS)
        try:
            return Champion.from_json(json.loads(text)), generation
        except ValueError as error:
            raise StoreError(f"champion.json of '{model_name}' is no JSON ({error}).") from error

    def promote(self, model_name: str, version: str, expected: str | None) -> Champion:
        """Make a version the champion if the champion is still the expected one.

        Raises:
            ConflictError: somebody else promoted meanwhile.
            StoreError: there is no such version.
        """
        from google.api_core.exceptions import PreconditionFailed

        manifest = self._manifest(model_name, version)
        digest = (manifest.metadata or {}).get("digest", "")
        current, generation = self._champion(model_name)
        champion = next_champion(model_name, current, version, digest, expected)
        if champion == current:
            return champion
        with self._reached():
            try:
                self._blob(model_name, "champion.json").upload_from_string(
                    json.dumps(asdict(champion), sort_keys=True, indent=1),
                    content_type="application/json",
                    if_generation_match=generation,
                    timeout=TIMEOUT_SECONDS,
                )
            except PreconditionFailed as error:
                raise ConflictError(
                    f"Another run promoted a version of '{model_name}' at the same moment. Run "
                    "again to be measured against the new champion."
                ) from error
        return champion

    def _manifest(self, model_name: str, version: str) -> Any:
        versions = self._versions(model_name)
        if version not in versions:
            raise StoreError(
                f"'{model_name}' has no version '{version}' in '{self.root}'; it has "
                f"{', '.join(versions) or 'none'}."
            )
        return versions[version]

    def download(self, model_name: str, version: str) -> Path:
        """Copy a version to this machine and check it.

        Raises:
            ModelPackageError: what came is not what training wrote.
            StoreError: there is no such version.
        """
        self._manifest(model_name, version)
        folder = Path(tempfile.mkdtemp(prefix=f"{model_name}-{version}-"))
        prefix = self._name(model_name, "versions", version) + "/"
        with self._reached():
            for blob in self._client.list_blobs(
                self._bucket, prefix=prefix, timeout=TIMEOUT_SECONDS
            ):
                file = folder / blob.name[len(prefix) :]
                file.parent.mkdir(parents=True, exist_ok=True)
                blob.download_to_filename(str(file), timeout=TIMEOUT_SECONDS)
        verify_files(folder)
        return folder

    def uri(self, model_name: str, version: str) -> str:
        """Where KServe finds a version."""
        return f"{self.root}/{model_name}/versions/{version}"
