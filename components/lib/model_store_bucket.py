"""A model store under a prefix of a bucket, whichever service keeps the bucket.

    {store}/{model}/versions.json        {version: digest of its package}

A number belongs to one package for ever: an upload that broke off is continued under its own
number. A version exists once its manifest.json does, which is uploaded last. All that two runs can
write at once is written by compare-and-swap, so one wins and the other is told.
"""

import hashlib
import json
import logging
import random
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shipway.components.lib.bucket import Bucket, StoredFile
from shipway.components.lib.errors import ConflictError, StoreError
from shipway.components.lib.model_package import verify_files
from shipway.components.lib.model_store import Champion, next_champion

MANIFEST = "manifest.json"
ATTEMPTS = 50  # of a compare-and-swap: of all that try at once, one gets through each time

_log = logging.getLogger(__name__)


class BucketStore:
    """A store whose files are the objects of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        """Use a bucket; nothing is asked of the service yet."""
        self.bucket = bucket

    def register(self, model_name: str, package: Path, extra_files: Mapping[str, Path]) -> str:
        """Add a package as a new version; one that is there already keeps its version.

        Raises:
            ModelPackageError: the package is not whole.
            StoreError: the bucket cannot be written to, or keeps something else than was sent.
        """
        version = self._number(model_name, verify_files(package))
        folder = f"{model_name}/versions/{version}"
        ours = {str(f.relative_to(package)): f for f in package.rglob("*") if f.is_file()}
        if self.bucket.stat(f"{folder}/{MANIFEST}") is None:
            # Extra files of an upload that broke off stay: they may differ from run to run.
            extra = {n: f for n, f in extra_files.items() if not self.bucket.stat(f"{folder}/{n}")}
            files = dict(sorted((ours | extra).items()))
            manifest = files.pop(MANIFEST)
            for name, file in files.items():
                self._add(folder, name, file)
            self._add(folder, MANIFEST, manifest)
        else:
            for name, file in ours.items():
                self._compare(folder, name, file)
        return version

    def _number(self, model_name: str, digest: str) -> str:
        """The version of a package: its own, or the next, which is now taken."""
        for attempt in range(ATTEMPTS):
            known, state = self._json(f"{model_name}/versions.json")
            known = known or {}
            for version in sorted(self._versions(model_name) - known.keys()):
                known[version] = self._digest(model_name, version)  # it was copied here
            own = [version for version, one in known.items() if one == digest]
            if own:
                return str(own[0])
            version = str(max(map(int, known), default=0) + 1)
            if self._swap(f"{model_name}/versions.json", known | {version: digest}, state):
                return version
            time.sleep(random.uniform(0, 0.05 * min(attempt + 1, 20)))
        raise ConflictError(
            f"'{self.bucket.uri}' gave '{model_name}' no version: too many runs registered at the "
            "same time. Run again."
        )

    def _add(self, folder: str, name: str, file: Path) -> None:
        if self.bucket.stat(f"{folder}/{name}") is None:
            self.bucket.create(f"{folder}/{name}", file)
        self._compare(folder, name, file)

    def _compare(self, folder: str, name: str, file: Path) -> None:
        """Hold what the service says that it keeps against the file."""
        path = f"{self.bucket.uri}/{folder}/{name}"
        stored, size = self.bucket.stat(f"{folder}/{name}"), file.stat().st_size
        checksum = self.bucket.checksum(file)
        if stored and not stored.checksum:  # a service that keeps none: read it back
            with tempfile.TemporaryDirectory() as back:
                copy = Path(back) / file.name
                self.bucket.fetch(f"{folder}/{name}", copy)
                stored = StoredFile(copy.stat().st_size, self.bucket.checksum(copy))
        if stored != StoredFile(size, checksum):
            found = f"{stored.bytes} bytes, checksum {stored.checksum}" if stored else "nothing"
            raise StoreError(
                f"'{path}' holds {found}; '{file.name}' has {size} bytes, checksum {checksum}. "
                "Delete that object and run again: the version is not usable before."
            )
        _log.info("%s holds %d bytes, checksum %s", path, size, checksum)

    def _read(self, name: str) -> bytes:
        found = self.bucket.read(name)
        if found is None:
            raise StoreError(f"'{self.bucket.uri}/{name}' went away meanwhile. Run again.")
        return found[0]

    def _json(self, name: str) -> tuple[dict[str, Any] | None, str]:
        content, state = self.bucket.read(name) or (b"null", "")
        try:
            return json.loads(content), state
        except ValueError as error:
            raise StoreError(
                f"'{self.bucket.uri}/{name}' is no JSON ({error}). Restore it, or delete it to "
                "begin anew."
            ) from error

    def _swap(self, name: str, value: Mapping[str, Any], state: str) -> bool:
        return self.bucket.swap(name, json.dumps(value, indent=1).encode(), state)

    def _versions(self, model_name: str) -> set[str]:
        prefix = f"{model_name}/versions/"
        found = [name[len(prefix) :].partition("/") for name in self.bucket.names(prefix)]
        return {version for version, _, file in found if version.isdecimal() and file == MANIFEST}

    def _check(self, model_name: str, version: str) -> None:
        versions = self._versions(model_name)
        if version not in versions:
            raise StoreError(
                f"'{model_name}' has no version '{version}' in '{self.bucket.uri}'; it has "
                f"{', '.join(sorted(versions, key=int)) or 'none'}."
            )

    def _digest(self, model_name: str, version: str) -> str:
        manifest = self._read(f"{model_name}/versions/{version}/{MANIFEST}")
        return hashlib.sha256(manifest).hexdigest()

    def champion(self, model_name: str) -> Champion | None:
        """The champion, or None before the first.

        Raises:
            StoreError: champion.json is damaged, or cannot be read.
        """
        return self._champion(model_name)[0]

    def _champion(self, model_name: str) -> tuple[Champion | None, str]:
        value, state = self._json(f"{model_name}/champion.json")
        return (None if value is None else Champion.from_json(value)), state

    def promote(
        self, model_name: str, version: str, expected: str | None, endpoint: str = ""
    ) -> Champion:
        """Make a version the champion if the champion is still the expected one.

        Raises:
            ConflictError: somebody else promoted meanwhile.
            StoreError: there is no such version.
        """
        self._check(model_name, version)
        digest = self._digest(model_name, version)
        for _ in range(ATTEMPTS):
            current, state = self._champion(model_name)
            following = Champion(version, digest, endpoint=endpoint)
            champion = next_champion(model_name, current, following, expected)
            if champion == current or self._swap(
                f"{model_name}/champion.json", asdict(champion), state
            ):
                return champion
            time.sleep(random.uniform(0, 0.05))  # lost: the next look says to whom
        raise ConflictError(f"The champion of '{model_name}' changes all the time. Run again.")

    def download(self, model_name: str, version: str) -> Path:
        """Copy a version to this machine and check it.

        Raises:
            ModelPackageError: what came is not what training wrote.
            StoreError: there is no such version.
        """
        self._check(model_name, version)
        prefix = f"{model_name}/versions/{version}/"
        folder = Path(tempfile.mkdtemp(prefix=f"{model_name}-{version}-"))
        try:
            for name in self.bucket.names(prefix):
                file = folder / name[len(prefix) :]
                file.parent.mkdir(parents=True, exist_ok=True)
                self.bucket.fetch(name, file)
            verify_files(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def uri(self, model_name: str, version: str) -> str:
        """Where KServe finds a version."""
        return f"{self.bucket.uri}/{model_name}/versions/{version}"
