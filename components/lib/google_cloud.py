"""A client of Google Cloud Storage, for tables and for models."""

import os
from typing import Any

TIMEOUT_SECONDS = 60
CHUNK_BYTES = 8 << 20


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
