"""The official clients as they come, and curl, against a running server."""

import asyncio
import json
import os
import subprocess

import numpy as np
import pytest
import tritonclient.http as triton
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tritonclient.utils import InferenceServerException

DATATYPES = {"fare": "FP64", "passengers": "INT64", "miles": "FP64", "shared": "BOOL"}
DTYPES = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def rows(binary):
    """Rows without a missing text, which a typed tensor cannot tell."""
    return [row for row in binary.rows if row["company"] is not None][:60]


@pytest.fixture(scope="module")
def expected(binary, rows):
    outputs = binary.outputs()
    by_id = {row["trip_id"]: output for row, output in zip(binary.rows, outputs, strict=True)}
    return [by_id[row["trip_id"]] for row in rows]


def arrays(model, rows):
    """Name, datatype and array of each column."""
    for name in model.names:
        datatype = DATATYPES.get(name, "BYTES")
        cells = [row[name] for row in rows]
        if datatype == "FP64":
            cells = [float("nan") if cell is None else cell for cell in cells]
        yield name, datatype, np.array(cells, dtype=DTYPES[datatype])


def assert_same(labels, probabilities, expected):
    names = [name.decode() if isinstance(name, bytes) else name for name in labels]
    assert names == [output["label"] for output in expected]
    wanted = [list(output["probabilities"].values()) for output in expected]
    assert np.reshape(probabilities, (-1, 2)).tolist() == wanted


def kserve_request(model, rows, raw):
    inputs = []
    for name, datatype, array in arrays(model, rows):
        tensor = InferInput(name, list(array.shape), datatype)
        if raw:
            tensor.set_data_from_numpy(array, binary_data=True)
        else:
            tensor.data = array.tolist()
        inputs.append(tensor)
    return InferRequest("trips", inputs, request_id="q1")


def test_kserves_rest_client_by_v1(both, rows, expected):
    async def ask():
        client = InferenceRESTClient(RESTConfig(protocol="v1"))
        answer = await client.infer(both.url, {"instances": rows}, model_name="trips")
        return answer, await client.is_model_ready(both.url, "trips")

    answer, ready = asyncio.run(ask())
    assert (answer["predictions"], ready) == (expected, True)


@pytest.mark.parametrize("raw", [False, True])
def test_kserves_rest_client_by_v2(both, binary, rows, expected, raw):
    async def ask():
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        assert await client.is_server_live(both.url)
        assert await client.is_server_ready(both.url)
        assert await client.is_model_ready(both.url, "trips")
        headers = {}
        request = kserve_request(binary, rows, raw)
        answer = await client.infer(both.url, request, model_name="trips", response_headers=headers)
        return answer, headers

    answer, headers = asyncio.run(ask())
    assert headers["x-shipway-model-digest"] == binary.digest
    assert (answer.id, answer.parameters["model_digest"]) == ("q1", binary.digest)
    label, probabilities = answer.outputs
    assert_same(label.data, probabilities.data, expected)


@pytest.mark.parametrize("raw", [False, True])
def test_kserves_grpc_client(both, binary, rows, expected, raw):
    async def ask():
        async with InferenceGRPCClient(both.grpc) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("trips")
            return await client.infer(kserve_request(binary, rows, raw))

    answer = asyncio.run(ask())
    assert answer.id == "q1"
    assert answer.parameters["model_digest"].string_param == binary.digest
    label, probabilities = answer.outputs
    assert_same(label.as_numpy().tolist(), probabilities.as_numpy(), expected)


@pytest.fixture
def client(both):
    with triton.InferenceServerClient(both.url.removeprefix("http://")) as made:
        yield made


def triton_inputs(model, rows, as_bytes=True):
    for name, datatype, array in arrays(model, rows):
        tensor = triton.InferInput(name, list(array.shape), datatype)
        yield tensor.set_data_from_numpy(array, binary_data=as_bytes)


def test_tritons_client_asks_about_the_server(client, binary):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("trips") and client.is_model_ready("trips", "7")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    about = client.get_model_metadata("trips", "7")
    assert [column["name"] for column in about["inputs"]] == binary.names


@pytest.mark.parametrize("bytes_out", [None, True, False])
def test_tritons_client_predicts(client, binary, rows, expected, bytes_out):
    outputs = None
    if bytes_out is not None:
        names = ("probabilities", "label")
        outputs = [triton.InferRequestedOutput(name, binary_data=bytes_out) for name in names]
    inputs = list(triton_inputs(binary, rows))
    answer = client.infer("trips", inputs, outputs=outputs, request_id="t9")
    assert answer.get_response()["id"] == "t9"
    assert_same(answer.as_numpy("label"), answer.as_numpy("probabilities"), expected)


def test_tritons_client_sends_lists_and_parameters(client, binary, rows):
    whole = [row for row in rows if row["miles"] is not None]
    inputs = list(triton_inputs(binary, whole, as_bytes=False))
    answer = client.infer("trips", inputs, model_version="7", parameters={"threshold": 0.0})
    assert set(answer.as_numpy("label")) == {b"yes"}
    assert answer.get_response()["parameters"]["threshold"] == 0.0


def test_tritons_client_is_told_what_is_wrong(client, binary, rows):
    inputs = list(triton_inputs(binary, rows))[1:]
    with pytest.raises(InferenceServerException, match="lacks the column 'fare'"):
        client.infer("trips", inputs)


def test_curl(both, rows, expected, tmp_path):
    def curl(path, *arguments):
        command = ["curl", "-sS", "--noproxy", "*", "--fail-with-body", *arguments]
        return json.loads(subprocess.check_output([*command, both.url + path]))

    body = tmp_path / "rows.json"
    body.write_text(json.dumps({"instances": rows}))
    as_json = ["-H", "Content-Type: application/json"]
    answer = curl("/v1/models/trips:predict", "-d", f"@{body}", *as_json)
    assert answer["predictions"] == expected
    assert curl("/v1/models") == {"models": ["trips"]}
    assert curl("/v2/models/trips/versions/7/ready")["ready"] is True
