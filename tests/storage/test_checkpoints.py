import numpy as np
import pytest
import xgboost as xgb

from shipway.components.lib.errors import WorkerError
from shipway.components.lib.storage import store_uri
from shipway.components.train.checkpoint import Checkpoints
from shipway.components.train.folder import folder_at

CURVES = {"training": [0.5, 0.4], "validation": [0.6, 0.5]}


@pytest.fixture(scope="module")
def booster() -> xgb.Booster:
    x = np.random.default_rng(0).normal(size=(200, 3))
    matrix = xgb.DMatrix(x, x[:, 0] > 0)
    return xgb.train({"objective": "binary:logistic", "nthread": 1}, matrix, 2)


def test_a_place_keeps_the_last_state_and_none_in_the_end(uri, booster) -> None:
    kept = Checkpoints(uri, lambda: "a" * 32)
    assert kept.latest() is None
    for rounds in (1, 2):
        kept.save(booster[:rounds], CURVES, "logloss")
    assert len(folder_at(uri).names("")) == 1
    found = Checkpoints(uri, lambda: "a" * 32).latest()
    assert (found.curves, found.metric, found.finished) == (CURVES, "logloss", False)
    assert found.booster.save_raw() == booster.save_raw()
    assert Checkpoints(uri, lambda: "b" * 32).latest() is None
    kept.finish(booster[:1], CURVES)
    assert kept.latest().finished
    assert kept.latest().booster.num_boosted_rounds() == 1
    kept.clear()
    assert folder_at(uri).names("") == []
    assert kept.latest() is None


def test_a_bucket_that_refuses_keeps_no_checkpoint_but_must_take_the_model(
    google, booster, caplog
) -> None:
    google.readonly = True
    kept = Checkpoints("gs://models/ours", lambda: "k")
    kept.save(booster, CURVES, "logloss")
    assert "no checkpoint is kept" in caplog.text
    with pytest.raises(WorkerError, match="must be in gs:// or s3://"):
        kept.finish(booster, CURVES)


def test_minio_is_s3_where_its_address_is_told(monkeypatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert folder_at("minio://mlpipeline/x") is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert folder_at("minio://mlpipeline/x").uri == "s3://mlpipeline/x"
    assert store_uri("minio://mlpipeline/x") == "s3://mlpipeline/x"
    assert folder_at("hdfs://x/y") is None
