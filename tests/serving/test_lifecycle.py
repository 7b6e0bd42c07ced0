"""How a server starts, refuses to start, shares a port and ends; and the probe against it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest

from shipway.components.lib.decision import Decision
from shipway.components.lib.files import sha256_of
from shipway.components.probe.logic import probe


@pytest.fixture
def copy(binary, tmp_path):
    return shutil.copytree(binary.path, tmp_path / "model")


@pytest.mark.parametrize("name", ["model.ubj", "signature.json", "golden.json"])
def test_a_changed_byte_is_refused_with_the_file(copy, name, refused):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    status, text = refused("--model_dir", copy, "--http_port", 0)
    assert status == 3
    assert f"'{name}'" in text and "SHA-256 differs" in text
    assert "Traceback" not in text


def test_a_missing_file_and_no_package_are_refused(copy, tmp_path, refused):
    (copy / "model.ubj").unlink()
    status, text = refused("--model_dir", copy, "--http_port", 0)
    assert (status, "'model.ubj' is missing" in text) == (3, True)
    status, text = refused("--model_dir", tmp_path / "none", "--http_port", 0)
    assert (status, "is no model package" in text) == (3, True)
    assert "Traceback" not in text


def test_a_model_of_a_newer_xgboost_is_refused(tmp_path, refused, train):
    model = train("binary", tmp_path / "newer", xgboost_version="99.0.0")
    status, text = refused("--model_dir", model.path, "--http_port", 0)
    assert status == 3
    assert "written by XGBoost 99.0.0" in text


def test_an_oversized_tree_file_is_refused_before_it_is_read(copy, refused):
    with (copy / "model.ubj").open("r+b") as file:
        file.truncate((2 << 30) + 1)
    began = time.monotonic()
    status, text = refused("--model_dir", copy, "--http_port", 0)
    assert status == 3
    assert "is larger than 2 GiB" in text and time.monotonic() - began < 30


def test_hashes_are_checked_before_the_trees_are_parsed(copy, refused):
    (copy / "model.ubj").write_bytes(b"{" * (copy / "model.ubj").stat().st_size)
    status, text = refused("--model_dir", copy, "--http_port", 0)
    assert status == 3
    assert "SHA-256 differs" in text and "cannot read" not in text


def test_golden_rows_that_get_another_answer_are_refused(copy, refused):
    golden = json.loads((copy / "golden.json").read_text())
    probabilities = golden["outputs"][2]["probabilities"]
    probabilities["yes"] += 1e-5
    (copy / "golden.json").write_text(json.dumps(golden))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["golden.json"] = {
        "bytes": (copy / "golden.json").stat().st_size,
        "sha256": sha256_of(copy / "golden.json"),
    }
    (copy / "manifest.json").write_text(json.dumps(manifest))
    status, text = refused("--model_dir", copy, "--http_port", 0)
    assert status == 3
    assert "answers its golden rows otherwise" in text


def test_a_busy_port_is_told_before_the_model_is_loaded(copy, refused):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, text = refused("--model_dir", copy, "--http_port", port)
    assert status == 3
    assert f"127.0.0.1:{port}" in text and "--http_port" in text


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--http_port", "x"], "must be a port"),
        (["--max_rows", "0"], "1 or more"),
        (["--htp_port", "80"], "unrecognized arguments"),
    ],
)
def test_wrong_flags_are_refused(tmp_path, flags, words, refused):
    status, text = refused("--model_dir", tmp_path, *flags)
    assert status == 2
    assert words in text


def test_it_listens_on_loopback_only(server):
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", port), timeout=1):
        pass


def test_sigterm_ends_it_cleanly_and_soon_with_an_open_connection(binary, serving):
    with serving(binary.path) as served:
        served.predict(binary.rows[:1])
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(10) == 0
        assert time.monotonic() - began < 5
    assert "Stopped." in served.text() and "Traceback" not in served.text()


def test_a_request_that_is_open_at_sigterm_is_answered(binary, serving):
    with serving(binary.path) as served:
        host, port = served.url.removeprefix("http://").split(":")
        body = json.dumps({"instances": binary.rows[:2]}).encode()
        head = (
            "POST /v1/models/trips:predict HTTP/1.1\r\nhost: x\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + body[:50])
            time.sleep(0.3)
            served.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.sendall(body[50:])
            connection.settimeout(10)
            answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200")
        assert served.process.wait(15) == 0


def test_it_drains_before_it_ends(binary, serving):
    with serving(binary.path, "--model_version", "7", "--drain_seconds", 3) as served:
        with httpx.Client(trust_env=False, base_url=served.url) as kept:
            assert kept.get("/v2/health/ready").json() == {"ready": True}
            served.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            body = {"instances": binary.rows[:1]}
            answer = kept.post("/v1/models/trips:predict", json=body)
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            paths = ["/v2/health/ready", "/v1/models/trips", "/v2/models/trips/ready"]
            for path in [*paths, "/v2/models/trips/versions/7/ready"]:
                answer = kept.get(path)  # on a new connection, each
                assert (answer.status_code, answer.headers["connection"]) == (503, "close"), path
                assert "about to end" in answer.json()["error"]
            assert kept.get("/v2/health/live").json() == {"live": True}
            assert kept.post("/v1/models/trips:predict", json=body).status_code == 200
        assert served.process.wait(10) == 0
    assert "Traceback" not in served.text()


def test_a_second_signal_ends_it_at_once(binary, serving):
    with serving(binary.path, "--drain_seconds", 60) as served:
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert served.process.poll() is None
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(2) == -signal.SIGTERM


def test_workers_share_a_port_and_end_together(binary, serving):
    with serving(binary.path, "--workers", 2) as served:
        while served.text().count(" answers on ") < 2:
            time.sleep(0.05)
        for _ in range(20):
            answer = httpx.post(
                f"{served.url}/v1/models/trips:predict",
                json={"instances": binary.rows[:2]},
                trust_env=False,
            )
            assert len(answer.json()["predictions"]) == 2
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(15) == 0
    assert served.text().count("Stopped.") == 2


def test_a_worker_that_dies_ends_the_server_with_the_reason(binary, serving):
    with serving(binary.path, "--workers", 2) as served:
        worker = int(re.search(r"workers: (\d+),", served.text())[1])
        os.kill(worker, signal.SIGKILL)
        assert served.process.wait(20) == 3
    assert f"Worker {worker} was ended by signal 9" in served.text()


def test_workers_that_refuse_the_model_end_the_server(tmp_path, refused):
    status, text = refused("--model_dir", tmp_path, "--http_port", 0, "--workers", 2)
    assert status == 3 and "is no model package" in text


def test_more_connections_than_files_are_refused(binary, refused):
    flags = ["--http_port", 0, "--max_connections", 1_000_000_000]
    status, text = refused("--model_dir", binary.path, *flags)
    assert status == 3 and "ulimit -n" in text


def test_an_inherited_descriptor_that_is_no_socket_is_refused(tmp_path, refused):
    status, text = refused("--model_dir", tmp_path, "--http_fd", 0)
    assert status == 3 and "--http_fd 0 is no socket" in text


def test_the_probe_passes_a_sound_server_and_fails_another_model(models, binary, server, tmp_path):
    record = {
        "target": "local",
        "model_name": "trips",
        "version": "7",
        "digest": binary.digest,
        "endpoint": server.url,
    }
    (tmp_path / "record.json").write_text(json.dumps(record))
    paths = [tmp_path / "decision.json", tmp_path / "report.html"]
    verdict, figures = probe(tmp_path / "record.json", binary.path, *paths)
    decision = Decision.load(paths[0])
    assert verdict == "pass", [rule.sentence for rule in decision.failures]
    assert figures["largest_difference_v1"] == figures["largest_difference_v2"] == 0.0
    assert 0 < figures["latency_p50_ms"] < 1000
    other = models["regression"]
    (tmp_path / "record.json").write_text(json.dumps(record | {"digest": other.digest}))
    verdict, _ = probe(tmp_path / "record.json", other.path, *paths)
    assert verdict == "fail"
    failed = {rule.name for rule in Decision.load(paths[0]).failures}
    assert failed >= {"identity", "parity_v1", "parity_v2"}


def test_grpc_gives_the_same_answer_and_the_same_refusal(binary, serving):
    rows = [{name: row[name] for name in binary.names} for row in binary.rows[:40]]
    rows = [row for row in rows if row["company"] is not None][:3]
    rows[1]["miles"] = None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = ["--host", "0.0.0.0", "--enable_grpc", "true", "--grpc_port", port]
    script = f"""
import asyncio, json, sys
import numpy as np
sys.argv[1:] = []
from kserve import InferenceGRPCClient, InferInput, InferRequest
model = {binary.names!r}
rows = json.loads({json.dumps(rows)!r})
types = {{"fare": "FP64", "passengers": "INT64", "miles": "FP64", "shared": "BOOL"}}
def kind_of(name):
    return types.get(name, "BYTES")
async def main():
    client = InferenceGRPCClient("127.0.0.1:{port}", timeout=20)
    def request(**changes):
        inputs = []
        for name in model:
            cells = changes.get(name, [row[name] for row in rows])
            if kind_of(name) == "FP64":
                cells = [float("nan") if cell is None else cell for cell in cells]
            kind = kind_of(name)
            cells = [c.encode() if isinstance(c, str) else c for c in cells]
            inputs.append(InferInput(name, [len(cells)], kind, data=cells))
        return InferRequest(model_name="trips", infer_inputs=inputs)
    answer = await client.infer(request())
    outputs = {{output.name: output for output in answer.outputs}}
    print(json.dumps(outputs["probabilities"].as_numpy().ravel().tolist()))
    for bad in (float("nan"), float("inf")):
        try:
            await client.infer(request(fare=[1.0, bad, 2.0]))
        except Exception as error:
            print(json.dumps(str(error)))
asyncio.run(main())
"""
    with serving(binary.path, *flags):
        result = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=90, check=False
        )
    assert result.returncode == 0, result.stderr[-2000:]
    values, null, infinite = map(json.loads, result.stdout.splitlines()[-3:])
    transform = binary.scorer.plan.row_transformer()
    matrix = np.stack([transform(row) for row in rows])
    assert values == binary.scorer.score_matrix(matrix).probabilities.ravel().tolist()
    assert "INVALID_ARGUMENT" in null and "Row 1, column 'fare' is null" in null
    assert (
        "INVALID_ARGUMENT" in infinite
        and "Row 1, column 'fare' must be a finite number" in infinite
    )


def test_help_has_an_example(refused):
    status, text = refused("--help")
    assert status == 0 and "Example: python -m" in text
