"""The OpenAPI document: true of this model, valid, and what a client made of it would send."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from shipway.components.lib.model_package import load_package
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.openapi import document

load_all_checks()
# A schema cannot say all, such as that columns are of one length: that is refused with a 400.
CHECKED = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name[:8] != "positive"]


def schema_of(described, name):
    return {"$ref": f"#/components/schemas/{name}", "components": described["components"]}


def fits(described, name, value):
    return Draft202012Validator(schema_of(described, name)).is_valid(value)


def call_every_operation(url, examples):
    """Requests that fit the document and requests that do not, each answer held against it."""
    described = schemathesis.openapi.from_url(f"{url}/openapi.json")
    for found in described.get_all_operations():
        operation = found.ok()
        modes = [GenerationMode.POSITIVE]
        modes += [GenerationMode.NEGATIVE] * (operation.method == "post")
        for mode in modes:

            @settings(
                max_examples=examples if operation.method == "post" else 2,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
                derandomize=True,
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def run(case):
                case.call_and_validate(base_url=url, checks=CHECKED)

            run()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_document_is_valid_and_its_examples_are_answered(models, task, serving):
    model = models[task]
    with serving(model.path) as served:
        described = served.get("/openapi.json").json()
        schemathesis.openapi.from_dict(described).validate()
        schemas = described["components"]["schemas"]
        for schema in schemas.values():
            Draft202012Validator.check_schema(schema)
        row = schemas["Row"]["examples"][0]
        assert row == {name: model.rows[0][name] for name in model.names}
        listed, columns = schemas["ListRow"]["examples"][0], schemas["Columns"]["examples"][0]
        plain = served.predict([row]).json()
        for body in ({"instances": [listed]}, {"inputs": columns}):
            assert fits(described, "PredictRequest", body)
            assert served.post("/v1/models/trips:predict", json=body).json() == plain
        assert fits(described, "PredictResponse", plain)
        why = served.post("/v1/models/trips:explain", json={"instances": [row]}).json()
        assert fits(described, "ExplainResponse", why)
        tensors = served.infer(schemas["InferRequest"]["examples"][0])
        assert tensors.status_code == 200 and fits(described, "InferResponse", tensors.json())
        assert fits(described, "Error", served.predict([]).json())


def test_columns_are_described_as_training_saw_them(binary):
    schemas = document(Engine(load_package(binary.path)))["components"]["schemas"]
    assert list(schemas["Row"]["required"]) == binary.names
    assert schemas["column.fare"]["type"] == "number"
    assert schemas["column.miles"]["type"] == ["number", "null"]
    assert schemas["column.fare"]["x-training-range"] == [
        min(row["fare"] for row in binary.rows),
        max(row["fare"] for row in binary.rows),
    ]
    assert schemas["column.company"]["examples"] == ["City Service", "Flash Cab", "Sun Taxi"]
    refusing = document(Engine(load_package(binary.path), refuse_unknown=True))
    assert refusing["components"]["schemas"]["column.company"]["enum"] == [
        "City Service",
        "Flash Cab",
        "Sun Taxi",
        None,
    ]


@pytest.mark.parametrize(
    "change",
    [{"fare": "1"}, {"fare": None}, {"company": 3}, {"shared": 1}, {"more": 1}, {"day": None}],
)
def test_what_the_server_refuses_the_schema_refuses(server, binary, change):
    described = server.get("/openapi.json").json()
    row = {name: binary.rows[0][name] for name in binary.names}
    assert fits(described, "Row", row) and server.predict([row]).status_code == 200
    row |= change
    assert not fits(described, "Row", row) and server.predict([row]).status_code == 400


def test_a_column_name_of_any_letters_has_a_schema_of_its_own(binary):
    from shipway.components.predictor.columns_schema import reference

    names = ["a b", "a_b", "a/b", "größe", "a.b"]
    keys = {reference(name).removeprefix("#/components/schemas/") for name in names}
    assert len(keys) == len(names)
    assert all(key.replace(".", "").replace("_", "").isalnum() and key.isascii() for key in keys)


def test_requests_made_of_the_document_get_the_answers_it_describes(server):
    call_every_operation(server.url, 12)
    assert "Traceback" not in server.text()


@pytest.mark.slow
def test_many_requests_made_of_the_document_get_the_answers_it_describes(models, serving):
    for task in models:
        with serving(models[task].path) as served:
            call_every_operation(served.url, 40)
            assert "Traceback" not in served.text()
