"""What a server counts: every number against what was asked of it."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families as families


@pytest.fixture(scope="module")
def counted(models, serving):
    """A server of its own, so that all that it counted came from the test."""
    with serving(models["binary"].path, "--model_version", "3") as served:
        yield served


def samples(served) -> dict:
    text = served.get("/metrics").text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families(text)
        for sample in family.samples
    }


def value_of(found: dict, name: str, **labels: str) -> float:
    return found.get((name, *sorted({"model_name": "trips", **labels}.items())), 0.0)


class Change:
    """How far a sample has moved since this was made."""

    def __init__(self, served) -> None:
        self.served = served
        self.before = samples(served)

    def __call__(self, name: str, **labels: str) -> float:
        after = samples(self.served)
        return value_of(after, name, **labels) - value_of(self.before, name, **labels)


def test_requests_are_counted_by_path_and_status_and_rows_by_number(counted, binary):
    change = Change(counted)
    rows = binary.rows[:3]
    assert counted.predict(rows).status_code == 200
    assert counted.predict(binary.rows[:40]).status_code == 200
    assert counted.infer(binary.tensors(rows)).status_code == 200
    assert counted.post("/v1/models/trips:explain", json={"instances": rows}).status_code == 200
    assert counted.predict([]).status_code == 400
    assert counted.get("/no-such-path").status_code == 404
    assert change("shipway_requests_total", path="v1_predict", status="200") == 2
    assert change("shipway_requests_total", path="v2_infer", status="200") == 1
    assert change("shipway_requests_total", path="explain", status="200") == 1
    assert change("shipway_requests_total", path="v1_predict", status="400") == 1
    assert change("shipway_requests_total", path="other", status="404") == 1
    assert change("shipway_rows_total") == 49


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"fare": ...}, "missing_column"),
        ({"far": 1.0}, "unknown_column"),
        ({"fare": "1.0"}, "wrong_type"),
        ({"fare": None}, "null"),
        ({"day": "soon"}, "wrong_type"),
    ],
)
def test_a_refusal_is_counted_by_its_cause(counted, binary, changes, cause):
    change = Change(counted)
    row = {name: cell for name, cell in (binary.rows[0] | changes).items() if cell is not ...}
    assert counted.predict([row]).status_code == 400
    assert change("shipway_errors_total", cause=cause) == 1


@pytest.mark.parametrize(
    ("path", "content", "headers", "cause"),
    [
        ("/v1/models/trips:predict", b"{", {}, "malformed"),
        ("/v1/models/trips:predict", b"", {}, "malformed"),
        ("/v1/models/trips:predict", b'{"instances": 1}', {}, "shape"),
        ("/v1/models/trips:predict", b'{"instances": [[1, 2]]}', {}, "shape"),
        ("/v1/models/trips:predict", b"{}", {"content-type": "text/csv"}, "media_type"),
        ("/v1/models/other:predict", b"{}", {}, "not_found"),
        ("/v2/models/trips/infer", b'{"inputs": []}', {}, "shape"),
    ],
)
def test_a_body_that_is_no_request_is_counted_by_its_cause(counted, path, content, headers, cause):
    change = Change(counted)
    answer = counted.post(path, content=content, headers=headers)
    assert 400 <= answer.status_code < 500
    assert change("shipway_errors_total", cause=cause) == 1


def test_a_wrong_datatype_and_a_wrong_shape_of_a_tensor_are_told_apart(counted, binary):
    change = Change(counted)
    request = binary.tensors(binary.rows[:2])
    request["inputs"][0]["datatype"] = "BYTES"
    assert counted.infer(request).status_code == 400
    request = binary.tensors(binary.rows[:2])
    request["inputs"][0]["shape"] = [3]
    assert counted.infer(request).status_code == 400
    assert change("shipway_errors_total", cause="datatype") == 1
    assert change("shipway_errors_total", cause="shape") == 1


@pytest.mark.parametrize("size", [1, 600], ids=["on the event loop", "in a thread"])
def test_what_training_did_not_see_is_counted_by_column(counted, binary, size):
    change = Change(counted)
    row = {name: binary.rows[0][name] for name in binary.names}
    odd = row | {"company": "No Such Cab", "driver": "driver x", "miles": None, "fare": 1e6}
    assert counted.predict([odd] * size).status_code == 200
    low = row | {"fare": -5.0, "total": " ", "miles": 1.0, "company": "Sun Taxi"}
    assert counted.predict([low] * size).status_code == 200
    counts = {
        name: {
            column: change(f"shipway_{name}_total", column=column)
            for column in ("fare", "miles", "company", "driver", "total", "passengers")
        }
        for name in ("unknown_categories", "missing_values", "out_of_range_values")
    }
    nothing = dict.fromkeys(counts["missing_values"], 0)
    assert counts["unknown_categories"] == nothing | {"company": size, "driver": size}
    assert counts["missing_values"] == nothing | {"miles": size, "total": size}
    assert counts["out_of_range_values"] == nothing | {"fare": 2 * size}


def test_the_least_and_the_largest_number_of_training_are_in_range(counted, binary):
    change = Change(counted)
    fares = [row["fare"] for row in binary.rows]
    rows = [binary.rows[fares.index(edge)] for edge in (min(fares), max(fares))]
    assert counted.predict(rows).status_code == 200
    assert change("shipway_out_of_range_values_total", column="fare") == 0


def test_the_times_of_the_stages_add_up_to_the_total(counted, binary):
    change = Change(counted)
    for _ in range(300):  # more than are held back
        counted.predict(binary.rows[:1])
    counted.predict(binary.rows[:200])
    sums = {}
    for stage in ("read", "score", "answer", "total"):
        assert change("shipway_request_seconds_count", stage=stage) == 301
        assert change("shipway_request_seconds_bucket", stage=stage, le="+Inf") == 301
        sums[stage] = change("shipway_request_seconds_sum", stage=stage)
        assert 0 < sums[stage] < 60
    parts = sums["read"] + sums["score"] + sums["answer"]
    assert parts == pytest.approx(sums["total"], rel=1e-6)
    assert change("request_predict_seconds_count") == 301
    assert change("request_predict_seconds_sum") == pytest.approx(sums["total"])


def test_answers_are_counted_by_probability_and_by_class(counted, binary):
    change = Change(counted)
    outputs = counted.predict(binary.rows).json()["predictions"]
    for output in counted.predict(binary.rows[:1]).json()["predictions"]:
        outputs.append(output)
    positive = [output["probabilities"]["yes"] for output in outputs]
    for bound in ("0.05", "0.5", "0.95"):
        below = sum(p <= float(bound) for p in positive)
        assert change("shipway_predicted_probability_bucket", le=bound) == below
    assert change("shipway_predicted_probability_sum") == pytest.approx(sum(positive))
    for label in ("yes", "no"):
        answered = sum(output["label"] == label for output in outputs)
        assert change("shipway_predicted_labels_total", label=label) == answered


def test_the_model_is_named_and_only_this_request_is_in_flight(counted, binary):
    found = samples(counted)
    about = {"version": "3", "digest": binary.digest, "task": "binary"}
    assert value_of(found, "shipway_model_info", **about) == 1
    assert value_of(found, "shipway_requests_in_flight") == 1


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks_count_what_they_answer(models, serving, task):
    model = models[task]
    with serving(model.path) as served:
        answers = served.predict(model.rows[:50]).json()["predictions"]
        found = samples(served)
    if task == "multiclass":
        for label in ("1", "2", "3"):
            answered = sum(str(answer["label"]) == label for answer in answers)
            assert value_of(found, "shipway_predicted_labels_total", label=label) == answered
        assert not any("predicted_probability" in key[0] for key in found)
    else:
        # Prometheus wants neither sum nor count of what can be below zero.
        assert value_of(found, "shipway_predicted_value_bucket", le="+Inf") == 50
        below = sum(answer["value"] <= 10 for answer in answers)
        assert value_of(found, "shipway_predicted_value_bucket", le="10.0") == below


def test_a_sample_comes_once(counted):
    lines = [line for line in counted.get("/metrics").text.splitlines() if line[:1] not in "#"]
    names = [re.split(r" (?=[^ ]+$)", line)[0] for line in lines]
    assert len(names) == len(set(names)) > 100
