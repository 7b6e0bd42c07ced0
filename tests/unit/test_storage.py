import gzip
import http.server
import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipway.components.lib import google_cloud, storage
from shipway.components.lib.errors import DataError
from shipway.components.lib.objects import StoredObject


def names(uri: str) -> list[str]:
    return [one.uri for one in storage.list_objects(uri)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.csv", "_SUCCESS", ".hidden.csv", "part/c.csv", "_temporary/d.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_a_file_by_path_and_by_uri(folder: Path) -> None:
    (one,) = storage.list_objects(str(folder / "a.csv"))
    assert (one.uri, one.size) == (str(folder / "a.csv"), 5)
    assert one.generation == str((folder / "a.csv").stat().st_mtime_ns)
    assert storage.list_objects((folder / "a.csv").as_uri()) == [one]
    with storage.open_binary(one) as file:
        assert file.read() == b"a.csv"


def test_a_folder_is_sorted_and_skips_hidden_names(folder: Path) -> None:
    assert names(str(folder)) == [str(folder / n) for n in ("a.csv", "b.csv", "part/c.csv")]


def test_a_glob(folder: Path) -> None:
    assert names(f"{folder}/*.csv") == [str(folder / "a.csv"), str(folder / "b.csv")]
    assert str(folder / "part/c.csv") in names(f"{folder}/**/*.csv")


def test_a_file_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    (tmp_path / "x[1].csv").write_text("a")
    assert names(str(tmp_path / "x[1].csv")) == [str(tmp_path / "x[1].csv")]


@pytest.mark.parametrize("uri", ["/nowhere/x.csv", "/nowhere/*.csv"])
def test_nothing_there_is_named(uri: str) -> None:
    with pytest.raises(DataError, match="nowhere"):
        storage.list_objects(uri)


def test_an_unknown_scheme_is_named_with_the_cure() -> None:
    with pytest.raises(DataError, match=r"'gss://.*s3://.*Did you mean 'gs'"):
        storage.list_objects("gss://bucket/x.csv")


def test_a_file_that_changed_since_it_was_listed_is_refused(folder: Path) -> None:
    (one,) = storage.list_objects(str(folder / "a.csv"))
    (folder / "a.csv").write_text("something else")
    with pytest.raises(DataError, match="changed"):
        storage.open_binary(one)


def test_a_file_that_went_away_is_named(folder: Path) -> None:
    (one,) = storage.list_objects(str(folder / "a.csv"))
    (folder / "a.csv").unlink()
    with pytest.raises(DataError, match=r"a\.csv"):
        storage.open_binary(one)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = emulator.create_server("127.0.0.1", port, in_memory=True)
    running.start()
    yield f"http://127.0.0.1:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    made = google_cloud.gcs_client().create_bucket(f"b{abs(hash(request.node.name))}")
    for name in ("t/a.csv", "t/b.csv", "t/_SUCCESS", "t/sub/c.csv", "t2/d.csv", "t/"):
        made.blob(name).upload_from_string(f"rows of {name}")
    return made


def test_objects_of_a_bucket(bucket: Any) -> None:
    root = f"gs://{bucket.name}"
    assert names(f"{root}/t/a.csv") == [f"{root}/t/a.csv"]
    inside = [f"{root}/t/{n}" for n in ("a.csv", "b.csv", "sub/c.csv")]
    assert names(f"{root}/t/") == names(f"{root}/t") == inside
    assert names(f"{root}/t/*.csv") == inside[:2]
    assert names(f"{root}/t/**/*.csv") == inside
    assert names(root) == [*inside, f"{root}/t2/d.csv"]


def test_an_object_of_a_bucket_is_read(bucket: Any) -> None:
    (one,) = storage.list_objects(f"gs://{bucket.name}/t/a.csv")
    assert one.size == len("rows of t/a.csv")
    assert one.generation == str(bucket.get_blob("t/a.csv").generation)
    with storage.open_binary(one) as file:
        assert file.read(4) == b"rows"
        file.seek(-5, io.SEEK_END)
        assert file.read() == b"a.csv"


def test_bytes_come_as_they_are_stored(bucket: Any) -> None:
    blob = bucket.blob("z.csv.gz")
    blob.upload_from_string(gzip.compress(b"a,y\n" * 100_000))
    (one,) = storage.list_objects(f"gs://{bucket.name}/z.csv.gz")
    with storage.open_binary(one) as file:
        assert gzip.decompress(file.read()) == b"a,y\n" * 100_000


def test_a_missing_bucket_or_object_is_named(bucket: Any) -> None:
    with pytest.raises(DataError, match="no-such-bucket"):
        storage.list_objects("gs://no-such-bucket/x.csv")
    with pytest.raises(DataError, match="nothing at.*missing"):
        storage.list_objects(f"gs://{bucket.name}/missing.csv")


def test_an_object_that_goes_away_while_it_is_read_is_named(bucket: Any) -> None:
    (one,) = storage.list_objects(f"gs://{bucket.name}/t/a.csv")
    with storage.open_binary(one) as file:
        bucket.blob("t/a.csv").delete()
        with pytest.raises(DataError, match=r"t/a\.csv"):
            file.read()


class Flaky(http.server.BaseHTTPRequestHandler):
    """Answers as a bucket does, but is busy at the first request for bytes."""

    asked: list[str]
    current = "7"
    size = 20_000_000

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if "ifGenerationMatch=" in self.path and f"Match={self.current}" not in self.path:
            return self.answer(412, b"another generation", "text/plain")
        if "alt=media" not in self.path:
            fields = {"name": "x.csv", "bucket": "b", "generation": "7", "size": str(self.size)}
            return self.answer(200, json.dumps(fields).encode(), "application/json")
        if sum("alt=media" in path for path in self.asked) == 1:
            return self.answer(503, b"busy", "text/plain")
        first, _, last = self.headers["range"].removeprefix("bytes=").partition("-")
        first, last = int(first), min(int(last), self.size - 1)
        if first >= self.size:
            return self.answer(416, b"", "text/plain")
        return self.answer(206, b"x" * (last - first + 1), "text/csv", f"{first}-{last}")

    def answer(self, code: int, body: bytes, kind: str, part: str = "") -> None:
        self.send_response(code)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-goog-generation", self.current)
        if part:
            self.send_header("content-range", f"bytes {part}/{self.size}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Flaky]]:
    handler = type("Handler", (Flaky,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield handler
        server.shutdown()


def test_bytes_are_read_at_the_listed_generation_with_retries(flaky: type[Flaky]) -> None:
    stored = StoredObject("gs://b/x.csv", Flaky.size, "7")
    with storage.open_binary(stored) as file:
        read = 0
        while block := file.read(1 << 20):
            read += len(block)
    assert read == Flaky.size
    media = [path for path in flaky.asked if "alt=media" in path]
    assert len(media) > 2  # the first was refused, and no answer holds it all
    assert all("generation=7&ifGenerationMatch=7" in path for path in media)


def test_an_object_that_is_replaced_while_it_is_read_is_refused(flaky: type[Flaky]) -> None:
    stored = StoredObject("gs://b/x.csv", Flaky.size, "7")
    with storage.open_binary(stored) as file:
        assert len(file.read(1 << 20)) == 1 << 20
        flaky.current = "8"
        with pytest.raises(DataError, match=r"gs://b/x\.csv' changed while it was read"):
            file.read()
