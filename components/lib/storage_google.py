"""Tables in Google Cloud Storage, read at the generation that was listed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from shipway.components.lib.errors import DataError
from shipway.components.lib.google_cloud import TIMEOUT_SECONDS, gcs_client, split_gs
from shipway.components.lib.objects import StoredObject, changed, chosen, fixed_part, missing
from shipway.components.lib.ranged_file import PassingFailure, may_pass, open_ranged, patiently


class GoogleObjects:
    """The objects of gs://bucket/name."""

    def listed(self, uri: str) -> list[StoredObject]:
        """The objects that a URI names."""
        return chosen(patiently(uri, lambda: _listed(uri)), uri)

    def opened(self, stored: StoredObject) -> BinaryIO:
        """An object as it is stored, at its generation."""
        bucket, name = split_gs(stored.uri)
        generation = int(stored.generation)
        with explained(stored.uri):
            blob = gcs_client().bucket(bucket).blob(name, generation=generation)

        def fetch(first: int, last: int) -> bytes:
            with explained(stored.uri):
                return bytes(
                    blob.download_as_bytes(
                        start=first,
                        end=last - 1,
                        raw_download=True,
                        if_generation_match=generation,
                        timeout=TIMEOUT_SECONDS,
                        checksum=None,
                        retry=None,
                    )
                )

        return open_ranged(stored, fetch)

    def check_unchanged(self, stored: StoredObject) -> None:
        """Nothing to do: it is read by its generation, so it cannot change under the reader."""


def _listed(uri: str) -> list[StoredObject]:
    bucket, name = split_gs(uri)
    with explained(uri):
        blobs = gcs_client().list_blobs(
            bucket, prefix=fixed_part(name), timeout=TIMEOUT_SECONDS, retry=None
        )
        return [
            StoredObject(f"gs://{bucket}/{blob.name}", int(blob.size), str(blob.generation))
            for blob in blobs
            if not blob.name.endswith("/")
        ]


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn the client's errors into ours, naming the URI and the cure.

    Raises:
        DataError: the object or bucket cannot be read.
        PassingFailure: it may be readable later.
    """
    import requests
    import urllib3
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        yield
    except exceptions.NotFound as error:
        raise missing(uri) from error
    except exceptions.PreconditionFailed as error:
        raise changed(uri) from error
    except (
        TransportError,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        exceptions.RetryError,
        ConnectionError,
    ) as error:
        raise PassingFailure(f"the storage service was not reached ({error})") from error
    except (exceptions.Forbidden, exceptions.Unauthorized, GoogleAuthError) as error:
        raise DataError(
            f"'{uri}' cannot be read: access was refused. Give the account that runs this step "
            "roles/storage.objectViewer on the bucket, or sign in."
        ) from error
    except exceptions.GoogleAPICallError as error:
        if may_pass(error.code or 500):
            raise PassingFailure(f"{error.code} {error.message}") from error
        raise DataError(f"'{uri}' cannot be read: {error.message}.") from error
