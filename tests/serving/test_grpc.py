"""V2 by gRPC."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.serving.requests import OPTIONS, call, message


def test_a_grpc_answer_says_which_model_made_it(both, binary, whole):
    answer, metadata = call(both, message(binary, whole))
    assert (answer.model_name, answer.model_version, answer.id) == ("trips", "7", "g1")
    parameters = {name: value.string_param for name, value in answer.parameters.items()}
    assert parameters == {"model_digest": binary.digest, "threshold": "0.4"}
    assert metadata["x-shipway-model-digest"] == binary.digest
    assert metadata["x-shipway-model-version"] == "7"


def test_grpc_takes_wishes(both, binary, whole):
    request = message(binary, whole)
    request.parameters["threshold"].string_param = "0.0"
    request.parameters["binary_data_output"].bool_param = True
    request.outputs.add(name="label")
    answer, _ = call(both, request)
    assert [output.name for output in answer.outputs] == ["label"]
    assert answer.raw_output_contents == [b"\3\0\0\0yes" * 2]
    assert answer.parameters["threshold"].string_param == "0.0"


def test_bytes_that_are_no_message_are_an_invalid_argument(both):
    with grpc.insecure_channel(both.grpc, options=OPTIONS) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for content in (b"\xff" * 40, b"\x0a\xff" + b"a" * 20_000):
            with pytest.raises(grpc.RpcError) as caught:
                infer(content, timeout=30)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "ModelInferRequest" in caught.value.details()


def test_grpc_tells_of_the_server_and_the_model(both, binary):
    assert call(both, pb.ServerLiveRequest(), "ServerLive")[0].live
    assert call(both, pb.ServerReadyRequest(), "ServerReady")[0].ready
    assert call(both, pb.ModelReadyRequest(name="trips"), "ModelReady")[0].ready
    server = call(both, pb.ServerMetadataRequest(), "ServerMetadata")[0]
    assert (server.name, list(server.extensions)) == ("shipway", ["binary_tensor_data"])
    about = call(both, pb.ModelMetadataRequest(name="trips", version="7"), "ModelMetadata")[0]
    assert [column.name for column in about.inputs] == binary.names
    assert [list(output.shape) for output in about.outputs] == [[-1], [-1, 2]]
    assert list(about.versions) == ["7"]


@pytest.mark.parametrize(
    ("request_", "method", "code"),
    [
        (pb.ModelInferRequest(model_name="other"), "ModelInfer", "NOT_FOUND"),
        (pb.ModelInferRequest(model_name="trips", model_version="8"), "ModelInfer", "NOT_FOUND"),
        (pb.ModelReadyRequest(name="other"), "ModelReady", "NOT_FOUND"),
        (pb.ModelMetadataRequest(name="trips", version="8"), "ModelMetadata", "NOT_FOUND"),
        (
            pb.RepositoryModelUnloadRequest(model_name="trips"),
            "RepositoryModelUnload",
            "UNIMPLEMENTED",
        ),
        (pb.RepositoryModelLoadRequest(model_name="trips"), "RepositoryModelLoad", "UNIMPLEMENTED"),
    ],
)
def test_other_models_and_the_repository_are_not_there(both, request_, method, code):
    error, _ = call(both, request_, method)
    assert error.code().name == code
    assert "This server serves one model" in error.details() or "'trips'" in error.details()


def test_calls_at_the_same_time_get_their_own_answers(both, binary, whole):
    wanted = both.predict(whole).json()["predictions"]
    stub = GRPCInferenceServiceStub(grpc.insecure_channel(both.grpc, options=OPTIONS))

    def ask(index):
        request = message(binary, [whole[index % 2]])
        request.id = str(index)
        answer = stub.ModelInfer(request, timeout=30)
        assert answer.id == str(index)
        return answer.outputs[1].contents.fp64_contents[:]

    with ThreadPoolExecutor(8) as pool:
        for index, scores in enumerate(pool.map(ask, range(200))):
            assert scores == list(wanted[index % 2]["probabilities"].values())


def test_limits_hold_for_grpc(binary, whole, serving, refused):
    flags = ["--enable_grpc", "true", "--max_rows", 10, "--max_body_mib", 1]
    with serving(binary.path, *flags, "--grpc_port", 0) as served:
        error, _ = call(served, message(binary, whole * 6))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "12 rows" in error.details()
        error, _ = call(served, message(binary, whole * 10_000))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert call(served, message(binary, whole))[0].id == "g1"
        port = served.grpc.rsplit(":", 1)[1]
        status, text = refused(
            "--model_dir", binary.path, "--http_port", 0, *flags, "--grpc_port", port
        )
    assert status == 3
    assert f"127.0.0.1:{port} for gRPC" in text and "Traceback" not in text
    assert served.process.returncode == 0
