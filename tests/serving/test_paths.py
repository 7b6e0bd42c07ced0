"""The paths of models and versions."""

import pytest

from tests.serving.requests import V1, refused, send, tensors


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/v1/models", {"models": ["trips"]}),
        ("/v1/models/trips", {"name": "trips", "ready": True}),
        ("/v1/models/trips/versions/7", {"name": "trips", "ready": True}),
        ("/v2/models/trips/ready", {"name": "trips", "ready": True}),
        ("/v2/models/trips/versions/7/ready", {"name": "trips", "ready": True}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
    ],
)
def test_paths_tell_the_truth(both, path, wanted):
    assert both.get(path).json() == wanted


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/trips/versions/8",
        "/v1/models/other/versions/7",
        "/v2/models/trips/versions/8",
        "/v2/models/trips/versions/8/ready",
        "/v2/models/other/versions/7/ready",
    ],
)
def test_other_versions_and_models_are_not_there(both, path):
    refused(both.get(path), "this server has", status=404)


def test_the_versioned_paths_answer_as_the_others(both, binary, whole):
    body = {"instances": whole}
    assert both.post("/v1/models/trips/versions/7:predict", json=body).json() == (
        both.post(V1, json=body).json()
    )
    payload, parts = tensors(binary, whole)
    versioned = send(both, payload, parts, path="/v2/models/trips/versions/7/infer")
    assert versioned.json() == send(both, payload, parts).json()
    metadata = both.get("/v2/models/trips/versions/7").json()
    assert metadata == both.get("/v2/models/trips").json()
