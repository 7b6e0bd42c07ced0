"""Tables over a network that fails: a whole and right result, or an error that names a cure."""

import io
import json
import random
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.ingest.logic import Request, ingest
from shipway.components.lib import ranged_file
from shipway.components.lib.errors import DataError, ShipwayError
from shipway.components.lib.storage import list_objects, open_binary
from tests.loopback import answering

ROWS = 60_000
BLOCK = 200_000
SLOW = [pytest.param(fault, marks=pytest.mark.slow) for fault in ("drop", "429")]
FAULTS = ["503", "truncate", *SLOW]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, so that a table takes several; short waits between attempts."""
    monkeypatch.setattr(ranged_file, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(ranged_file, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(ranged_file, "LONGEST_WAIT_SECONDS", 0.002)
    monkeypatch.setattr(ranged_file, "JITTER_SECONDS", 0.001)


@pytest.fixture(scope="module")
def csv() -> bytes:
    draw = random.Random(7)
    rows = "".join(f"{i},{draw.random()},{i % 2}\n" for i in range(ROWS))
    return f"a,x,y\n{rows}".encode()


@pytest.fixture(scope="module")
def parquet(csv: bytes) -> bytes:
    from pyarrow import csv as pacsv

    sink = io.BytesIO()
    pq.write_table(pacsv.read_csv(io.BytesIO(csv)), sink, row_group_size=7_000)
    return sink.getvalue()


class Bucket:
    """What a server holds, and which of the next requests for bytes fail, and how."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.versions: dict[str, int] = {}
        self.faults: list[str] = []
        self.always = ""
        self.asked = 0
        self.largest = 0
        self.after: Callable[[], None] | None = None

    def put(self, name: str, content: bytes) -> None:
        self.files[name] = content
        self.versions[name] = self.versions.get(name, 0) + 1

    def fault(self) -> str:
        self.asked += 1
        return self.always or (self.faults.pop(0) if self.faults else "")


class Handler(BaseHTTPRequestHandler):
    """Ranges of bytes as S3, Google Cloud Storage and web servers give them."""

    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if "list-type=2" in query:
            return self.listing()
        if path.startswith("/storage/v1") and path.endswith("/o"):
            return self.google_listing()
        if re.fullmatch(r"/storage/v1/b/\w+", path):  # which newer clients look up by themselves
            return self.answer(404, b"")
        name = path.rsplit("/", 1)[-1].replace("%2F", "/")
        content = self.bucket.files.get(name)
        fault = self.bucket.fault()
        if fault == "drop":
            self.close_connection = True
            return
        if fault in ("429", "503"):
            return self.answer(int(fault), b"busy")
        if content is None:
            return self.answer(404, b"")
        version = self.bucket.versions[name]
        conditions = re.findall(r"generation=(\d+)", query, re.IGNORECASE)
        conditions += re.findall(r"\d+", self.headers.get("If-Match", ""))
        if any(int(one) != version for one in conditions):
            return self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        body = content[first : last + 1]
        self.bucket.largest = max(self.bucket.largest, len(body))
        part = f"bytes {first}-{first + len(body) - 1}/{len(content)}"
        headers = {"content-range": part, "etag": f'"{version}"', "x-goog-generation": version}
        self.answer(206, body, headers, cut=fault == "truncate")
        if self.bucket.after:
            self.bucket.after()

    def listing(self) -> None:
        items = "".join(
            f"<Contents><Key>{name}</Key><Size>{len(content)}</Size>"
            f"<ETag>&quot;{self.bucket.versions[name]}&quot;</ETag></Contents>"
            for name, content in self.bucket.files.items()
        )
        self.answer(200, f"<ListBucketResult>{items}</ListBucketResult>".encode())

    def google_listing(self) -> None:
        items = [
            {"name": name, "size": len(content), "generation": self.bucket.versions[name]}
            for name, content in self.bucket.files.items()
        ]
        body = json.dumps({"items": items}).encode()
        self.answer(200, body, {"content-type": "application/json"})

    def answer(
        self, code: int, body: bytes, headers: dict[str, Any] | None = None, cut: bool = False
    ) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    held = Bucket()
    handler = type("Handler", (Handler,), {"bucket": held})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, answering(server):
        url = f"http://127.0.0.1:{server.server_port}"
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
            monkeypatch.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        held.uris = {"s3": "s3://tables/{}", "gs": "gs://tables/{}", "http": url + "/{}"}
        yield held


@pytest.fixture(params=["s3", "gs", "http"])
def place(request: pytest.FixtureRequest, bucket: Bucket) -> str:
    pytest.importorskip(
        {"s3": "boto3", "gs": "google.cloud.storage"}.get(request.param, "requests")
    )
    return bucket.uris[request.param]


class Bench:
    def __init__(self, out: Path) -> None:
        self.out = out

    def read(self, uri: str) -> pa.Table:
        self.metadata = ingest(Request(uri, "y"), self.out / "dataset", self.out / "page.html")
        return pq.read_table(self.out / "dataset")

    def refused(self, uri: str) -> str:
        with pytest.raises(ShipwayError) as caught:
            self.read(uri)
        assert not (self.out / "dataset").exists()
        assert not list(self.out.glob(".*"))
        return str(caught.value)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "out")


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass_do_not_show(
    bench: Bench, bucket: Bucket, place: str, csv: bytes, fault: str
) -> None:
    bucket.put("t.csv", csv)
    bucket.faults = [fault, "", "", fault, fault, "", fault] * 2
    table = bench.read(place.format("t.csv"))
    assert table.num_rows == ROWS
    assert table.column("a").to_pylist() == list(range(ROWS))
    assert bucket.faults == []
    assert bucket.largest <= BLOCK + 1
    state = str(bench.metadata["source_generation"]).strip('"')
    assert state == "1"


@pytest.mark.parametrize("fault", ["truncate", *SLOW])
def test_faults_that_stay_are_named_and_nothing_is_written(
    bench: Bench, bucket: Bucket, place: str, csv: bytes, fault: str
) -> None:
    bucket.put("t.csv", csv)
    (stored,) = list_objects(place.format("t.csv"))
    with open_binary(stored) as file:
        file.read(10)
        bucket.always = fault
        before = bucket.asked
        with pytest.raises(DataError, match=r"t\.csv' cannot be read: .*8 attempts.*run again"):
            file.read()
        assert bucket.asked - before == ranged_file.ATTEMPTS
    if "http" in place:
        assert "8 attempts" in bench.refused(place.format("t.csv"))
    else:  # the listing works: it fails in the midst of the rows
        assert re.search(r"t\.csv' cannot be read", bench.refused(place.format("t.csv")))


def test_parquet_over_a_network_that_fails(
    bench: Bench, bucket: Bucket, place: str, parquet: bytes
) -> None:
    bucket.put("t.parquet", parquet)
    bucket.faults = ["truncate", "", "drop", "503", ""] * 3
    assert bench.read(place.format("t.parquet")).column("a").to_pylist() == list(range(ROWS))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_object_that_is_replaced_while_it_is_read_is_refused(
    bench: Bench, bucket: Bucket, place: str, csv: bytes, parquet: bytes, kind: str
) -> None:
    content = csv if kind == "csv" else parquet
    bucket.put(f"t.{kind}", content)
    seen: list[int] = []

    def replace() -> None:
        seen.append(1)
        if len(seen) == 3:
            bucket.put(f"t.{kind}", content)

    bucket.after = replace
    message = bench.refused(place.format(f"t.{kind}"))
    assert re.search(rf"t\.{kind}' changed while it was read.*nobody writes", message)


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_globs_and_folders_of_a_bucket(bench: Bench, bucket: Bucket, scheme: str) -> None:
    for name in ("t/a.csv", "t/b.csv", "t/_SUCCESS", "t/sub/c.csv", "t2/d.csv", "t/"):
        bucket.put(name, b"a,y\n1,0\n2,1\n")
    root = f"{scheme}://tables"

    def names(uri: str) -> list[str]:
        return [one.uri.removeprefix(root) for one in list_objects(uri)]

    inside = ["/t/a.csv", "/t/b.csv", "/t/sub/c.csv"]
    assert names(f"{root}/t/") == names(f"{root}/t") == inside
    assert names(f"{root}/t/*.csv") == inside[:2]
    assert names(f"{root}/t/**/*.csv") == inside
    assert names(f"{root}/t/a.csv") == inside[:1]
    with pytest.raises(DataError, match="nothing at"):
        list_objects(f"{root}/none")


def test_an_object_that_is_not_there_is_named(bench: Bench, bucket: Bucket, place: str) -> None:
    message = bench.refused(place.format("none.csv"))
    assert re.search(r"none\.csv'.*(nothing|404|no such)", message + "nothing")
    assert "none.csv" in message


def test_a_server_without_ranges_is_refused(bench: Bench, tmp_path: Path) -> None:
    from http.server import SimpleHTTPRequestHandler

    (tmp_path / "t.csv").write_text("a,y\n1,0\n2,1\n")

    class Files(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server, answering(server):
        url = f"http://127.0.0.1:{server.server_port}/t.csv"
        assert "does not give parts of a file. Copy it" in bench.refused(url)


def test_s3_refusals_name_the_cure(bench: Bench, s3: Any) -> None:
    s3.client.put_object(Bucket="models", Key="t.csv", Body=b"a,y\n1,0\n2,1\n")
    assert bench.read("s3://models/t.csv").num_rows == 2
    s3.refuse["GET"] = "AccessDenied"
    with pytest.raises(ShipwayError, match="Allow s3:GetObject"):
        bench.read("s3://models/t.csv")
    s3.refuse["GET"] = "InvalidAccessKeyId"
    with pytest.raises(ShipwayError, match="Renew the keys"):
        bench.read("s3://models/t.csv")
    s3.refuse.clear()
    with pytest.raises(ShipwayError, match="no such bucket"):
        bench.read("s3://nothing-here/t.csv")


def test_s3_by_a_whole_service(bench: Bench, s3: Any, csv: bytes) -> None:
    """moto checks If-Match and ranges as S3 does."""
    for part in (1, 2):
        s3.client.put_object(Bucket="models", Key=f"k={part}/t.csv", Body=csv)
    table = bench.read("s3://models/")
    assert (table.num_rows, table.column("k").unique().to_pylist()) == (2 * ROWS, [1, 2])
    (one, _) = list_objects("s3://models/")
    assert one.generation == s3.client.head_object(Bucket="models", Key="k=1/t.csv")["ETag"]
    with open_binary(one) as file:
        s3.client.put_object(Bucket="models", Key="k=1/t.csv", Body=csv + b"1,2,0\n")
        with pytest.raises(DataError, match=r"k=1/t\.csv' changed while it was read"):
            file.read()
