"""Regressions that answer with an interval, or by the logarithm of a value, over every protocol."""

import grpc
import numpy as np
import pyarrow as pa
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from shipway.components.features.logic import fit
from shipway.components.lib.model_package import load_package
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.tables import to_rows, write_table
from shipway.components.train.logic import train
from shipway.components.train.request import Request

QUICK = {"num_boost_round": 30.0, "eta": 0.2, "nthread": 1.0}
GRPC = ["--enable_grpc", "true", "--grpc_port", 0]


def trips(rows: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    miles = draw.uniform(0, 10, rows)
    label = 3 + 2 * miles + draw.gamma(2.0, 1 + miles / 4)
    return pa.table({"miles": miles, "night": draw.random(rows) < 0.3, "fare": label})


@pytest.fixture(scope="module", params=["quantile", "gamma"])
def trained(request, tmp_path_factory):
    """A package, the objective, and its scorer."""
    path = tmp_path_factory.mktemp(request.param)
    write_table(trips(900, 0), path / "train")
    write_table(trips(400, 1), path / "validation")
    fit(path / "train", "fare", path / "plan", path / "features.html")
    inputs = path / "train", path / "validation", path / "plan"
    asked = Request("trips", QUICK, objective=request.param)
    train(*inputs, path / "model", path / "page.html", asked)
    package = load_package(path / "model")
    return path / "model", request.param, Scorer(package.booster, package.signature)


def tensors(table: pa.Table) -> dict:
    kinds = {"miles": "FP64", "night": "BOOL"}
    return {
        "inputs": [
            {"name": n, "datatype": k, "shape": [len(table)], "data": table[n].to_pylist()}
            for n, k in kinds.items()
        ]
    }


def test_every_protocol_gives_the_scorers_values_and_intervals(trained, serving):
    path, objective, scorer = trained
    table = trips(60, 2).drop_columns(["fare"])
    expected = scorer.outputs(scorer.score_table(table))
    assert ("interval" in expected[0]) == (objective == "quantile")
    with serving(path, *GRPC) as served:
        rows = to_rows(table)
        assert served.predict(rows).json()["predictions"] == expected
        assert [served.predict([row]).json()["predictions"][0] for row in rows[:5]] == expected[:5]
        answer = served.infer(tensors(table)).json()
        outputs = {output["name"]: output for output in answer["outputs"]}
        assert outputs["value"]["data"] == [one["value"] for one in expected]
        asked = pb.ModelInferRequest(model_name="trips")
        for given in tensors(table)["inputs"]:
            field = {"FP64": "fp64_contents", "BOOL": "bool_contents"}[given["datatype"]]
            tensor = asked.inputs.add(name=given["name"], datatype=given["datatype"])
            tensor.shape.extend(given["shape"])
            getattr(tensor.contents, field).extend(given["data"])
        with grpc.insecure_channel(served.grpc, [("grpc.enable_http_proxy", 0)]) as channel:
            by_grpc = GRPCInferenceServiceStub(channel).ModelInfer(asked, timeout=10)
        got = {one.name: list(one.contents.fp64_contents) for one in by_grpc.outputs}
        assert got["value"] == outputs["value"]["data"]
        if objective == "quantile":
            ends = [end for one in expected for end in one["interval"]]
            assert outputs["interval"]["shape"] == [60, 2]
            assert outputs["interval"]["data"] == got["interval"] == ends
        else:
            assert list(outputs) == list(got) == ["value"]


def test_the_server_tells_what_its_answers_mean(trained, serving):
    path, objective, _ = trained
    with serving(path) as served:
        told = served.get("/v2/models/trips").json()["outputs"]
        schema = served.get("/openapi.json").json()["components"]["schemas"]["Prediction"]
        row = to_rows(trips(1, 3).drop_columns(["fare"]))
        why = served.post("/v1/models/trips:explain", json={"instances": row}).json()
    (reason,) = why["explanations"]
    margin = reason["base_value"] + sum(reason["contributions"].values())
    if objective == "quantile":
        assert told[1]["name"] == "interval" and told[1]["parameters"] == {"coverage": 0.9}
        assert "interval" in schema["required"] and "90%" in str(schema)
        assert why["space"] == "value"
        assert margin == pytest.approx(reason["value"], rel=1e-4)
    else:
        assert [one["name"] for one in told] == ["value"]
        assert why["space"] == "log_value"
        assert np.exp(margin) == pytest.approx(reason["value"], rel=1e-4)
