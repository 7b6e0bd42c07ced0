"""Tables in Amazon S3, MinIO or another service that speaks S3, read at the ETag that was listed.

Endpoint, region and keys come from the environment that every AWS client reads (AWS_ENDPOINT_URL,
AWS_REGION, AWS_ACCESS_KEY_ID, ... or the account of the pod).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, BinaryIO, NoReturn

from shipway.components.lib.errors import DataError
from shipway.components.lib.objects import StoredObject, changed, chosen, fixed_part, missing
from shipway.components.lib.ranged_file import PassingFailure, may_pass, open_ranged, patiently

TIMEOUT_SECONDS = 60
MISSING = ("NoSuchKey", "NoSuchBucket", "404")
CHANGED = ("PreconditionFailed", "InvalidRange", "412", "416")
CREDENTIALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")


class S3Objects:
    """The objects of s3://bucket/name."""

    def listed(self, uri: str) -> list[StoredObject]:
        """The objects that a URI names."""
        return chosen(patiently(uri, lambda: _listed(uri)), uri)

    def opened(self, stored: StoredObject) -> BinaryIO:
        """An object as it is stored, as long as its ETag stands."""
        bucket, name = split_s3(stored.uri)
        client = s3_client(stored.uri)

        def fetch(first: int, last: int) -> bytes:
            with explained(stored.uri):
                answer = client.get_object(
                    Bucket=bucket,
                    Key=name,
                    Range=f"bytes={first}-{last - 1}",
                    IfMatch=stored.generation,
                )
                return bytes(answer["Body"].read())

        return open_ranged(stored, fetch)

    def check_unchanged(self, stored: StoredObject) -> None:
        """Nothing to do: each block is read under the condition that the ETag stands."""


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and name of s3://bucket/name."""
    bucket, _, name = uri.removeprefix("s3://").partition("/")
    return bucket, name


def s3_client(uri: str) -> Any:
    """A client that does not retry: whoever calls it does.

    Raises:
        DataError: boto3 is not installed.
    """
    try:
        import boto3  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"'{uri}' needs the package boto3, which is not installed. Install shipway[s3]."
        ) from error
    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    with explained(uri):
        return _client(own, os.environ.get("AWS_REGION"), os.environ.get("AWS_ACCESS_KEY_ID"))


@lru_cache(maxsize=4)
def _client(endpoint: str, region: str | None, key: str | None) -> Any:
    """One client for all objects: to make one takes longer than a request."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=10,
        read_timeout=TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1},
        # A service of one's own seldom has a host name for each bucket.
        s3={"addressing_style": "path"} if endpoint else {},
    )
    # This client alone does not read AWS_REGION.
    return boto3.session.Session(region_name=region).client("s3", config=config)


def _listed(uri: str) -> list[StoredObject]:
    bucket, name = split_s3(uri)
    client = s3_client(uri)
    with explained(uri):
        pages = client.get_paginator("list_objects_v2")
        return [
            StoredObject(f"s3://{bucket}/{one['Key']}", int(one["Size"]), str(one["ETag"]))
            for page in pages.paginate(Bucket=bucket, Prefix=fixed_part(name))
            for one in page.get("Contents", [])
            if not one["Key"].endswith("/")
        ]


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn the client's errors into ours, naming the URI and the cure.

    Raises:
        DataError: the object or bucket cannot be read.
        PassingFailure: it may be readable later.
    """
    from botocore import exceptions as aws

    try:
        yield
    except aws.ClientError as error:
        _answered(uri, error)
    except (
        aws.NoCredentialsError,
        aws.PartialCredentialsError,
        aws.CredentialRetrievalError,
    ) as error:
        raise DataError(
            f"'{uri}' cannot be read: there are no credentials ({error}). Set AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY from a secret, or run as an account with access."
        ) from error
    except (
        aws.HTTPClientError,
        aws.ConnectionError,
        aws.IncompleteReadError,
        ConnectionError,
    ) as error:
        raise PassingFailure(f"the connection failed ({error})") from error
    except (aws.BotoCoreError, ValueError) as error:
        raise DataError(f"'{uri}' cannot be read: {error}. Check the URI and AWS_*.") from error


def _answered(uri: str, error: Any) -> NoReturn:
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    if code in CHANGED:
        raise changed(uri) from error
    if code in MISSING:
        raise missing(uri) from error
    if code in CREDENTIALS:
        reason = f"the credentials are wrong ({code}: {message}). Renew the keys of this step"
    elif status in (401, 403):
        reason = (
            f"access was refused ({message or code}). Allow s3:GetObject and s3:ListBucket to the "
            "account that runs this step"
        )
    elif may_pass(status) or code in ("SlowDown", "RequestTimeout", "InternalError"):
        raise PassingFailure(f"{code or status} {message}".strip()) from error
    else:
        reason = f"{code}: {message}. Check the URI"
    raise DataError(f"'{uri}' cannot be read: {reason}.") from error
