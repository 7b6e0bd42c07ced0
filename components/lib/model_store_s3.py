"""A bucket of Amazon S3, MinIO or another service that speaks S3, for the model store.

Endpoint, region and keys come from the environment that every AWS client reads (AWS_ENDPOINT_URL,
AWS_REGION, AWS_ACCESS_KEY_ID, ... or the account of the pod). The service must hold conditional
writes (If-None-Match, If-Match), as S3 and MinIO do.
"""

import base64
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from shipway.components.lib.bucket import StoredFile
from shipway.components.lib.errors import StoreError

PART_BYTES = 16 << 20  # 10,000 parts are allowed
ATTEMPTS = 8  # of each request, ever more slowly: about two minutes
TIMEOUT_SECONDS = 60
MISSING = ("NoSuchKey", "404")
LOST = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchUpload", "412", "409")
CREDENTIALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")


class S3Bucket:
    """The objects under s3://bucket/prefix."""

    def __init__(self, uri: str) -> None:
        """Use a bucket and prefix; nothing is asked of the server yet."""
        self.uri = uri.rstrip("/")
        self._bucket, _, self._prefix = self.uri.removeprefix("s3://").partition("/")

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        config = Config(
            connect_timeout=10,
            read_timeout=TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            # A service of one's own seldom has a host name for each bucket.
            s3={"addressing_style": "path"} if own else {},
        )
        region = os.environ.get("AWS_REGION")  # which this client alone does not read
        return boto3.session.Session(region_name=region).client("s3", config=config)

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}/{name}".lstrip("/")}

    def names(self, prefix: str) -> list[str]:
        """Everything whose name begins so."""
        start = self._at(prefix)["Key"]
        with self._reached("s3:ListBucket"):
            pages = self._client.get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=self._bucket, Prefix=start)
            keys = [one["Key"] for page in found for one in page.get("Contents", [])]
        return [prefix + key[len(start) :] for key in keys]

    def stat(self, name: str) -> StoredFile | None:
        """Size and CRC32, or None where there is nothing."""
        with self._reached("s3:GetObject"), suppress(Missing):
            answer = self._asked("head_object", MISSING, ChecksumMode="ENABLED", **self._at(name))
            whole = answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
            checksum = answer.get("ChecksumCRC32", "") if whole else ""
            return StoredFile(answer["ContentLength"], checksum)
        return None

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Content and ETag, or None where there is nothing."""
        with self._reached("s3:GetObject"), suppress(Missing):
            answer = self._asked("get_object", MISSING, **self._at(name))
            return answer["Body"].read(), answer["ETag"]
        return None

    def create(self, name: str, file: Path) -> None:
        """Upload a file in parts, unless the name is taken: then what stands there stays.

        Its CRC32 is sent too, so that the server keeps nothing else.
        """
        where = self._at(name) | {"IfNoneMatch": "*", "ChecksumCRC32": self.checksum(file)}
        with self._reached("s3:PutObject"), suppress(Missing), file.open("rb") as opened:
            if file.stat().st_size <= PART_BYTES:
                self._asked("put_object", LOST, Body=opened, **where)
            else:
                self._create_in_parts(opened, where)

    def _create_in_parts(self, opened: Any, where: dict[str, str]) -> None:
        kind = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
        at = {name: where[name] for name in ("Bucket", "Key")}
        upload = at | {"UploadId": self._client.create_multipart_upload(**at, **kind)["UploadId"]}
        try:
            parts: list[dict[str, Any]] = []
            while block := opened.read(PART_BYTES):
                number = len(parts) + 1
                answer = self._client.upload_part(
                    Body=block, PartNumber=number, ChecksumAlgorithm="CRC32", **upload
                )
                names = ("ETag", "ChecksumCRC32")
                parts.append({n: answer[n] for n in names if n in answer} | {"PartNumber": number})
            finish = upload | where | {"ChecksumType": "FULL_OBJECT"}
            self._asked(
                "complete_multipart_upload", LOST, MultipartUpload={"Parts": parts}, **finish
            )
        except BaseException:
            with suppress(Exception):  # the first error counts
                self._client.abort_multipart_upload(**upload)
            raise

    def swap(self, name: str, content: bytes, state: str) -> bool:
        """Write over the ETag that was read ("" for nothing); False where it is another."""
        condition = {"IfMatch": state} if state else {"IfNoneMatch": "*"}
        with self._reached("s3:PutObject"), suppress(Missing):
            self._asked("put_object", LOST + MISSING, Body=content, **condition, **self._at(name))
            return True
        return False

    def fetch(self, name: str, file: Path) -> None:
        """Download an object."""
        with self._reached("s3:GetObject"):
            self._client.download_file(Filename=str(file), **self._at(name))

    def remove(self, name: str) -> None:
        """Remove an object; it is no error that there is none."""
        with self._reached("s3:DeleteObject"):
            self._client.delete_object(**self._at(name))

    def checksum(self, file: Path) -> str:
        """CRC32 of a local file, as the server reports it."""
        value = 0
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                value = zlib.crc32(block, value)
        return base64.b64encode(value.to_bytes(4, "big")).decode()

    def _asked(self, method: str, expected: tuple[str, ...], **arguments: Any) -> dict[str, Any]:
        """Call the client.

        Raises:
            Missing: the server answered with one of the expected codes.
        """
        from botocore.exceptions import ClientError

        try:
            return dict(getattr(self._client, method)(**arguments))
        except ClientError as error:
            if error.response["Error"]["Code"] in expected:
                raise Missing from error
            raise

    @contextmanager
    def _reached(self, permission: str) -> Iterator[None]:
        """Turn the client's errors into ours, naming the store and the cure.

        Raises:
            StoreError: always instead of the client's.
        """
        from boto3.exceptions import Boto3Error
        from botocore import exceptions as aws

        try:
            yield
        except aws.ClientError as error:
            raise self._error(self._reason(error.response["Error"], permission)) from error
        except (
            aws.NoCredentialsError,
            aws.PartialCredentialsError,
            aws.CredentialRetrievalError,
        ) as error:
            reason = (
                f"there are no credentials ({error}). Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY from a secret, or run as an account with access"
            )
            raise self._error(reason) from error
        except (aws.HTTPClientError, aws.ConnectionError) as error:
            reason = f"it was not reached in {ATTEMPTS} attempts. Check the network ({error})"
            raise self._error(reason) from error
        except (aws.BotoCoreError, Boto3Error) as error:
            raise self._error(f"{error}. Run again later") from error

    def _reason(self, answer: dict[str, str], permission: str) -> str:
        code, message = answer.get("Code", ""), answer.get("Message", "")
        if code == "NoSuchBucket":
            return f"there is no such bucket. Create '{self._bucket}', or check the spelling"
        if code in CREDENTIALS:
            return f"the credentials are wrong. Renew the keys of this step ({code}: {message})"
        if code in ("AccessDenied", "403"):
            return (
                f"it lacks the permission {permission}. Allow it for the account that runs this "
                f"step on '{self._bucket}' ({message})"
            )
        return f"{code}: {message}. Run again later"

    def _error(self, reason: str) -> StoreError:
        return StoreError(f"The model store '{self.uri}' fails: {reason}.")


class Missing(Exception):
    """The server answered that there is nothing, or that something is in the way."""
