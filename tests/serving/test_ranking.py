"""A ranking behind every protocol: a score a row, without its query; logged and watched."""

import asyncio
import json

import grpc
import pytest
import xgboost as xgb
from jsonschema import Draft202012Validator
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.model_package import write_package
from shipway.components.lib.queries import by_query, labels_of, told
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import to_rows, write_table
from shipway.components.lib.task import Target
from shipway.components.monitor.logic import Request as Watch
from shipway.components.monitor.logic import detect
from tests.searches import searches

COLUMNS = ["intent", "device", "match", "price", "age"]


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    """A package on disk, raw rows without query and grade, and their scores."""
    table = searches(60)
    plan = fit_plan(table, "grade", Target("ranking"), group_column="search")
    y = labels_of(plan, table)
    order = by_query(y)
    matrix = xgb.DMatrix(plan.transform_training(table)[order], **told(y[order], None))
    booster = xgb.train({"objective": "rank:ndcg", "nthread": 1}, matrix, 20)
    signature = signature_of(plan, "trips", None, Calibrator().to_json(), xgb.__version__)
    scorer, rows = Scorer(booster, signature), to_rows(table.select(COLUMNS))[:40]
    values = scorer.score_table(table.slice(0, 40)).values.tolist()
    path = tmp_path_factory.mktemp("ranked") / "model"
    outputs = [{"value": value} for value in values]
    write_package(path, booster, signature, rows[:20], outputs[:20], {}, {})
    return path, rows, values


@pytest.fixture(scope="module")
def served(ranked, serving):
    with serving(ranked[0], "--enable_grpc", "true", "--grpc_port", 0) as server:
        yield server


def test_v1_answers_with_a_score_whether_or_not_the_query_is_sent(ranked, served):
    _, rows, values = ranked
    plain = served.predict(rows)
    assert [answer["value"] for answer in plain.json()["predictions"]] == values
    with_query = served.predict([row | {"search": "s1"} for row in rows])
    assert with_query.json() == plain.json()


def test_v2_and_grpc_answer_with_the_same_bits(ranked, served):
    _, rows, values = ranked
    request = pb.ModelInferRequest(model_name="trips")
    inputs = []
    for name in COLUMNS:
        cells, text = [row[name] for row in rows], isinstance(rows[0][name], str)
        about = {"name": name, "datatype": "BYTES" if text else "FP64", "shape": [len(rows)]}
        inputs.append(about | {"data": cells})
        contents = request.inputs.add(**about).contents
        if text:
            contents.bytes_contents.extend([cell.encode() for cell in cells])
        else:
            contents.fp64_contents.extend(cells)
    (output,) = served.infer({"inputs": inputs}).json()["outputs"]
    assert (output["name"], output["data"]) == ("value", values)

    async def infer():
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(served.grpc, options=options) as channel:
            return await GRPCInferenceServiceStub(channel).ModelInfer(request)

    (tensor,) = asyncio.run(infer()).outputs
    assert list(tensor.contents.fp64_contents) == values


def test_the_documents_tell_what_a_score_is(ranked, served):
    described = served.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    value = schemas["Prediction"]["properties"]["value"]["description"]
    assert "sort the rows of one query" in value
    assert "search" not in schemas["Row"]["required"]
    answer = served.predict(ranked[1][:2]).json()
    whole = {"$ref": "#/components/schemas/PredictResponse", "components": described["components"]}
    Draft202012Validator(whole).validate(answer)
    assert served.get("/v2/models/trips").json()["parameters"]["task"] == "ranking"


def test_contributions_add_up_to_the_score(ranked, served):
    _, rows, values = ranked
    answer = served.post("/v1/models/trips:explain", json={"instances": rows[:5]}).json()
    assert answer["space"] == "value"
    for found, value in zip(answer["explanations"], values[:5], strict=True):
        total = found["base_value"] + sum(found["contributions"].values())
        assert total == pytest.approx(value, abs=1e-4)


def test_what_a_ranking_has_not_is_refused(ranked, served):
    for wish in ({"threshold": 0.5}, {"top_k": 3}):
        body = {"instances": ranked[1][:1], "parameters": wish}
        answer = served.post("/v1/models/trips:predict", json=body)
        assert answer.status_code == 400
        assert "this model's task is ranking" in answer.json()["error"]


def test_requests_are_logged_and_counted_and_their_drift_is_told(ranked, serving, tmp_path):
    write_table(searches(60).select(COLUMNS), tmp_path / "training")
    sent = to_rows(searches(60, seed=3).select(COLUMNS))
    for row in sent:
        row["price"] += 1.0
    with serving(ranked[0], "--payload_log", tmp_path / "log") as server:
        assert server.predict(sent).status_code == 200
        lines = server.get("/metrics").text.splitlines()
    (counted,) = [line for line in lines if "predicted_value_bucket" in line and "+Inf" in line]
    assert float(counted.split()[-1]) == len(sent)
    decision = tmp_path / "decision.json"
    found = detect(tmp_path / "training", tmp_path / "log", Watch(), decision, tmp_path / "page")
    assert found == "fail"
    rules = json.loads(decision.read_text())["rules"]
    moved = {rule["slice"] for rule in rules if rule["verdict"] == "fail"} - {""}
    assert moved == {"price"}
