import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import pytest

from shipway.components.lib.errors import ConflictError, ModelPackageError, StoreError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_package import FORMAT, REQUIRED
from shipway.components.lib.model_store import DirectoryStore, ModelStore, open_store
from shipway.components.lib.serving import free_port


def package(path: Path, content: str) -> Path:
    """A directory that is whole by its manifest; nothing here loads the model."""
    path.mkdir()
    for name in REQUIRED:
        (path / name).write_text(f"{name} {content}")
    files = {
        name: {"bytes": (path / name).stat().st_size, "sha256": sha256_of(path / name)}
        for name in REQUIRED
    }
    (path / "manifest.json").write_text(json.dumps({"format": FORMAT, "files": files}))
    return path


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return package(tmp_path / "one", "1")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return package(tmp_path / "two", "2")


class Objects(BaseHTTPRequestHandler):
    """The part of Google's JSON API that the store uses, with its preconditions."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        bucket, name, query = self._asked()
        if bucket not in self.server.buckets:
            return self._answer(404, {"error": {"message": "no such bucket"}})
        with self.server.lock:
            objects = dict(self.server.buckets[bucket])
        if not name:
            names = sorted(n for n in objects if n.startswith(query.get("prefix", "")))
            return self._answer(200, {"items": [objects[n][0] for n in names]})
        if (
            name not in objects
            or query.get("generation", objects[name][0]["generation"])
            != (objects[name][0]["generation"])
        ):
            return self._answer(404, {"error": {"message": "no such object"}})
        return self._answer(200, objects[name][query.get("alt") == "media"])

    def do_POST(self) -> None:
        bucket, _, query = self._asked()
        body = self.rfile.read(int(self.headers["content-length"]))
        boundary = re.search('boundary="?([^";]+)', self.headers["content-type"])[1].encode()
        _, head, data, _ = body.split(b"--" + boundary)
        resource = json.loads(head.split(b"\r\n\r\n", 1)[1])
        content = data.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
        name = resource.setdefault("name", query.get("name"))
        with self.server.lock:
            if bucket not in self.server.buckets:
                return self._answer(404, {"error": {"message": "no such bucket"}})
            objects = self.server.buckets[bucket]
            standing = objects[name][0]["generation"] if name in objects else "0"
            if query.get("ifGenerationMatch", standing) != standing:
                return self._answer(412, {"error": {"message": "another generation"}})
            self.server.generation += 1
            resource |= {"bucket": bucket, "generation": str(self.server.generation)}
            objects[name] = resource | {"size": str(len(content))}, content
        return self._answer(200, resource)

    def _asked(self) -> tuple[str, str, dict[str, str]]:
        url = urlparse(self.path)
        _, bucket, rest = re.fullmatch(r"(.*)/storage/v1/b/([^/]+)/?o?/?(.*)", url.path).groups()
        return bucket, unquote(rest), {k: v[0] for k, v in parse_qs(url.query).items()}

    def _answer(self, status: int, content: dict[str, Any] | bytes) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    pytest.importorskip("google.cloud.storage")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Objects)
    server.lock, server.generation, server.buckets = Lock(), 0, {"models": {}}
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    found = pytest.importorskip("gcp_storage_emulator.server")
    port = free_port()
    running = found.create_server("127.0.0.1", port, in_memory=True, default_bucket="models")
    running.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    yield
    running.stop()


@pytest.fixture(params=["directory", "google", "emulator"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The places a store can be in; what they promise is the same."""
    if request.param == "directory":
        return str(tmp_path / "store")
    request.getfixturevalue(request.param)
    return "gs://models/all/ours"


@pytest.fixture
def store(uri: str) -> ModelStore:
    return open_store(uri)


@pytest.fixture(params=["directory", "google"])
def swapping(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The places that hold preconditions; the emulator does not."""
    if request.param == "directory":
        return str(tmp_path / "store")
    request.getfixturevalue("google")
    return "gs://models/all/ours"


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


def test_a_version_stays_when_its_source_changes(store: ModelStore, one: Path) -> None:
    before = (one / "model.ubj").read_bytes()
    version = store.register("taxi", one, {})
    (one / "model.ubj").write_text("trained again")
    assert (store.download("taxi", version) / "model.ubj").read_bytes() == before
    with pytest.raises(ModelPackageError, match=r"model\.ubj"):
        store.register("taxi", one, {})


def test_promotions_keep_the_champions_before(swapping: str, one: Path, two: Path) -> None:
    store = open_store(swapping)
    first, second = (store.register("taxi", p, {}) for p in (one, two))
    assert store.champion("taxi") is None
    store.promote("taxi", first, None)
    store.promote("taxi", second, first)
    champion = open_store(swapping).champion("taxi")
    assert champion.version == second
    assert champion.digest == sha256_of(two / "manifest.json")
    assert [(past["version"], past["digest"]) for past in champion.history] == [
        (first, sha256_of(one / "manifest.json"))
    ]
    store.promote("taxi", first, second)
    assert [past["version"] for past in store.champion("taxi").history] == [second, first]


def test_another_champion_than_expected_is_a_conflict(swapping: str, one: Path, two: Path) -> None:
    store = open_store(swapping)
    first, second = (store.register("taxi", p, {}) for p in (one, two))
    with pytest.raises(ConflictError, match="version none, not 7"):
        store.promote("taxi", first, "7")
    store.promote("taxi", first, None)
    with pytest.raises(ConflictError, match="version 1, not none"):
        store.promote("taxi", second, None)
    assert store.champion("taxi").version == first


def test_promoting_the_champion_again_changes_nothing(swapping: str, one: Path) -> None:
    store = open_store(swapping)
    champion = store.promote("taxi", store.register("taxi", one, {}), None)
    assert store.promote("taxi", "1", None) == champion == store.promote("taxi", "1", "9")
    assert store.champion("taxi") == champion


def test_a_missing_version_names_those_there_are(store: ModelStore, one: Path) -> None:
    with pytest.raises(StoreError, match=r"no version '1'.*it has none"):
        store.download("taxi", "1")
    store.register("taxi", one, {})
    for call in (store.download, lambda *names: store.promote(*names, None)):
        with pytest.raises(StoreError, match=r"'taxi' has no version '9'.*it has 1"):
            call("taxi", "9")


@pytest.mark.parametrize("text", ["{", '{"version": "1"}', "[1]"])
def test_a_damaged_champion_is_named(
    text: str, google: ThreadingHTTPServer, tmp_path: Path
) -> None:
    (tmp_path / "store" / "taxi").mkdir(parents=True)
    (tmp_path / "store" / "taxi" / "champion.json").write_text(text)
    google.buckets["models"]["taxi/champion.json"] = (
        {"name": "taxi/champion.json", "bucket": "models", "generation": "1"},
        text.encode(),
    )
    for uri in (str(tmp_path / "store"), "gs://models"):
        with pytest.raises(StoreError, match=r"champion\.json"):
            open_store(uri).champion("taxi")


def test_a_store_that_cannot_be_written_to_is_named(one: Path, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreError, match=f"'{tmp_path}/store' cannot be written to"):
        open_store(str(tmp_path / "store")).register("taxi", one, {})


@pytest.mark.parametrize("uri", ["s3://bucket/models", ""])
def test_a_place_that_no_store_has_is_refused(uri: str) -> None:
    with pytest.raises(StoreError, match=re.escape(uri) + ".*gs://bucket/prefix"):
        open_store(uri)


def test_a_file_uri_is_its_directory(one: Path, tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/a%20b")
    store.register("taxi", one, {})
    assert store.uri("taxi", "1") == f"file://{tmp_path}/a b/taxi/versions/1"
    assert isinstance(store, DirectoryStore)


def test_two_processes_at_once_get_different_versions(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from shipway.components.lib.model_store import open_store\n"
        "store = open_store(sys.argv[1]); print('up', flush=True); sys.stdin.readline()\n"
        "print(*[store.register('taxi', Path(p), {}) for p in sys.argv[2:]])"
    )
    mine, theirs = (
        [package(tmp_path / f"{who}{i}", f"{who}{i}") for i in range(8)] for who in "ab"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "store")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*command, *map(str, group)], **pipes) for group in (mine, theirs)]
    assert [process.stdout.readline() for process in running] == ["up\n", "up\n"]
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    versions = " ".join(process.communicate(timeout=60)[0] for process in running).split()
    assert sorted(map(int, versions)) == list(range(1, 17))


def test_of_two_promotions_at_once_one_wins(
    google: ThreadingHTTPServer, one: Path, two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = open_store("gs://models"), open_store("gs://models")
    for path in (one, two):
        mine.register("taxi", path, {})
    read = theirs._champion("taxi")  # before either writes
    monkeypatch.setattr(theirs, "_champion", lambda _: read)
    mine.promote("taxi", "1", None)
    with pytest.raises(ConflictError, match="at the same moment"):
        theirs.promote("taxi", "2", None)
    assert mine.champion("taxi").version == "1"


def test_of_two_registrations_at_once_one_wins(
    google: ThreadingHTTPServer, one: Path, two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = open_store("gs://models"), open_store("gs://models")
    with monkeypatch.context() as patch:
        patch.setattr(theirs, "_blobs", lambda _: [])  # listed before the other wrote
        mine.register("taxi", one, {})
        with pytest.raises(ConflictError, match="Run again"):
            theirs.register("taxi", two, {})
    assert theirs.register("taxi", two, {}) == "2"
    assert mine.register("taxi", one, {}) == "1"


def test_an_upload_that_broke_off_is_no_version_and_blocks_none(
    google: ThreadingHTTPServer, one: Path
) -> None:
    resource = {"name": "taxi/versions/1/golden.json", "bucket": "models", "generation": "1"}
    google.buckets["models"][resource["name"]] = (resource, b"half")
    store = open_store("gs://models")
    with pytest.raises(StoreError, match="no version '1'"):
        store.download("taxi", "1")
    assert store.register("taxi", one, {}) == "2"
    assert store.download("taxi", "2").is_dir()
    del google.buckets["models"]["taxi/versions/2/manifest.json"]
    del google.buckets["models"]["taxi/versions/2/model.ubj"]
    assert store.register("taxi", one, {}) == "2"
    assert store.download("taxi", "2").is_dir()


def test_what_changed_in_the_bucket_is_not_served(google: ThreadingHTTPServer, one: Path) -> None:
    store = open_store("gs://models")
    store.register("taxi", one, {})
    objects = google.buckets["models"]
    objects["taxi/versions/1/model.ubj"] = objects["taxi/versions/1/model.ubj"][0], b"another"
    with pytest.raises(ModelPackageError, match=r"'model\.ubj'"):
        store.download("taxi", "1")


@pytest.mark.parametrize("place", ["google", "emulator"])
def test_a_missing_bucket_is_named(place: str, one: Path, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(place)
    store = open_store("gs://elsewhere/models")
    for call in (lambda: store.register("taxi", one, {}), lambda: store.download("taxi", "1")):
        with pytest.raises(StoreError, match="gs://elsewhere/models.*no such bucket"):
            call()
