"""The Model artifact: a directory that is served as it stands, and refused when it is not whole.

    model.ubj        the booster
    signature.json   what it takes and answers (`lib/signature.py`)
    golden.json      {"rows": [...], "outputs": [...]}: raw rows and what they got in training
    baseline/        statistics of features and predictions, for the monitor
    manifest.json    how it came about, and the SHA-256 of every other file

The digest of a package is the SHA-256 of its manifest, so that it stands for every byte.
"""

import datetime
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shipway.components import __version__
from shipway.components.lib.errors import ModelPackageError
from shipway.components.lib.files import aside, sha256_of, write_json_aside
from shipway.components.lib.signature import FORMAT, Signature

if TYPE_CHECKING:
    import xgboost as xgb

BOOSTER = "model.ubj"
REQUIRED = (BOOSTER, "signature.json", "golden.json")
MAX_BOOSTER_BYTES = 2 << 30
PARITY = 1e-6


@dataclass(frozen=True)
class ModelPackage:
    """A package whose hashes and versions were found right.

    Attributes:
        signature: what it takes and answers.
        booster: the XGBoost model.
        digest: stands for every byte of the package.
        manifest: how it came about.
        golden: raw rows and the answers they got in training.
        path: its directory.
    """

    signature: Signature
    booster: "xgb.Booster"
    digest: str
    manifest: dict[str, Any]
    golden: dict[str, Any]
    path: Path


def write_package(
    path: Path,
    booster: "xgb.Booster",
    signature: Signature,
    golden_rows: Sequence[Mapping[str, Any]],
    golden_outputs: Sequence[Mapping[str, Any]],
    baseline: Mapping[str, Any],
    manifest_extra: Mapping[str, Any],
) -> str:
    """Write a model package, whole or not at all.

    Args:
        path: the directory to make.
        booster: the model, cut at its best iteration.
        signature: what it takes and answers.
        golden_rows: raw rows as JSON objects.
        golden_outputs: the answers they got, in the same order.
        baseline: JSON values by file name, such as {"features": ..., "prediction": ...}.
        manifest_extra: further entries of the manifest.

    Returns:
        The package's digest.
    """
    import numpy
    import pyarrow
    import xgboost

    with aside(path) as draft:
        (draft / "baseline").mkdir(parents=True)
        booster.set_attr(shipway_plan=json.dumps(signature.plan, sort_keys=True))
        booster.save_model(draft / BOOSTER)
        write_json_aside(draft / "signature.json", signature.to_json())
        golden = {"rows": list(golden_rows), "outputs": list(golden_outputs)}
        write_json_aside(draft / "golden.json", golden)
        for name, value in baseline.items():
            write_json_aside(draft / "baseline" / f"{name}.json", value)
        files = sorted(file for file in draft.rglob("*") if file.is_file())
        manifest = {
            "format": FORMAT,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "model_name": signature.name,
            "code_version": __version__,
            "image": os.environ.get("SHIPWAY_IMAGE", ""),
            "libraries": {
                "numpy": numpy.__version__,
                "pyarrow": pyarrow.__version__,
                "python": platform.python_version(),
                "xgboost": xgboost.__version__,
            },
            **manifest_extra,
            "files": {
                str(file.relative_to(draft)): {
                    "bytes": file.stat().st_size,
                    "sha256": sha256_of(file),
                }
                for file in files
            },
        }
        write_json_aside(draft / "manifest.json", manifest)
    return sha256_of(path / "manifest.json")


def load_manifest(path: Path) -> dict[str, Any]:
    """Read a package's manifest; needs no XGBoost.

    Raises:
        ModelPackageError: it is missing, unreadable, or of another format.
    """
    file = Path(path) / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT and isinstance(manifest["files"], dict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelPackageError(
            f"'{path}' is no model package: its manifest.json cannot be read ({error}). Give the "
            "directory that train_model wrote."
        ) from error
    if not known:
        raise ModelPackageError(
            f"The model package '{path}' has format {manifest['format']!r}; this version reads "
            f"{FORMAT}. Use the version of Shipway that wrote it."
        )
    return dict(manifest)


def verify_files(path: Path) -> str:
    """Check every file of a package against its manifest; needs no XGBoost.

    Returns:
        The package's digest.

    Raises:
        ModelPackageError: a file is missing, changed, or lies outside the package.
    """
    root = Path(path)
    files = load_manifest(root)["files"]
    for name in REQUIRED:
        if name not in files:
            raise ModelPackageError(
                f"The manifest of '{root}' does not list '{name}'. Train the model again."
            )
    for name, entry in files.items():
        file = root / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ModelPackageError(f"The manifest of '{root}' names '{name}', outside of it.")
        if not file.is_file():
            raise ModelPackageError(
                f"'{name}' is missing from the model package '{root}'. Download it again."
            )
        if file.stat().st_size != entry["bytes"] or sha256_of(file) != entry["sha256"]:
            raise ModelPackageError(
                f"'{name}' of the model package '{root}' is not what was written in training: its "
                "SHA-256 differs. Download it again; if that does not help, train it again."
            )
    return sha256_of(root / "manifest.json")


def load_package(path: Path) -> ModelPackage:
    """Load a package after its hashes and versions were found right.

    Raises:
        ModelPackageError: a file is missing or changed, the format is another one, or the model
            was written by a newer XGBoost, which this one would load and score wrongly.
    """
    import xgboost

    root = Path(path)
    manifest = load_manifest(root)
    trees = root / BOOSTER
    if trees.is_file() and trees.stat().st_size > MAX_BOOSTER_BYTES:  # not even hashed
        raise ModelPackageError(
            f"'{BOOSTER}' of '{root}' is larger than {MAX_BOOSTER_BYTES >> 30} GiB. Train fewer or "
            "smaller trees."
        )
    digest = verify_files(root)
    signature = Signature.from_json(_json(root / "signature.json"))
    written, here = signature.xgboost_version, xgboost.__version__
    if _version(written) > _version(here):
        raise ModelPackageError(
            f"Model '{signature.name}' was written by XGBoost {written}; XGBoost {here} would load "
            "it and score wrongly. Serve it with the image of the version that trained it"
            f" ({manifest.get('image') or 'see manifest.json'})."
        )
    try:
        booster = xgboost.Booster(model_file=root / BOOSTER)
    except xgboost.core.XGBoostError as error:
        raise ModelPackageError(
            f"XGBoost {here} cannot read '{BOOSTER}' of '{root}': {str(error).splitlines()[0]}. "
            "Train the model again."
        ) from error
    return ModelPackage(signature, booster, digest, manifest, _json(root / "golden.json"), root)


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ModelPackageError(
            f"'{path}' is not JSON ({error}). Train the model again."
        ) from error


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def check_golden(package: ModelPackage) -> float:
    """Score the golden rows and hold the answers against those of training.

    Returns:
        The largest absolute difference.

    Raises:
        ModelPackageError: an answer differs by more than 1e-6, or a label is another one.
    """
    from shipway.components.lib.scoring import Scorer

    scorer = Scorer(package.booster, package.signature)
    transform = scorer.plan.row_transformer()
    worst = 0.0
    for row, expected in zip(package.golden["rows"], package.golden["outputs"], strict=True):
        answer = scorer.outputs(scorer.score_matrix(transform(row)[None, :]))[0]
        worst = max(worst, difference(answer, expected))
    if worst > PARITY:
        raise ModelPackageError(
            f"Model '{package.signature.name}' answers its golden rows otherwise than in training: "
            f"they differ by {worst:.3g}. Serve it with the library versions of its manifest.json."
        )
    return worst


def difference(answer: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """How far two answers are apart: infinite when the labels differ or a number is missing."""
    if answer.get("label") != expected.get("label") or set(answer) != set(expected):
        return math.inf
    if "value" in expected:
        return _distance(answer["value"], expected["value"])
    ours, theirs = answer["probabilities"], expected["probabilities"]
    if set(ours) != set(theirs):
        return math.inf
    return max(_distance(ours[name], theirs[name]) for name in theirs)


def _distance(ours: float, theirs: float) -> float:
    distance = abs(float(ours) - float(theirs))
    return math.inf if math.isnan(distance) else distance  # max() would pass over NaN
