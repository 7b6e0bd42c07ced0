from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipway.components.lib import model_store_s3
from shipway.components.lib.errors import ModelPackageError, StoreError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_store import ModelStore, open_store
from shipway.components.lib.ports import free_port

MODEL = "taxi/versions/1/model.ubj"
PART = 5 << 20  # the least that S3 takes
SEVERAL_PARTS = b"0123456789abcdef" * (12 << 16)  # 12 MiB: two parts and a half


@pytest.fixture
def store(s3: Any) -> ModelStore:
    return open_store("s3://models")


@pytest.fixture
def large(package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(model_store_s3, "PART_BYTES", PART)
    return package("large", SEVERAL_PARTS)


def check(store: ModelStore, package: Path) -> None:
    """The first version is the package, byte for byte."""
    kept = store.download("taxi", "1")
    for file in package.rglob("*"):
        assert sha256_of(kept / file.name) == sha256_of(file)


def test_a_large_model_goes_up_in_parts_with_the_checksum_of_the_whole(
    s3: Any, store: ModelStore, large: Path
) -> None:
    assert store.register("taxi", large, {}) == "1"
    assert s3.parts == 3
    head = s3.client.head_object(Bucket="models", Key=MODEL, ChecksumMode="ENABLED")
    assert head["ChecksumType"] == "FULL_OBJECT"
    assert head["ChecksumCRC32"] == store.bucket.checksum(large / "model.ubj")
    check(store, large)


@pytest.mark.slow
def test_a_model_of_300_mb_survives_a_cut(
    s3: Any, store: ModelStore, package: Callable[..., Path]
) -> None:
    large = package("large", bytes(range(250)) * 1_200_000)
    s3.cut = [5 << 20]
    assert store.register("taxi", large, {}) == "1"
    assert s3.parts == 18 + 1
    check(store, large)


@pytest.mark.parametrize("arrived", [0, PART - 1])
def test_a_connection_cut_in_a_part_costs_that_part(
    arrived: int, s3: Any, store: ModelStore, large: Path
) -> None:
    s3.cut = [arrived]
    assert store.register("taxi", large, {}) == "1"
    assert s3.parts == 4
    check(store, large)


@pytest.mark.parametrize("answers", [0, 2, 4, 6])
def test_an_upload_whose_answer_got_lost_is_not_repeated_as_another(
    answers: int, s3: Any, store: ModelStore, large: Path
) -> None:
    s3.lose_after, s3.lose = answers, 1
    assert store.register("taxi", large, {}) == "1"
    assert s3.lose == 0
    assert store.register("taxi", large, {}) == "1"
    check(store, large)


def test_a_promotion_whose_answer_got_lost_has_won(s3: Any, store: ModelStore, one: Path) -> None:
    store.register("taxi", one, {})
    s3.lose = 1
    assert store.promote("taxi", "1", None).version == "1"
    assert s3.lose == 0


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_by_itself_is_tried_again(
    status: int, s3: Any, store: ModelStore, one: Path
) -> None:
    s3.fail = [status] * 2
    assert store.register("taxi", one, {}) == "1"
    assert s3.fail == []


def test_other_bytes_than_the_package_s_are_no_version(
    s3: Any, store: ModelStore, one: Path
) -> None:
    s3.client.put_object(Bucket="models", Key=MODEL, Body=b"of somebody else")
    with pytest.raises(StoreError, match=r"model\.ubj' holds 16 bytes.*Delete that object"):
        store.register("taxi", one, {})
    with pytest.raises(StoreError, match="no version '1'"):
        store.download("taxi", "1")
    s3.client.delete_object(Bucket="models", Key=MODEL)
    assert store.register("taxi", one, {}) == "1"


def test_an_upload_without_a_checksum_of_the_whole_is_read_back(
    s3: Any, store: ModelStore, large: Path
) -> None:
    for content, fits in ((SEVERAL_PARTS[:-1] + b"?", False), (SEVERAL_PARTS, True)):
        kind = {"ChecksumAlgorithm": "SHA256", "ChecksumType": "COMPOSITE"}
        upload = s3.client.create_multipart_upload(Bucket="models", Key=MODEL, **kind)
        where = {name: upload[name] for name in ("Bucket", "Key", "UploadId")}
        part = s3.client.upload_part(
            Body=content, PartNumber=1, ChecksumAlgorithm="SHA256", **where
        )
        parts = [{"PartNumber": 1} | {n: part[n] for n in ("ETag", "ChecksumSHA256")}]
        s3.client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
        if fits:
            assert store.register("taxi", large, {}) == "1"
        else:
            with pytest.raises(StoreError, match=r"model\.ubj.*Delete that object"):
                store.register("taxi", large, {})


def test_what_changed_in_the_bucket_is_not_served(s3: Any, store: ModelStore, one: Path) -> None:
    store.register("taxi", one, {})
    s3.client.put_object(Bucket="models", Key=MODEL, Body=b"another")
    with pytest.raises(ModelPackageError, match=r"'model\.ubj'"):
        store.download("taxi", "1")


def test_minio_is_named_as_a_model_server_knows_it(s3: Any, one: Path) -> None:
    store = open_store("minio://models/all/")
    assert store.register("taxi", one, {}) == "1"
    assert store.uri("taxi", "1") == "s3://models/all/taxi/versions/1"
    assert open_store("s3://models/all").download("taxi", "1").is_dir()


def test_a_service_of_one_s_own_needs_no_host_name_for_each_bucket(
    s3: Any, one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = s3.url.replace("127.0.0.1", "localhost")
    monkeypatch.setenv("AWS_ENDPOINT_URL", host)
    s3.hosts.clear()
    assert open_store("s3://models").register("taxi", one, {}) == "1"
    assert s3.hosts == {host.removeprefix("http://")}


def test_a_missing_bucket_is_named(s3: Any, one: Path) -> None:
    store = open_store("s3://elsewhere/models")
    for call in (
        lambda: store.register("taxi", one, {}),
        lambda: store.download("taxi", "1"),
        lambda: store.champion("taxi"),
    ):
        with pytest.raises(StoreError, match="s3://elsewhere/models.*no such bucket.*elsewhere"):
            call()


@pytest.mark.parametrize(
    ("method", "permission"), [("PUT", "s3:PutObject"), ("GET", "s3:(ListBucket|GetObject)")]
)
def test_a_refusal_names_the_permission(
    method: str, permission: str, s3: Any, store: ModelStore, one: Path
) -> None:
    s3.refuse = {method: "AccessDenied"}
    with pytest.raises(StoreError, match=f"lacks the permission {permission}"):
        store.register("taxi", one, {})


def test_a_large_upload_that_is_refused_names_the_permission(
    s3: Any, store: ModelStore, large: Path
) -> None:
    s3.refuse = {"POST": "AccessDenied"}
    with pytest.raises(StoreError, match="lacks the permission s3:PutObject"):
        store.register("taxi", large, {})


def test_an_upload_in_parts_that_fails_leaves_no_parts(
    s3: Any, store: ModelStore, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_store_s3, "ATTEMPTS", 1)
    s3.cut = [1]
    with pytest.raises(StoreError, match="not reached in 1 attempts"):
        store.register("taxi", large, {})
    assert not s3.client.list_multipart_uploads(Bucket="models").get("Uploads")
    assert store.register("taxi", large, {}) == "1"


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"])
def test_keys_that_are_refused_are_named(code: str, s3: Any, store: ModelStore, one: Path) -> None:
    s3.refuse = {"GET": code}
    with pytest.raises(StoreError, match=f"credentials are wrong.*{code}"):
        store.register("taxi", one, {})


def test_missing_keys_are_named(s3: Any, one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match="no credentials.*AWS_ACCESS_KEY_ID"):
        open_store("s3://models").register("taxi", one, {})


def test_no_network_says_so(s3: Any, one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(model_store_s3, "ATTEMPTS", 2)
    with pytest.raises(StoreError, match="not reached in 2 attempts. Check the network"):
        open_store("s3://models").register("taxi", one, {})
