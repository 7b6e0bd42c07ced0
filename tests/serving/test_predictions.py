"""What a running server answers: parity to the bit, by every way that a row can come in."""

import json
import threading
import time

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.lib.tables import to_rows


def from_tensors(answer):
    outputs = {output["name"]: output for output in answer["outputs"]}
    if "value" in outputs:
        return [{"value": value} for value in outputs["value"]["data"]]
    probabilities = outputs["probabilities"]
    classes = json.loads(probabilities["parameters"]["classes"])
    matrix = np.reshape(probabilities["data"], probabilities["shape"]).tolist()
    return [
        {"label": label, "probabilities": dict(zip(classes, row, strict=True))}
        for label, row in zip(outputs["label"]["data"], matrix, strict=True)
    ]


def as_text(outputs):
    """Labels as V2 carries them."""
    return [o if "value" in o else {**o, "label": str(o["label"])} for o in outputs]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_protocol_gives_the_scorers_bits(models, task, serving):
    model = models[task]
    expected = model.outputs()
    with serving(model.path) as served:
        for rows, wanted in ((model.rows, expected), (model.rows[:5], expected[:5])):
            answer = served.predict(rows)
            assert answer.status_code == 200
            assert answer.json()["predictions"] == wanted
            in_order = [[row[name] for name in model.names] for row in rows]
            assert served.predict(in_order).json()["predictions"] == wanted
            tensor_answer = served.infer(model.tensors(rows))
            assert tensor_answer.status_code == 200
            assert from_tensors(tensor_answer.json()) == as_text(wanted)
        for index in range(0, 400, 40):
            one = served.predict([model.rows[index]]).json()
            assert one["predictions"] == [expected[index]]
        assert "x-shipway-model-version" in answer.headers
        assert "model_version" not in answer.json()
        assert served.process.poll() is None
    assert served.process.returncode == 0


def test_an_answer_says_which_model_made_it(server, binary):
    first = server.predict(binary.rows[:1])
    assert first.headers["x-shipway-model-digest"] == binary.digest
    assert first.headers["x-shipway-model-version"] == "7"
    answer = first.json()
    assert answer["model_name"] == "trips"
    assert (answer["model_version"], answer["model_digest"]) == ("7", binary.digest)
    assert answer["threshold"] == 0.4
    tensor_answer = server.infer(binary.tensors(binary.rows[:2]) | {"id": "a1"}).json()
    assert (tensor_answer["model_name"], tensor_answer["id"]) == ("trips", "a1")
    assert tensor_answer["parameters"] == {"model_digest": binary.digest, "threshold": 0.4}
    assert [o["shape"] for o in tensor_answer["outputs"]] == [[2], [2, 2]]


def test_the_threshold_of_training_makes_the_label(server, binary):
    predictions = server.predict(binary.rows).json()["predictions"]
    assert {p["label"] for p in predictions} == {"yes", "no"}
    assert all((p["probabilities"]["yes"] >= 0.4) == (p["label"] == "yes") for p in predictions)
    assert any(0.4 <= p["probabilities"]["yes"] < 0.5 for p in predictions)


def test_nulls_and_unseen_categories_are_answered_as_the_scorer_does(server, binary):
    row = binary.rows[3] | {"company": "A new company", "driver": "driver 9999", "miles": None}
    many = [row] * 40
    table = binary.table.slice(3, 1)
    for name, value in (("company", "A new company"), ("driver", "driver 9999"), ("miles", None)):
        index = table.schema.get_field_index(name)
        table = table.set_column(
            index, table.schema.field(name), pa.array([value], table[name].type)
        )
    expected = binary.outputs(table)
    assert server.predict([row]).json()["predictions"] == expected
    assert server.predict(many).json()["predictions"] == expected * 40


def test_one_output_can_be_asked_for(server, binary):
    payload = binary.tensors(binary.rows[:1]) | {"outputs": [{"name": "label"}]}
    assert [o["name"] for o in server.infer(payload).json()["outputs"]] == ["label"]
    payload["outputs"] = [{"name": "labels"}]
    answer = server.infer(payload)
    assert answer.status_code == 400
    assert "'labels'" in answer.json()["error"]


def test_the_version_in_the_path_must_be_the_one_that_answers(server, binary):
    payload = binary.tensors(binary.rows[:1])
    assert server.post("/v2/models/trips/versions/7/infer", json=payload).status_code == 200
    other = server.post("/v2/models/trips/versions/8/infer", json=payload)
    assert other.status_code == 404
    assert "'8'" in other.json()["error"]


def test_metadata_lists_what_goes_in_and_out(server, binary):
    about = server.get("/v2/models/trips").json()
    inputs = {column["name"]: column for column in about["inputs"]}
    assert list(inputs) == binary.names
    assert "trip_id" not in inputs and "label" not in inputs
    assert inputs["fare"]["datatype"] == "FP64" and inputs["shared"]["datatype"] == "BOOL"
    assert inputs["company"]["parameters"]["nullable"] is True
    assert inputs["company"]["parameters"]["categories"] == [
        "City Service",
        "Flash Cab",
        "Sun Taxi",
    ]
    assert [(o["name"], o["datatype"], o["shape"]) for o in about["outputs"]] == [
        ("label", "BYTES", [-1]),
        ("probabilities", "FP64", [-1, 2]),
    ]
    assert about["versions"] == ["7"] and about["parameters"]["model_digest"] == binary.digest


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics",
        "/v1/models",
        "/v1/models/trips",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/trips/ready",
        "/v2/models/trips/versions/7/ready",
    ],
)
def test_the_sdks_own_routes_stay(server, path):
    assert server.get(path).status_code == 200


def test_predictions_are_measured(server, binary):
    server.predict(binary.rows[:1])
    lines = server.get("/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("request_predict_seconds_count")]
    assert len(counts) == 1 and 'model_name="trips"' in counts[0]
    assert float(counts[0].split()[-1]) >= 1


def test_a_large_request_does_not_hold_up_health(server, binary):
    rows = [{name: row[name] for name in binary.names} for row in binary.rows] * 12
    answers = []
    thread = threading.Thread(target=lambda: answers.append(server.predict(rows).status_code))
    thread.start()
    time.sleep(0.01)
    while thread.is_alive():
        assert server.get("/v2/health/live").status_code == 200
    thread.join()
    assert answers == [200]


def test_rows_of_the_table_go_in_as_they_stand(server, binary):
    assert to_rows(binary.table.slice(0, 1))[0].keys() > set(binary.names)
    assert server.predict(to_rows(binary.table.slice(0, 3))).status_code == 200
