"""The probe against a small HTTP server that answers golden rows with chosen defects.

The probe against the real model server is in tests/serving.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shipway.components.lib.decision import Decision
from shipway.components.lib.endpoint import Golden, Reply, quantile
from shipway.components.lib.errors import ConfigurationError, EndpointError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.parity import compare_v1, compare_v2
from shipway.components.lib.serving_record import ServingRecord
from shipway.components.probe.logic import probe

ROWS = [{"fare": 1.0, "paid": True}, {"fare": None, "paid": False}, {"fare": 3.5, "paid": True}]
OUTPUTS = [
    {"label": "no", "probabilities": {"no": 0.75, "yes": 0.25}},
    {"label": "yes", "probabilities": {"no": 0.125, "yes": 0.875}},
    {"label": "no", "probabilities": {"no": 0.5, "yes": 0.5}},
]


class Defects:
    def __init__(self, digest, **chosen):
        self.digest = digest
        self.shift = chosen.get("shift", 0.0)
        self.flip = chosen.get("flip", False)
        self.bad_status = chosen.get("bad_status", 400)
        self.status = chosen.get("status", 200)


def answer(defects, path, payload):
    """The status and the value that the stand-in answers."""
    if defects.status != 200:
        return defects.status, {"error": "out of order"}
    if path.endswith(":predict"):
        rows = payload["instances"]
    else:
        inputs = {tensor["name"]: tensor["data"] for tensor in payload["inputs"]}
        rows = [{"fare": f, "paid": p} for f, p in zip(inputs["fare"], inputs["paid"], strict=True)]
    if any(isinstance(row["fare"], list) for row in rows):
        return defects.bad_status, {"error": "column 'fare' must be a number"}
    outputs = json.loads(json.dumps([OUTPUTS[ROWS.index(row)] for row in rows]))
    for output in outputs:
        output["probabilities"]["yes"] += defects.shift
        if defects.flip:
            output["label"] = "yes"
    if path.endswith(":predict"):
        return 200, {"predictions": outputs}
    flat = [output["probabilities"][name] for output in outputs for name in ("no", "yes")]
    return 200, {
        "outputs": [
            {"name": "label", "data": [output["label"] for output in outputs]},
            {
                "name": "probabilities",
                "data": flat,
                "parameters": {"classes": json.dumps(["no", "yes"])},
            },
        ]
    }


@contextmanager
def standing_in(defects):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one segment an answer, or the client waits 40 ms for each

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            status, value = answer(defects, self.path, json.loads(body))
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("x-shipway-model-digest", defects.digest)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def package(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "golden.json").write_text(json.dumps({"rows": ROWS, "outputs": OUTPUTS}))
    features = [{"name": "fare", "dtype": "number"}, {"name": "paid", "dtype": "boolean"}]
    (path / "signature.json").write_text(json.dumps({"features": features}))
    (path / "manifest.json").write_text("{}")
    return path


@pytest.fixture
def run(tmp_path, package):
    def running(endpoint, *, digest="", latency=0.0):
        digest = digest or sha256_of(package / "manifest.json")
        ServingRecord("local", "trips", "3", digest, endpoint).save(tmp_path / "record.json")
        paths = [tmp_path / "record.json", package, tmp_path / "d.json", tmp_path / "r.html"]
        verdict, figures = probe(*paths, maximum_latency_ms=latency)
        decision = Decision.load(tmp_path / "d.json")
        assert (decision.gate, decision.verdict) == ("endpoint", verdict)
        assert (tmp_path / "r.html").read_text().lower().startswith("<!doctype html")
        return verdict, figures, {rule.name: rule for rule in decision.rules}

    return running


@pytest.fixture
def digest(package):
    return sha256_of(package / "manifest.json")


def test_a_sound_endpoint_passes_every_rule(run, digest):
    with standing_in(Defects(digest)) as url:
        verdict, figures, rules = run(url)
    assert verdict == "pass"
    assert {rule.verdict for rule in rules.values()} == {"pass"}
    assert set(rules) >= {"reached", "identity", "parity_v1", "parity_v2", "refusal"}
    assert figures["largest_difference_v1"] == 0.0
    assert 0 < figures["latency_p50_ms"] <= figures["latency_p95_ms"] <= figures["latency_p99_ms"]


@pytest.mark.parametrize(
    ("chosen", "failing", "words"),
    [
        ({"shift": 2e-6}, {"parity_v1", "parity_v2"}, "2e-06"),
        ({"flip": True}, {"labels_v1", "labels_v2"}, "2 of 3"),
        ({"bad_status": 500}, {"refusal"}, "500"),
        ({"bad_status": 200}, {"refusal"}, "200"),
        ({"status": 503}, {"parity_v1", "parity_v2", "refusal", "single_rows"}, "503"),
    ],
)
def test_each_defect_fails_its_rules_and_no_other(run, digest, chosen, failing, words):
    with standing_in(Defects(digest, **chosen)) as url:
        verdict, _, rules = run(url)
    assert verdict == "fail"
    assert {name for name, rule in rules.items() if rule.verdict == "fail"} == failing
    assert any(words in rule.sentence for rule in rules.values() if rule.verdict == "fail")


def test_the_page_shows_labels_and_numbers(run, digest, tmp_path):
    with standing_in(Defects(digest)) as url:
        run(url)
    page = (tmp_path / "r.html").read_text()
    assert "Its probability" in page
    assert "0.875" in page
    assert "probabilities&" not in page  # no dict of Python


@pytest.mark.parametrize(("shift", "said"), [(0.0, "Yes. trips version 3"), (1.0, "No. trips")])
def test_the_page_says_first_whether_it_answers_alike_and_if_not_why(
    run, digest, tmp_path, shift, said
):
    with standing_in(Defects(digest, shift=shift)) as url:
        _, _, rules = run(url)
    header = (tmp_path / "r.html").read_text().split("</header>")[0]
    assert said in header
    assert ("differ by" in header) == (rules["parity_v1"].verdict == "fail")


def test_a_difference_within_the_tolerance_passes(run, digest):
    with standing_in(Defects(digest, shift=5e-7)) as url:
        verdict, figures, _ = run(url)
    assert verdict == "pass"
    assert figures["largest_difference_v2"] == pytest.approx(5e-7)


def test_another_model_that_answers_is_told(run):
    with standing_in(Defects("f" * 64)) as url:
        verdict, _, rules = run(url)
    assert (verdict, rules["identity"].verdict) == ("fail", "fail")
    assert "another model answers" in rules["identity"].sentence


def test_a_record_of_another_package_is_told(run):
    with standing_in(Defects("e" * 64)) as url:
        verdict, _, rules = run(url, digest="e" * 64)
    assert verdict == "fail"
    assert "deploy that one" in rules["identity"].sentence


def test_an_endpoint_that_cannot_be_reached_is_a_verdict(run, monkeypatch):
    monkeypatch.setattr("shipway.components.lib.endpoint.CONNECT_RETRIES", 0)
    verdict, figures, rules = run("http://127.0.0.1:9")
    assert (verdict, list(rules), figures) == ("fail", ["reached"], {})
    assert "http://127.0.0.1:9/v1/models/trips:predict" in rules["reached"].sentence


def test_the_latency_rule_stands_only_when_it_is_asked_for(run, digest):
    with standing_in(Defects(digest)) as url:
        assert "latency_p95_ms" not in run(url)[2]
        assert run(url, latency=60_000.0)[2]["latency_p95_ms"].verdict == "pass"
        verdict, _, rules = run(url, latency=1e-6)
    assert (verdict, rules["latency_p95_ms"].verdict) == ("fail", "fail")


def test_records_and_packages_that_are_none_are_errors(tmp_path, package):
    (tmp_path / "record.json").write_text('{"target": "local"}')
    with pytest.raises(EndpointError, match="model_name"):
        ServingRecord.load(tmp_path / "record.json")
    (package / "golden.json").write_text('{"rows": [], "outputs": []}')
    with pytest.raises(ConfigurationError, match="0 golden rows"):
        Golden.load(package)
    with pytest.raises(ConfigurationError, match="no model package"):
        Golden.load(tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"predictions": 3},
        {"predictions": [{}, {}, {}]},
        {"predictions": OUTPUTS[:2]},
        {"predictions": [{"label": "no", "probabilities": {"no": 1.0}}] * 3},
    ],
)
def test_answers_of_another_form_cannot_be_compared(value):
    parity = compare_v1(Reply(200, "", value, 1.0), OUTPUTS)
    assert parity.problem and parity.largest is None


def test_regressions_and_non_finite_values():
    expected = [{"value": 1.5}, {"value": 2.0}]
    v2 = {"outputs": [{"name": "value", "data": [1.5, 2.25]}]}
    assert compare_v2(Reply(200, "", v2, 1.0), expected).largest == 0.25
    nan = {"predictions": [{"value": float("nan")}, {"value": 2.0}]}
    assert compare_v1(Reply(200, "", nan, 1.0), expected).largest == float("inf")


def test_quantiles_are_by_nearest_rank():
    values = [float(i) for i in range(1, 51)]
    assert [quantile(values, share) for share in (0.5, 0.95, 0.99)] == [25.0, 48.0, 50.0]
