from pathlib import Path

import pytest
import yaml

from shipway.components.lib.errors import ConfigurationError
from shipway.pipelines.specs import CompiledPipeline, check_arguments, load_compiled

KINDS = {
    "uri": ("STRING", None),
    "rows": ("NUMBER_INTEGER", 0),
    "share": ("NUMBER_DOUBLE", 0.2),
    "flag": ("BOOLEAN", False),
    "names": ("LIST", []),
    "steps": ("LIST", [100]),
    "bounds": ("STRUCT", {}),
}


@pytest.fixture
def pipeline() -> CompiledPipeline:
    parameters = {
        name: {"parameterType": kind}
        | ({"defaultValue": default, "isOptional": True} if default is not None else {})
        for name, (kind, default) in KINDS.items()
    }
    spec = {"root": {"inputDefinitions": {"parameters": parameters}}}
    return CompiledPipeline("tiny", Path("tiny.yaml"), spec)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rows", "12", 12),
        ("rows", 12.0, 12),
        ("share", "0.5", 0.5),
        ("flag", "True", True),
        ("flag", "no", False),
        ("names", "a, b", ["a", "b"]),
        ("names", '["a, b", "c"]', ["a, b", "c"]),
        ("names", [], []),
        ("steps", "10,50,100", [10, 50, 100]),
        ("steps", [10.0, 100], [10, 100]),
        ("bounds", "auc=0.8,f1=0.5", {"auc": 0.8, "f1": 0.5}),
        ("bounds", '{"auc": 0.8}', {"auc": 0.8}),
    ],
)
def test_text_becomes_the_type_of_the_parameter(
    pipeline: CompiledPipeline, name: str, text: object, value: object
) -> None:
    assert check_arguments(pipeline, {"uri": "x", name: text})[name] == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows", "twelve"),
        ("rows", "1.5"),
        ("rows", True),
        ("share", "nan"),
        ("share", "much"),
        ("flag", "perhaps"),
        ("names", "[1,"),
        ("names", {"a": 1}),
        ("steps", "a"),
        ("steps", "10.5,100"),
        ("bounds", "auc"),
        ("bounds", "auc=high"),
        ("uri", ["a"]),
    ],
)
def test_another_type_is_refused_by_name(
    pipeline: CompiledPipeline, name: str, text: object
) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}' must be .*--set {name}="):
        check_arguments(pipeline, {"uri": "x", name: text})


def test_all_that_is_wrong_is_said_at_once(pipeline: CompiledPipeline) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_arguments(pipeline, {"shares": "1", "rows": "x"})
    message = str(caught.value)
    assert "no parameter 'shares'. Did you mean 'share'?" in message
    assert "'rows' must be a whole number" in message
    assert "'uri' is required" in message


def test_a_pipeline_is_found_by_name_or_path(tmp_path: Path) -> None:
    assert load_compiled("train-and-deploy").name == "train-and-deploy"
    assert load_compiled("train_and_deploy").path.name == "train_and_deploy.yaml"
    with pytest.raises(ConfigurationError, match="Did you mean 'train-and-deploy'"):
        load_compiled("train-and-deplyo")
    broken = tmp_path / "broken.yaml"
    for text in ("", "a: [", yaml.safe_dump({"a": 1})):
        broken.write_text(text)
        with pytest.raises(ConfigurationError, match="not a compiled pipeline"):
            load_compiled(str(broken))


def test_the_steps_are_in_the_order_of_the_run() -> None:
    steps = load_compiled("train-and-deploy").steps
    assert steps == [
        "ingest-table",
        "validate-table",
        "split-table",
        "fit-features",
        "tune-model",
        "train-model",
        "evaluate-model",
        "bless-model",
        "explain-model",
        "write-model-card",
        "register-model",
        "deploy-model",
        "probe-endpoint",
        "release-model",
        "send-alert",
    ]
