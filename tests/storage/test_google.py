import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from shipway.components.lib import model_store_gcs
from shipway.components.lib.errors import ModelPackageError, StoreError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_store import ModelStore, open_store
from shipway.components.lib.ports import free_port

SEVERAL_CHUNKS = b"0123456789abcdef" * (20 << 16)  # 20 MiB: two chunks and a half


@pytest.fixture
def store(google: Any) -> ModelStore:
    return open_store("gs://models")


@pytest.fixture
def large(package: Callable[..., Path]) -> Path:
    return package("large", SEVERAL_CHUNKS)


def check(store: ModelStore, package: Path, version: str = "1") -> None:
    """A version is the package, byte for byte."""
    kept = store.download("taxi", version)
    for file in package.rglob("*"):
        assert sha256_of(kept / file.name) == sha256_of(file)


def test_a_large_model_goes_up_in_chunks(google: Any, store: ModelStore, large: Path) -> None:
    assert store.register("taxi", large, {}) == "1"
    assert google.chunks == 3
    resource, content = google.buckets["models"]["taxi/versions/1/model.ubj"]
    assert sha256(content).digest() == sha256(SEVERAL_CHUNKS).digest()
    assert resource["size"] == str(len(SEVERAL_CHUNKS))
    check(store, large)


@pytest.mark.slow
def test_a_model_of_300_mb_survives_a_cut(
    google: Any, store: ModelStore, package: Callable[..., Path]
) -> None:
    large = package("large", bytes(range(250)) * 1_200_000)
    google.cut = [8 << 20, 3 << 20]  # the first chunk arrives whole, the second breaks
    assert store.register("taxi", large, {}) == "1"
    assert google.chunks == 36 + 1
    check(store, large)


@pytest.mark.parametrize("arrived", [0, 300_000, (8 << 20) - 1])
def test_a_connection_cut_in_a_chunk_costs_that_chunk(
    arrived: int, google: Any, store: ModelStore, large: Path
) -> None:
    google.cut = [8 << 20, arrived]
    assert store.register("taxi", large, {}) == "1"
    assert google.chunks == 4
    assert google.received == len(SEVERAL_CHUNKS) + arrived
    check(store, large)


@pytest.mark.parametrize("answers", [0, 2, 4])
def test_an_upload_whose_answer_got_lost_is_not_repeated_as_another(
    answers: int, google: Any, store: ModelStore, large: Path
) -> None:
    google.lose_after, google.lose = answers, 1
    assert store.register("taxi", large, {}) == "1"
    assert store.register("taxi", large, {}) == "1"
    check(store, large)


def test_a_promotion_whose_answer_got_lost_has_won(
    google: Any, store: ModelStore, one: Path
) -> None:
    store.register("taxi", one, {})
    google.lose = 1
    assert store.promote("taxi", "1", None).version == "1"
    assert google.lose == 0


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_by_itself_is_tried_again(
    status: int, google: Any, store: ModelStore, one: Path
) -> None:
    google.fail = [status] * 2
    assert store.register("taxi", one, {}) == "1"
    assert google.fail == []


def test_a_session_that_the_server_lost_is_begun_anew(
    google: Any, store: ModelStore, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk, lost = google.RequestHandlerClass._chunk, []

    def lose(handler: Any) -> None:
        if not lost:
            lost.append(google.sessions.clear())
        chunk(handler)

    monkeypatch.setattr(google.RequestHandlerClass, "_chunk", lose)
    assert store.register("taxi", large, {}) == "1"
    assert lost
    check(store, large)


def test_bytes_that_change_on_the_way_are_no_version(
    google: Any, store: ModelStore, one: Path
) -> None:
    google.damage = True
    with pytest.raises(StoreError, match=r"model\.ubj.*bytes, checksum.*Delete that object"):
        store.register("taxi", one, {})
    assert "taxi/versions/1/manifest.json" not in google.buckets["models"]
    google.damage = False
    del google.buckets["models"]["taxi/versions/1/model.ubj"]
    assert store.register("taxi", one, {}) == "1"


def test_what_a_server_without_checksums_keeps_is_read_back(
    google: Any, store: ModelStore, one: Path, two: Path
) -> None:
    google.checksums = False
    assert store.register("taxi", one, {}) == "1"
    google.damage = True
    with pytest.raises(StoreError, match=r"model\.ubj.*Delete that object"):
        store.register("taxi", two, {})


def test_a_version_that_was_damaged_since_is_not_taken_for_registered(
    google: Any, store: ModelStore, one: Path
) -> None:
    store.register("taxi", one, {})
    objects = google.buckets["models"]
    del objects["taxi/versions/1/golden.json"]
    with pytest.raises(StoreError, match=r"versions/1/golden\.json' holds nothing"):
        store.register("taxi", one, {})


def test_an_upload_that_broke_off_is_no_version_and_goes_on_under_its_number(
    google: Any, store: ModelStore, one: Path, two: Path
) -> None:
    store.register("taxi", one, {})
    objects = google.buckets["models"]
    kept = objects["taxi/versions/1/golden.json"]
    for name in ("manifest.json", "model.ubj"):
        del objects[f"taxi/versions/1/{name}"]
    with pytest.raises(StoreError, match="no version '1'"):
        store.download("taxi", "1")
    assert store.register("taxi", two, {}) == "2"
    assert store.register("taxi", one, {}) == "1"
    assert objects["taxi/versions/1/golden.json"] is kept
    check(store, one)


def test_a_store_that_was_copied_into_a_bucket_goes_on(
    google: Any, store: ModelStore, one: Path, two: Path
) -> None:
    store.register("taxi", one, {})
    del google.buckets["models"]["taxi/versions.json"]
    assert store.register("taxi", two, {}) == "2"
    assert store.register("taxi", one, {}) == "1"


def test_what_changed_in_the_bucket_is_not_served(
    google: Any, store: ModelStore, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store.register("taxi", one, {})
    google.put("models", {"name": "taxi/versions/1/model.ubj"}, b"another", {})
    with pytest.raises(ModelPackageError, match=r"'model\.ubj'"):
        store.download("taxi", "1")
    assert not list(tmp_path.glob("taxi-1-*"))


@pytest.mark.parametrize("name", ["champion.json", "versions.json"])
def test_a_damaged_pointer_is_named(name: str, google: Any, store: ModelStore, one: Path) -> None:
    google.put("models", {"name": f"taxi/{name}"}, b"{", {})
    with pytest.raises(StoreError, match=rf"taxi/{name}' is no JSON"):
        store.champion("taxi") if name == "champion.json" else store.register("taxi", one, {})


@pytest.mark.parametrize("place", ["google", "emulator"])
def test_a_missing_bucket_is_named(place: str, one: Path, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(place)
    store = open_store("gs://elsewhere/models")
    for call in (lambda: store.register("taxi", one, {}), lambda: store.download("taxi", "1")):
        with pytest.raises(StoreError, match="gs://elsewhere/models.*no such bucket.*elsewhere"):
            call()


@pytest.mark.parametrize("size", [10, 20 << 20])
def test_a_bucket_that_cannot_be_written_to_names_the_permission(
    size: int, google: Any, store: ModelStore, package: Callable[..., Path]
) -> None:
    google.readonly = True
    with pytest.raises(StoreError, match=r"permission storage\.objects\.create.*objectUser"):
        store.register("taxi", package("it", b"x" * size), {})
    assert store.champion("taxi") is None


def test_a_sign_in_that_is_refused_says_so(google: Any, store: ModelStore, one: Path) -> None:
    google.refuse = 401
    with pytest.raises(StoreError, match="credentials.*GOOGLE_APPLICATION_CREDENTIALS"):
        store.register("taxi", one, {})


@pytest.mark.parametrize("key", [None, {"type": "service_account"}])
def test_credentials_that_cannot_be_read_are_named(
    key: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    if key:
        (tmp_path / "key.json").write_text(json.dumps(key))
    with pytest.raises(StoreError, match="gs://models.*credentials are missing or wrong"):
        open_store("gs://models").champion("taxi")


def test_no_network_says_so_in_time(monkeypatch: pytest.MonkeyPatch, one: Path) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(model_store_gcs, "RETRY_SECONDS", 1)
    with pytest.raises(StoreError, match="not reached for 1 s. Check the network"):
        open_store("gs://models").register("taxi", one, {})


def test_another_emulator_keeps_versions_too(emulator: None, one: Path, large: Path) -> None:
    store = open_store("gs://models/all")
    assert [store.register("taxi", p, {}) for p in (one, large, one)] == ["1", "2", "1"]
    check(store, large, "2")
