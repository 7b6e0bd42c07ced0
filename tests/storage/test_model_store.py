import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from shipway.components.lib.errors import ConflictError, ModelPackageError, StoreError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_store import (
    Champion,
    DirectoryStore,
    ModelStore,
    next_champion,
    open_store,
)


def test_versions_count_up_for_each_model(store: ModelStore, one: Path, two: Path) -> None:
    assert [store.register("taxi", p, {}) for p in (one, two)] == ["1", "2"]
    assert store.register("other", two, {}) == "1"


def test_the_same_package_is_registered_once(store: ModelStore, one: Path, two: Path) -> None:
    assert [store.register("taxi", p, {}) for p in (one, two, one)] == ["1", "2", "1"]


def test_a_version_comes_back_whole_with_its_extra_files(
    store: ModelStore, one: Path, tmp_path: Path
) -> None:
    (tmp_path / "e.json").write_text('{"rows": 3}')
    version = store.register("taxi", one, {"evaluation.json": tmp_path / "e.json"})
    folder = store.download("taxi", version)
    assert {p.name for p in folder.iterdir()} == {p.name for p in one.iterdir()} | {
        "evaluation.json"
    }
    assert (folder / "model.ubj").read_bytes() == (one / "model.ubj").read_bytes()
    assert (folder / "evaluation.json").read_text() == '{"rows": 3}'


def test_folders_and_empty_files_of_a_package_come_back(
    store: ModelStore, one: Path, tmp_path: Path
) -> None:
    (one / "baseline").mkdir()
    (one / "baseline" / "features.json").write_text("{}")
    (tmp_path / "empty").touch()
    folder = store.download("taxi", store.register("taxi", one, {"notes": tmp_path / "empty"}))
    assert (folder / "baseline" / "features.json").read_text() == "{}"
    assert (folder / "notes").read_bytes() == b""


def test_a_version_stays_when_its_source_changes(store: ModelStore, one: Path) -> None:
    before = (one / "model.ubj").read_bytes()
    version = store.register("taxi", one, {})
    (one / "model.ubj").write_text("trained again")
    assert (store.download("taxi", version) / "model.ubj").read_bytes() == before
    with pytest.raises(ModelPackageError, match=r"model\.ubj"):
        store.register("taxi", one, {})


def test_a_version_that_was_damaged_since_is_not_taken_for_registered(
    one: Path, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path / "store"))
    kept = store.download("taxi", store.register("taxi", one, {}))
    (kept / "golden.json").write_text("another")
    with pytest.raises(ModelPackageError, match=r"'golden\.json'"):
        store.register("taxi", one, {})


def test_promotions_keep_the_champions_before(store: ModelStore, one: Path, two: Path) -> None:
    first, second = (store.register("taxi", p, {}) for p in (one, two))
    assert store.champion("taxi") is None
    store.promote("taxi", first, None)
    store.promote("taxi", second, first)
    champion = store.champion("taxi")
    assert champion.version == second
    assert champion.digest == sha256_of(two / "manifest.json")
    assert [(past["version"], past["digest"]) for past in champion.history] == [
        (first, sha256_of(one / "manifest.json"))
    ]
    store.promote("taxi", first, second)
    assert [past["version"] for past in store.champion("taxi").history] == [second, first]


def test_another_champion_than_expected_is_a_conflict(
    store: ModelStore, one: Path, two: Path
) -> None:
    first, second = (store.register("taxi", p, {}) for p in (one, two))
    with pytest.raises(ConflictError, match="version none, not 7"):
        store.promote("taxi", first, "7")
    store.promote("taxi", first, None)
    with pytest.raises(ConflictError, match="version 1, not none"):
        store.promote("taxi", second, None)
    assert store.champion("taxi").version == first


def test_promoting_the_champion_again_changes_nothing(store: ModelStore, one: Path) -> None:
    champion = store.promote("taxi", store.register("taxi", one, {}), None)
    assert store.promote("taxi", "1", None) == champion == store.promote("taxi", "1", "9")
    assert store.champion("taxi") == champion


def test_the_history_of_champions_is_bounded() -> None:
    champion = None
    for version in map(str, range(1, 150)):
        following = Champion(version, "d", endpoint=f"http://{version}")
        expected = champion.version if champion else None
        champion = next_champion("taxi", champion, following, expected)
    assert [past["version"] for past in champion.history] == [str(n) for n in range(148, 48, -1)]
    assert champion.history[0]["endpoint"] == "http://148"


def test_a_missing_version_names_those_there_are(store: ModelStore, one: Path) -> None:
    with pytest.raises(StoreError, match=r"no version '1'.*it has none"):
        store.download("taxi", "1")
    store.register("taxi", one, {})
    for call in (store.download, lambda *names: store.promote(*names, None)):
        with pytest.raises(StoreError, match=r"'taxi' has no version '9'.*it has 1"):
            call("taxi", "9")


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(
    uri: str, package: Callable[..., Path]
) -> None:
    stores = open_store(uri), open_store(uri)
    versions = {stores[0].register("taxi", package(n, n), {}) for n in "abc"}
    stores[0].promote("taxi", "1", None)
    together = Barrier(2)

    def promote(store: ModelStore, version: str, expected: str) -> Champion | str:
        together.wait(30)
        try:
            return store.promote("taxi", version, expected)
        except ConflictError as error:
            return str(error)

    with ThreadPoolExecutor(2) as threads:
        for round in range(20):
            before = stores[0].champion("taxi")
            rivals = sorted(versions - {before.version})
            ends = list(threads.map(promote, stores, rivals, [before.version] * 2))
            (winner,) = [end for end in ends if isinstance(end, Champion)]
            (told,) = [end for end in ends if isinstance(end, str)]
            assert f"is version {winner.version}, not {before.version}" in told
            assert stores[1].champion("taxi") == winner
            assert len(winner.history) == round + 1


def test_two_processes_at_once_get_different_versions(
    uri: str, package: Callable[..., Path]
) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from shipway.components.lib.model_store import open_store\n"
        "store = open_store(sys.argv[1]); print('up', flush=True); sys.stdin.readline()\n"
        "print(*[store.register('taxi', Path(p), {}) for p in sys.argv[2:]])"
    )
    mine, theirs = ([package(f"{who}{i}", f"{who}{i}") for i in range(4)] for who in "ab")
    command = [sys.executable, "-c", code, uri]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*command, *map(str, group)], **pipes) for group in (mine, theirs)]
    assert [process.stdout.readline() for process in running] == ["up\n", "up\n"]
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    versions = " ".join(process.communicate(timeout=60)[0] for process in running).split()
    assert sorted(map(int, versions)) == list(range(1, 9))
    for version, source in zip(versions, mine + theirs, strict=True):
        kept = open_store(uri).download("taxi", version)
        assert sha256_of(kept / "manifest.json") == sha256_of(source / "manifest.json")


def test_the_same_package_at_once_is_one_version(uri: str, one: Path) -> None:
    together = Barrier(4)

    def register(store: ModelStore) -> str:
        together.wait(30)
        return store.register("taxi", one, {})

    with ThreadPoolExecutor(4) as threads:
        versions = set(threads.map(register, [open_store(uri) for _ in range(4)]))
    assert versions == {"1"}
    assert open_store(uri).download("taxi", "1").is_dir()


@pytest.mark.parametrize("text", ["{", '{"version": "1"}', "[1]"])
def test_a_damaged_champion_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "store" / "taxi").mkdir(parents=True)
    (tmp_path / "store" / "taxi" / "champion.json").write_text(text)
    with pytest.raises(StoreError, match=r"champion\.json"):
        open_store(str(tmp_path / "store")).champion("taxi")


def test_a_store_that_cannot_be_written_to_is_named(one: Path, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreError, match=f"'{tmp_path}/store' cannot be written to"):
        open_store(str(tmp_path / "store")).register("taxi", one, {})


@pytest.mark.parametrize("uri", ["azure://bucket/models", "", "gs://", "s3:///models"])
def test_a_place_that_no_store_has_is_refused(uri: str) -> None:
    with pytest.raises(StoreError, match=re.escape(f"'{uri}'") + ".*gs://bucket/prefix"):
        open_store(uri)


def test_a_file_uri_is_its_directory(one: Path, tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/a%20b")
    store.register("taxi", one, {})
    assert store.uri("taxi", "1") == f"file://{tmp_path}/a b/taxi/versions/1"
    assert isinstance(store, DirectoryStore)
