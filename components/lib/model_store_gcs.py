"""A bucket of Google Cloud Storage for the model store.

Large files go up in chunks of a resumable upload: a connection that is cut costs one chunk.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from shipway.components.lib.bucket import StoredFile
from shipway.components.lib.errors import StoreError
from shipway.components.lib.google_cloud import CHUNK_BYTES, TIMEOUT_SECONDS, gcs_client, split_gs

RETRY_SECONDS = 120
SESSIONS = 3  # a session that the server lost is begun anew


class GoogleBucket:
    """The objects under gs://bucket/prefix."""

    def __init__(self, uri: str) -> None:
        """Use a bucket and prefix; nothing is asked of the server yet."""
        self.uri = uri.rstrip("/")
        self._name, self._prefix = split_gs(self.uri)

    @cached_property
    def _bucket(self) -> Any:
        return gcs_client().bucket(self._name)

    def _blob(self, name: str, **arguments: Any) -> Any:
        full = f"{self._prefix}/{name}" if self._prefix else name
        return self._bucket.blob(full, **arguments)

    def names(self, prefix: str) -> list[str]:
        """Everything whose name begins so."""
        with self._reached("storage.objects.list"):
            start = self._blob(prefix).name
            found = self._bucket.list_blobs(prefix=start, fields=NAMES, **patience())
            return [prefix + blob.name[len(start) :] for blob in found]

    def stat(self, name: str) -> StoredFile | None:
        """Size and CRC32C, or None where there is nothing."""
        with self._reached("storage.objects.get"):
            blob = self._bucket.get_blob(self._blob(name).name, **patience())
            return StoredFile(int(blob.size), blob.crc32c or "") if blob else None

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Content and generation, or None where there is nothing."""
        from google.api_core.exceptions import NotFound

        with self._reached("storage.objects.get"):
            while True:
                blob = self._bucket.get_blob(self._blob(name).name, **patience())
                if blob is None:
                    return None
                state = str(blob.generation)
                try:
                    listed = self._blob(name, generation=blob.generation)
                    return listed.download_as_bytes(**patience()), state
                except NotFound:
                    continue  # written over between the two requests

    def create(self, name: str, file: Path) -> None:
        """Upload a file in chunks, unless the name is taken: then what stands there stays.

        Its CRC32C is sent first, so that the server keeps nothing else.
        """
        from google.api_core.exceptions import GoogleAPICallError, PreconditionFailed
        from google.cloud.storage.exceptions import DataCorruption

        with self._reached("storage.objects.create"):
            for left in reversed(range(SESSIONS)):
                blob = self._blob(name, chunk_size=CHUNK_BYTES)
                blob.crc32c = self.checksum(file)
                try:
                    blob.upload_from_filename(
                        str(file), if_generation_match=0, checksum="crc32c", **patience()
                    )
                    return
                except PreconditionFailed:
                    return
                except (GoogleAPICallError, DataCorruption, ValueError) as error:
                    # ValueError: the server kept a part of a chunk, which the client cannot mend.
                    if not left or getattr(error, "code", 410) not in (404, 410):
                        raise

    def swap(self, name: str, content: bytes, state: str) -> bool:
        """Write over the generation that was read ("" for nothing); False where it is another."""
        from google.api_core.exceptions import PreconditionFailed

        # To write over an object is to delete it as well.
        needed = "storage.objects.delete" if state else "storage.objects.create"
        with self._reached(needed):
            try:
                self._blob(name).upload_from_string(
                    content,
                    content_type="application/json",
                    if_generation_match=int(state or 0),
                    **patience(),
                )
            except PreconditionFailed:
                return False
        return True

    def fetch(self, name: str, file: Path) -> None:
        """Download an object."""
        with self._reached("storage.objects.get"):
            self._blob(name).download_to_filename(str(file), **patience())

    def remove(self, name: str) -> None:
        """Remove an object; it is no error that there is none."""
        with self._reached("storage.objects.delete"):
            self._bucket.delete_blobs([self._blob(name)], on_error=lambda _: None, **patience())

    def checksum(self, file: Path) -> str:
        """CRC32C of a local file, as the server reports it."""
        from google_crc32c import Checksum

        checksum = Checksum()
        with file.open("rb") as opened:
            for _ in checksum.consume(opened, CHUNK_BYTES):
                pass
        return base64.b64encode(checksum.digest()).decode()

    @contextmanager
    def _reached(self, permission: str) -> Iterator[None]:
        """Turn the client's errors into ours, naming the store and the cure.

        Raises:
            StoreError: always instead of the client's.
        """
        from google.api_core import exceptions as google
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.cloud.storage.exceptions import DataCorruption
        from requests import RequestException

        lost = (google.RetryError, ConnectionError, RequestException, TransportError)
        try:
            yield
        except google.NotFound as error:
            reason = f"there is no such bucket. Create '{self._name}', or check the spelling"
            raise self._error(reason) from error
        except google.Forbidden as error:
            reason = (
                f"it lacks the permission {permission}. Give the account that runs this step "
                f"roles/storage.objectUser on '{self._name}' ({error.message})"
            )
            raise self._error(reason) from error
        except lost as error:
            reason = f"it was not reached for {RETRY_SECONDS} s. Check the network ({error})"
            raise self._error(reason) from error
        except (google.Unauthorized, GoogleAuthError) as error:
            reason = (
                "the credentials are missing or wrong. Set GOOGLE_APPLICATION_CREDENTIALS, or run "
                f"as an account with access ({error})"
            )
            raise self._error(reason) from error
        except (google.GoogleAPICallError, DataCorruption, ValueError) as error:
            raise self._error(f"{error}. Run again later") from error

    def _error(self, reason: str) -> StoreError:
        return StoreError(f"The model store '{self.uri}' fails: {reason}.")


NAMES = "items(name),nextPageToken"


def patience() -> dict[str, Any]:
    """How long the client waits for an answer, and how long it tries again, ever more slowly."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return {"timeout": TIMEOUT_SECONDS, "retry": DEFAULT_RETRY.with_timeout(RETRY_SECONDS)}
