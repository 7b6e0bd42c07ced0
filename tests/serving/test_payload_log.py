"""The payload log: what it holds, how its files turn, and that it never hurts a request."""

import base64
import json
import resource
import signal
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.lib.errors import DataError
from shipway.components.lib.payload_log import REQUEST, RESPONSE, SCHEMA, read_payloads
from shipway.components.predictor import payload_log
from shipway.components.predictor.observing import Exchange
from shipway.components.predictor.payload_files import Place
from shipway.components.predictor.payload_log import PayloadLog

BINARY = {"inference-header-content-length": "20", "content-type": "application/octet-stream"}


def events_of(folder) -> list[dict]:
    return [event for table in read_payloads(folder) for event in table.to_pylist()]


def written(served) -> float:
    lines = served.get("/metrics").text.splitlines()
    (line,) = [line for line in lines if "payload_records_total{" in line and '"written"' in line]
    return float(line.split()[-1])


def dropped(served, why: str) -> float:
    lines = served.get("/metrics").text.splitlines()
    (line,) = [line for line in lines if "payload_records_total{" in line and why in line]
    return float(line.split()[-1])


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_sigterm_leaves_every_request_with_its_answer_in_a_whole_file(binary, serving, tmp_path):
    folder = tmp_path / "payloads"
    began = datetime.now(UTC)
    bodies, answers = [], []
    with serving(binary.path, "--model_version", "3", "--payload_log", folder) as served:
        for size in (1, 3, 600):
            body = json.dumps({"instances": binary.rows[:size]}, default=str).encode()
            headers = {"ce-id": "given"} if size == 3 else {"x-request-id": f"r-{size}"}
            answer = served.post("/v1/models/trips:predict", content=body, headers=headers)
            assert answer.status_code == 200
            bodies.append(body)
            answers.append(answer.content)
        refused = served.predict([])
        served.get("/v2/health/live")
        assert list(folder.glob("*.parquet")) == []
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(15) == 0
    (file,) = folder.iterdir()
    assert pq.read_schema(file).equals(SCHEMA)
    events = events_of(folder)
    assert [event["type"] for event in events] == [REQUEST, RESPONSE] * 3 + [REQUEST]
    assert [event["id"] for event in events[::2]] == [
        "r-1", "given", "r-600", refused.headers["x-request-id"],
    ]  # fmt: skip
    assert [event["id"] for event in events[1::2]] == ["r-1", "given", "r-600"]
    assert [event["data"] for event in events[:6:2]] == bodies
    assert [event["data"] for event in events[1::2]] == answers
    for event in events:
        assert began - timedelta(seconds=1) < event["time"] <= event["recordedtime"]
        assert json.loads(event["annotations"]) == {
            "shipway.dev/version": "3",
            "shipway.dev/digest": binary.digest,
        }
        constant = [event[name] for name in ("specversion", "inferenceservicename", "component")]
        assert constant == ["1.0", "trips", "predictor"]
        assert event["source"] == served.url + "/" and event["endpoint"] == "default"
        assert (event["metadata"], event["datacontenttype"]) == ("{}", "application/json")
    assert all(a["time"] <= b["time"] for a, b in zip(events[:6:2], events[1::2], strict=True))


def test_a_file_ends_by_age_and_readers_see_whole_ones_alone(binary, serving, tmp_path):
    with serving(binary.path, "--payload_log", tmp_path, "--payload_file_seconds", 1) as served:
        for turn in (1, 2):
            served.predict(binary.rows[:1])
            until(lambda turn=turn: len(list(tmp_path.glob("*.parquet"))) == turn)
        assert written(served) == 4
        assert len(events_of(tmp_path)) == 4


def test_a_file_ends_by_size(tmp_path):
    log = PayloadLog(Place(tmp_path, file_bytes=20_000), "trips", "http://x/", {})
    for number in range(40):
        log.offer(exchange(b"%05d" % number * 1_000), 0.0)
        time.sleep(0.01)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert 5 < len(files) < 40
    assert log.counts() == {"written": 80, "dropped_queue": 0, "dropped_disk": 0}
    bodies = [event["data"][:5] for event in events_of(tmp_path) if event["type"] == REQUEST]
    assert bodies == [b"%05d" % number for number in range(40)]


def exchange(body: bytes, status: int = 200, headers: dict | None = None) -> Exchange:
    heads = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    made = Exchange({"headers": heads}, SimpleNamespace(), b"r")
    made.kind, made.status, made.body, made.answer = "v2_infer", status, body, b"{}"
    made.received = made.answered = made.began
    return made


def test_a_share_of_the_predictions_is_kept_with_their_answers(binary, serving, tmp_path):
    flags = ["--payload_log", tmp_path, "--payload_share", "0.3"]
    with serving(binary.path, *flags) as served:
        for _ in range(300):
            served.predict(binary.rows[:1])
    events = events_of(tmp_path)
    kinds = {kind: [e["id"] for e in events if e["type"] == kind] for kind in (REQUEST, RESPONSE)}
    assert kinds[REQUEST] == kinds[RESPONSE]
    assert 50 <= len(kinds[REQUEST]) <= 130


def test_what_it_takes_to_read_a_binary_body_is_kept(tmp_path):
    log = PayloadLog(Place(tmp_path), "trips", "http://x/", {})
    log.offer(exchange(b"{}\x00\xff", headers=BINARY), 0.0)
    log.close()
    request, answer = events_of(tmp_path)
    assert json.loads(request["metadata"]) == {"Inference-Header-Content-Length": ["20"]}
    assert request["datacontenttype"] == "application/octet-stream"
    assert (request["data"], answer["metadata"]) == (b"{}\x00\xff", "{}")


def test_a_flood_drops_and_counts_and_does_not_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(payload_log, "MOST_RECORDS", 100)
    monkeypatch.setattr(payload_log, "EVERY_SECONDS", 0.5)
    log = PayloadLog(Place(tmp_path), "trips", "http://x/", {})
    time.sleep(0.05)
    began = time.perf_counter()
    for _ in range(5_000):
        log.offer(exchange(b"x" * 100), 0.0)
    assert time.perf_counter() - began < 0.45
    log.close()
    counts = log.counts()
    assert counts["written"] + counts["dropped_queue"] == 10_000
    assert counts["dropped_queue"] >= 9_800
    assert len(events_of(tmp_path)) == counts["written"] == 100


def test_large_bodies_are_bounded_by_their_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(payload_log, "MOST_BYTES", 1_000_000)
    log = PayloadLog(Place(tmp_path), "trips", "http://x/", {})
    for _ in range(20):
        log.offer(exchange(b"x" * 300_000), 0.0)
    log.close()
    assert log.counts()["dropped_queue"] >= 30
    assert 2 <= len(events_of(tmp_path)) <= 10


def test_a_folder_that_cannot_be_written_is_said_once_and_hurts_no_request(
    binary, serving, tmp_path
):
    (tmp_path / "file").write_text("no folder")
    folder = tmp_path / "file" / "payloads"
    with serving(binary.path, "--payload_log", folder, "--payload_file_seconds", 1) as served:
        for turn in (1, 2):
            assert served.predict(binary.rows[:1]).status_code == 200
            until(lambda turn=turn: dropped(served, "dropped_disk") == 2 * turn)
    assert served.text().count("The payload log cannot be written to") == 1
    assert str(folder) in served.text() and "Traceback" not in served.text()


def test_a_full_disk_is_said_leaves_no_part_of_a_file_and_is_recovered_from(
    binary, serving, tmp_path
):
    with serving(binary.path, "--payload_log", tmp_path, "--payload_file_seconds", 1) as served:
        _, hard = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)
        # The kernel refuses to let a file grow, as it does where the disk is full.
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (1_000, hard))
        assert served.predict(binary.rows[:1]).status_code == 200
        until(lambda: dropped(served, "dropped_disk") == 2)
        assert served.predict(binary.rows[:1]).status_code == 200
        assert list(tmp_path.iterdir()) == []
        until(lambda: dropped(served, "dropped_disk") == 4)
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert served.predict(binary.rows[:1]).status_code == 200
        until(lambda: written(served) == 2)
    assert served.text().count("The payload log cannot be written to") == 1
    assert "The payload log is written again." in served.text()
    assert len(events_of(tmp_path)) == 2


def test_the_columns_that_kserves_logger_writes_are_read_in_the_same_form(tmp_path):
    folder = tmp_path / "shipway" / "trips" / "predictor"
    folder.mkdir(parents=True)
    names = [
        "url", "bytes", "contentType", "reqType", "id", "sourceUri", "inferenceService",
        "namespace", "component", "endpoint", "metadata", "annotations", "certName",
    ]  # fmt: skip
    row = dict.fromkeys(names, "") | {
        "bytes": base64.b64encode(b'{"instances": []}').decode(),
        "reqType": REQUEST,
        "id": "one",
        "inferenceService": "trips",
        "namespace": "shipway",
        "annotations": '{"shipway.dev/version":"3"}',
    }
    pq.write_table(pa.Table.from_pylist([row | {"tlsSkipVerify": False}]), folder / "one.parquet")
    (event,) = events_of(tmp_path)
    assert event["data"] == b'{"instances": []}' and event["time"] is None
    assert (event["id"], event["type"], event["namespace"]) == ("one", REQUEST, "shipway")
    assert event["annotations"] == '{"shipway.dev/version":"3"}'


def test_files_that_are_no_payload_log_are_named(tmp_path):
    (tmp_path / ".draft.parquet").write_bytes(b"PAR1")
    assert events_of(tmp_path) == []
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"a\.parquet' cannot be read"):
        events_of(tmp_path)
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet' is no payload log: it lacks annotations"):
        events_of(tmp_path)
