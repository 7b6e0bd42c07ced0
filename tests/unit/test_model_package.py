import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.errors import ModelPackageError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.labels import infer_task
from shipway.components.lib.model_package import (
    check_golden,
    difference,
    load_manifest,
    load_package,
    verify_files,
    write_package,
)
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.signature import Signature, signature_of
from shipway.components.lib.tables import to_rows


def table() -> pa.Table:
    draw = np.random.default_rng(0)
    x = draw.normal(size=200)
    columns = {
        "x": [None if i % 7 == 0 else float(v) for i, v in enumerate(x)],
        "city": draw.choice(["Zürich", "Bern"], 200),
        "same": [1] * 200,
        "label": np.where(x > 0, "yes", "no"),
    }
    return pa.table(columns)


def build(path: Path) -> str:
    """A whole package of a small binary model."""
    rows = table()
    plan = fit_plan(rows, "label", infer_task(rows["label"]))
    matrix = xgb.DMatrix(plan.transform_training(rows), plan.target.encode(rows["label"]))
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 3}, matrix, 5)
    calibrator = Calibrator("platt", [1.1, 0.1]).to_json()
    signature = signature_of(plan, "churn", 0.4, calibrator, xgb.__version__)
    scorer = Scorer(booster, signature)
    golden = rows.slice(0, 8).drop_columns(["label", "same"])
    outputs = scorer.outputs(scorer.score_table(golden))
    baseline = {"features": {"x": [1.5]}, "prediction": {"p": [0.1]}}
    return write_package(path, booster, signature, to_rows(golden), outputs, baseline, {"seed": 7})


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "model"
    build(path)
    return path


@pytest.fixture
def package(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "model"))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    edit(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def sign_again(package: Path) -> None:
    """Bring the manifest in line with the files, as one who means harm would."""

    def edit(manifest: dict[str, Any]) -> None:
        for name, entry in manifest["files"].items():
            file = package / name
            entry.update(bytes=file.stat().st_size, sha256=sha256_of(file))

    change(package / "manifest.json", edit)


def test_what_is_loaded_is_what_was_written(original: Path) -> None:
    package = load_package(original)
    assert package.digest == verify_files(original) == sha256_of(original / "manifest.json")
    signature = package.signature
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature
    assert (signature.name, signature.threshold, signature.label) == ("churn", 0.4, "label")
    assert [feature.name for feature in signature.features] == ["x", "city"]
    assert [feature.nullable for feature in signature.features] == [True, False]
    assert signature.ignored == ["same", "label"]
    assert package.manifest["seed"] == 7
    assert check_golden(package) == 0.0
    scorer = Scorer(package.booster, signature)
    rows = table().slice(0, 8)
    assert scorer.outputs(scorer.score_table(rows)) == package.golden["outputs"]


def test_a_package_holds_these_files_and_no_pickle(original: Path) -> None:
    files = {str(file.relative_to(original)) for file in original.rglob("*") if file.is_file()}
    assert files == {
        "model.ubj", "signature.json", "golden.json", "manifest.json",
        "baseline/features.json", "baseline/prediction.json",
    }  # fmt: skip
    assert set(load_manifest(original)["files"]) == files - {"manifest.json"}
    assert [file.name for file in original.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "name", ["model.ubj", "signature.json", "golden.json", "baseline/features.json"]
)
def test_a_changed_byte_is_refused(package: Path, name: str) -> None:
    content = bytearray((package / name).read_bytes())
    content[len(content) // 2] ^= 1
    (package / name).write_bytes(content)
    with pytest.raises(ModelPackageError, match=f"'{name}'.*SHA-256"):
        load_package(package)


@pytest.mark.parametrize("name", ["model.ubj", "signature.json", "baseline/features.json"])
def test_a_missing_file_is_refused(package: Path, name: str) -> None:
    (package / name).unlink()
    with pytest.raises(ModelPackageError, match=f"'{name}' is missing"):
        load_package(package)


def test_a_missing_manifest_is_refused(package: Path) -> None:
    (package / "manifest.json").unlink()
    with pytest.raises(ModelPackageError, match=r"manifest\.json"):
        load_package(package)
    with pytest.raises(ModelPackageError, match="nowhere"):
        load_manifest(package / "nowhere")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "files": 3}']
)
def test_a_manifest_that_is_none_is_refused(package: Path, text: str) -> None:
    (package / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelPackageError, match="model"):
        load_package(package)


def test_another_format_is_refused(package: Path) -> None:
    change(package / "manifest.json", lambda manifest: manifest.update(format=2))
    with pytest.raises(ModelPackageError, match="has format 2"):
        load_package(package)


def test_another_format_of_the_signature_is_refused(package: Path) -> None:
    change(package / "signature.json", lambda signature: signature.update(format=2))
    sign_again(package)
    with pytest.raises(ModelPackageError, match="has format 2"):
        load_package(package)


@pytest.mark.parametrize("part", ["plan", "threshold", "features"])
def test_a_signature_that_is_not_whole_is_refused(package: Path, part: str) -> None:
    change(package / "signature.json", lambda signature: signature.pop(part))
    sign_again(package)
    with pytest.raises(ModelPackageError, match=part):
        load_package(package)


@pytest.mark.parametrize("name", ["../secret", "baseline/../../secret", "/etc/hostname"])
def test_a_manifest_that_names_a_file_outside_is_refused(package: Path, name: str) -> None:
    secret = package.parent / "secret"
    secret.write_text("x", encoding="utf-8")
    entry = {"bytes": 1, "sha256": sha256_of(secret)}
    change(package / "manifest.json", lambda manifest: manifest["files"].update({name: entry}))
    with pytest.raises(ModelPackageError, match=f"'{name}', outside"):
        load_package(package)


def test_a_manifest_that_leaves_the_booster_out_is_refused(package: Path) -> None:
    change(package / "manifest.json", lambda manifest: manifest["files"].pop("model.ubj"))
    with pytest.raises(ModelPackageError, match="does not list 'model.ubj'"):
        load_package(package)


def test_a_model_of_a_newer_xgboost_is_refused(package: Path) -> None:
    change(package / "signature.json", lambda signature: signature.update(xgboost_version="99.0"))
    sign_again(package)
    with pytest.raises(ModelPackageError, match=r"'churn' was written by XGBoost 99\.0"):
        load_package(package)


def test_a_booster_that_is_none_is_refused(package: Path) -> None:
    (package / "model.ubj").write_bytes(b"not a model")
    sign_again(package)
    with pytest.raises(ModelPackageError, match=r"cannot read 'model\.ubj'"):
        load_package(package)


def test_answers_that_differ_from_training_are_refused(package: Path) -> None:
    def edit(golden: dict[str, Any]) -> None:
        golden["outputs"][3]["probabilities"]["yes"] += 2e-6

    change(package / "golden.json", edit)
    sign_again(package)
    with pytest.raises(ModelPackageError, match="'churn' answers its golden rows otherwise"):
        check_golden(load_package(package))


def test_a_label_that_differs_is_refused(package: Path) -> None:
    change(package / "signature.json", lambda signature: signature.update(threshold=1.0))
    sign_again(package)
    with pytest.raises(ModelPackageError, match="golden"):
        check_golden(load_package(package))


def test_the_difference_of_two_answers() -> None:
    assert difference({"value": 1.0}, {"value": 1.5}) == 0.5
    one = {"label": "a", "probabilities": {"a": 0.75, "b": 0.25}}
    assert difference(one, one) == 0
    nan = float("nan")
    assert difference({"value": nan}, {"value": 1.0}) == float("inf")
    half = {"label": "a", "probabilities": {"a": 0.75, "b": nan}}
    assert difference(half, one) == difference(one, half) == float("inf")
    assert difference({"value": 1.0}, one) == float("inf")
    assert difference({**one, "label": "b"}, one) == float("inf")
    assert difference({**one, "probabilities": {"a": 1.0}}, one) == float("inf")


def test_an_answer_that_is_not_a_number_is_refused(package: Path) -> None:
    def edit(golden: dict[str, Any]) -> None:
        golden["outputs"][0]["probabilities"]["yes"] = float("nan")

    change(package / "golden.json", edit)
    sign_again(package)
    with pytest.raises(ModelPackageError, match="golden"):
        check_golden(load_package(package))


def test_the_digest_follows_the_bytes(package: Path) -> None:
    before = load_package(package).digest
    (package / "baseline" / "features.json").write_text("{}", encoding="utf-8")
    sign_again(package)
    assert load_package(package).digest != before


def test_a_package_that_cannot_be_written_leaves_nothing(original: Path, tmp_path: Path) -> None:
    package = load_package(original)
    rows = [{"x": float("nan")}]
    with pytest.raises(ValueError, match="JSON"):
        write_package(tmp_path / "m", package.booster, package.signature, rows, [], {}, {})
    assert list(tmp_path.iterdir()) == []
