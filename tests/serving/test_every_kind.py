"""A model server with a column of every kind: each protocol, whole numbers that are categories."""

import asyncio
import json

import grpc
import numpy as np
import pytest
import xgboost as xgb
from jsonschema import Draft202012Validator
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.model_package import load_package, write_package
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import to_rows
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.refusals import Refusal
from shipway.components.predictor.v2 import V2
from tests.every_kind import ASKED, OVERRIDES, every_kind, planned

CODES = ("zone", "shop", "grade")
TYPES = {"zone": "INT64", "shop": "FP64", "grade": "INT8", "starts": "INT32"}
TYPES |= dict.fromkeys(("north", "east"), "FP64")


@pytest.fixture(scope="module")
def table():
    return every_kind().drop_columns(["room", "label"])


def packed(path, whole, text=OVERRIDES):
    plan = planned(whole, text)
    y = plan.target.encode(whole["label"])
    parameters = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1}
    booster = xgb.train(parameters, xgb.DMatrix(plan.transform_training(whole), label=y), 20)
    signature = signature_of(plan, "trips", 0.5, Calibrator().to_json(), xgb.__version__)
    names = [column.name for column in plan.columns]
    golden = to_rows(whole.select(names).slice(0, 20))
    scorer = Scorer(booster, signature)
    matrix = np.stack([plan.row_transformer()(row) for row in golden])
    outputs = scorer.outputs(scorer.score_matrix(matrix))
    write_package(path, booster, signature, golden, outputs, {}, {})
    return path


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("kinds") / "model", every_kind())


@pytest.fixture(scope="module")
def expected(package, table):
    loaded = load_package(package)
    scorer = Scorer(loaded.booster, loaded.signature)
    return scorer.outputs(scorer.score_table(table))


@pytest.fixture(scope="module")
def served(package, serving):
    with serving(package, "--enable_grpc", "true", "--grpc_port", 0) as server:
        yield server


def columns(rows):
    return {name: [row[name] for row in rows] for name in ASKED}


def tensors(rows):
    return [
        {"name": name, "datatype": TYPES.get(name, "BYTES"), "shape": [len(rows)], "data": cells}
        for name, cells in columns(rows).items()
    ]


def shares(answer):
    assert answer.status_code == 200, answer.text
    outputs = {output["name"]: output for output in answer.json()["outputs"]}
    return np.array(outputs["probabilities"]["data"]).reshape(-1, 2)[:, 0].tolist()


def test_every_protocol_gives_the_scorers_bits(served, table, expected):
    rows = to_rows(table.select(list(ASKED)))
    wanted = [output["probabilities"]["bad"] for output in expected]
    for size in (1, 30):
        for start in range(0, 60, size):
            part, known = rows[start : start + size], expected[start : start + size]
            assert served.predict(part).json()["predictions"] == known
            by_column = {"inputs": columns(part)}
            answer = served.post("/v1/models/trips:predict", json=by_column)
            assert answer.json()["predictions"] == known
            assert shares(served.infer({"inputs": tensors(part)})) == wanted[start : start + size]


@pytest.mark.parametrize("raw", [False, True])
def test_grpc_takes_whole_numbers_for_categories(served, table, expected, raw):
    rows = [row for row in to_rows(table) if None not in row.values()][:7]
    places = [to_rows(table).index(row) for row in rows]
    request = pb.ModelInferRequest(model_name="trips")
    fields = {"INT64": "int64_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}
    fields |= dict.fromkeys(("INT8", "INT32"), "int_contents")
    types = {"INT64": "<i8", "FP64": "<f8", "INT8": "<i1", "INT32": "<i4"}
    for told in tensors(rows):
        datatype, cells = told["datatype"], told["data"]
        tensor = request.inputs.add(name=told["name"], datatype=datatype, shape=[len(rows)])
        texts = [cell.encode() for cell in cells] if datatype == "BYTES" else []
        if not raw:
            getattr(tensor.contents, fields[datatype]).extend(texts or cells)
        elif texts:
            sized = [len(text).to_bytes(4, "little") + text for text in texts]
            request.raw_input_contents.append(b"".join(sized))
        else:
            request.raw_input_contents.append(np.array(cells, types[datatype]).tobytes())

    async def infer():
        async with grpc.aio.insecure_channel(
            served.grpc, options=[("grpc.enable_http_proxy", 0)]
        ) as channel:
            return await GRPCInferenceServiceStub(channel).ModelInfer(request)

    answer = asyncio.run(infer())
    place = next(i for i, output in enumerate(answer.outputs) if output.name == "probabilities")
    found = (
        np.frombuffer(answer.raw_output_contents[place])
        if answer.raw_output_contents
        else np.array(answer.outputs[place].contents.fp64_contents)
    )
    wanted = [expected[place]["probabilities"]["bad"] for place in places]
    assert found.reshape(-1, 2)[:, 0].tolist() == wanted


def matrix_of(rows, names):
    cells = [float(row[name]) for row in rows for name in names]
    return {"name": "x", "datatype": "FP64", "shape": [len(rows), len(names)], "data": cells}


def test_places_may_come_as_a_matrix_and_codes_may_not(tmp_path):
    whole = every_kind().select(["north", "east", "grade", "label"])
    text = "columns:\n  north: {kind: coordinates, longitude: east}\n"
    engine = Engine(load_package(packed(tmp_path / "places", whole, text)))
    rows = [row for row in to_rows(whole) if row["north"] is not None][:40]
    for size in (1, 40):
        body = {"inputs": [matrix_of(rows[:size], ["north", "east", "grade"])]}
        question = V2(engine).read(json.dumps(body).encode())
        alone = engine.reader.read_rows([{n: row[n] for n in engine.schema.names} for row in rows])
        assert question.batch.features.tobytes() == alone.features[:size].tobytes()
    coded = text + "  grade: {kind: category}\n"
    engine = Engine(load_package(packed(tmp_path / "codes", whole, coded)))
    with pytest.raises(
        Refusal, match=r"column 'grade' holds a whole number.*Send one tensor a column"
    ):
        V2(engine).read(json.dumps(body).encode())


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("rows", [1, 20])
def test_what_is_not_whole_is_refused_in_every_form(served, table, name, rows):
    good = to_rows(table)[0] | {"zone": 3}
    for bad, words in ((2.5, "the number 2.5"), ("2", "the text '2'"), (True, "boolean")):
        sent = [good] * (rows - 1) + [good | {name: bad}]
        row = rows - 1
        expected = f"Row {row}, column '{name}' must be a whole number, which stands for a category"
        for answer in (
            served.predict(sent),
            served.post("/v1/models/trips:predict", json={"inputs": columns(sent)}),
        ):
            assert answer.status_code == 400
            assert expected in answer.json()["error"] and words in answer.json()["error"]
    halves = tensors([good] * (rows - 1) + [good | {name: 2.5}])
    told = next(tensor for tensor in halves if tensor["name"] == name)
    told["datatype"] = "FP64"
    answer = served.infer({"inputs": halves})
    assert answer.status_code == 400 and "must be a whole number" in answer.json()["error"]
    told["datatype"], told["data"] = "BYTES", ["2"] * rows
    answer = served.infer({"inputs": halves})
    assert answer.status_code == 400 and "may be FP64" in answer.json()["error"]


def test_golden_rows_and_the_document_hold_whole_numbers(served, package):
    golden = load_package(package).golden["rows"]
    assert all(type(row["zone"]) in (int, type(None)) for row in golden)
    described = served.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    assert schemas["column.zone"]["type"] == ["integer", "null"]
    assert schemas["column.zone"]["examples"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert schemas["column.starts"]["type"] == ["integer", "null"]
    assert schemas["column.shop"]["type"] == "integer"
    assert schemas["column.note"]["description"].startswith("Short text")
    body = Draft202012Validator(
        {"$ref": "#/components/schemas/PredictRequest", "components": described["components"]}
    )
    assert body.is_valid({"instances": golden})
    assert not body.is_valid({"instances": [golden[0] | {"zone": 2.5}]})
    metadata = served.get("/v2/models/trips").json()
    zone = next(told for told in metadata["inputs"] if told["name"] == "zone")
    assert zone["parameters"]["categories"] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_category_that_is_new_is_counted_and_answered(served, table):
    good = to_rows(table)[0] | {"zone": 77, "colour": "mauve"}
    assert served.predict([good]).json() == served.predict([good | {"zone": 78.0}]).json()
    text = served.get("/metrics").text
    for name in ("zone", "colour"):
        line = next(x for x in text.splitlines() if "unknown" in x and f'"{name}"' in x)
        assert float(line.split()[-1]) >= 1
