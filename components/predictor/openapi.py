"""The OpenAPI document of one model: its own columns, classes and an example row."""

from typing import Any
from urllib.parse import quote

from shipway.components import __version__
from shipway.components.predictor.columns_schema import Json, schemas_of
from shipway.components.predictor.datatypes import CELLS
from shipway.components.predictor.engine import Engine

ERRORS = {
    "400": "The request is not as the model takes it; the error names the row and the column.",
    "404": "There is no such model or version here.",
    "405": "The method is another one.",
    "408": "The request came too slowly.",
    "413": "The body is too large, or holds too many rows.",
    "415": "The body is not JSON in UTF-8.",
    "500": "The server failed; its log says why.",
    "503": "The server has too much to do, or is about to end; try again.",
    "504": "The answer took too long.",
}
SCORE = (
    "A score to sort the rows of one query by, the highest first. It compares rows within a query "
    "only, and is no probability; the query itself need not be sent."
)


def document(engine: Engine) -> Json:
    """The OpenAPI 3.1 document of a model server.

    Args:
        engine: its model.
    """
    schemas = schemas_of(engine.schema, engine.example, engine.max_rows, engine.refuse_unknown)
    schemas |= _requests(engine) | _answers(engine) | _tensors(engine)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Model {engine.name}",
            "version": engine.version or engine.digest[:12],
            "summary": f"Predictions of a {engine.task} model by KServe's V1 and V2 protocols.",
            "description": f"The model package has the SHA-256 digest {engine.digest}. Made by "
            f"Shipway {__version__}.",
        },
        "tags": [{"name": "predictions"}, {"name": "model"}, {"name": "server"}],
        "paths": _model_paths(engine) | _server_paths(engine),
        "components": {"schemas": schemas},
    }


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: list[str], **properties: Json) -> Json:
    return {"type": "object", "required": required, "properties": properties}


def _number(description: str, **bounds: float) -> Json:
    return {"type": "number", "description": description, **bounds}


def _parameters(engine: Engine) -> Json:
    wishes: Json = {
        "explain": {"type": "boolean", "description": "Add contributions to each answer."},
        "top_features": {
            "type": "integer",
            "minimum": 0,
            "description": "The largest contributions to give; 0 for all.",
        },
    }
    if not engine.numeric:
        wishes["top_k"] = {
            "type": "integer",
            "minimum": 0,
            "description": "The most probable classes to give, in descending order; 0 for all.",
        }
    if engine.task == "binary":
        wishes["threshold"] = {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": 1,
            "description": "In place of the model's own, for the labels of this request.",
        }
    if engine.task == "multiclass":
        wishes["explain_class"] = {
            "enum": [*engine.classes, None],
            "description": "The class to explain; that of the answer by default.",
        }
    return {"type": "object", "properties": wishes, "additionalProperties": False}


def _requests(engine: Engine) -> Json:
    many: Json = {"type": "array", "minItems": 1, "maxItems": engine.max_rows}
    rows = [many | {"items": _reference(name)} for name in ("Row", "ListRow")]
    wishes = _reference("Parameters")
    by_row = _object(["instances"], instances={"anyOf": rows}, parameters=wishes)
    by_column = _object(["inputs"], inputs=_reference("Columns"), parameters=wishes)
    return {
        "Parameters": _parameters(engine),
        "PredictRequest": {
            "oneOf": [body | {"additionalProperties": False} for body in (by_row, by_column)],
            "examples": [{"instances": [engine.example]}],
        },
        "Error": {
            **_object(["error"], error={"type": "string"}),
            "additionalProperties": False,
            "description": "What came, what was expected and what to do.",
        },
    }


def _answers(engine: Engine) -> Json:
    why: Json = {
        "base_value": _number("The margin of a row of which nothing is known."),
        "contributions": {
            "type": "object",
            "description": "What each column adds to the base value: exact TreeSHAP, summed over "
            "the features of a column. With the base value, all of them add up to the margin.",
            "properties": {name: {"type": "number"} for name in engine.schema.names},
            "additionalProperties": False,
        },
    }
    if engine.numeric:
        answer: Json = {"value": _number(SCORE if engine.task == "ranking" else "The prediction.")}
        if engine.response.coverage:
            answer["interval"] = {
                "type": "array",
                "items": {"type": "number"},
                "minItems": 2,
                "maxItems": 2,
                "description": f"Holds the truth in {engine.response.coverage:.0%} of rows like "
                "those of training.",
            }
    else:
        share = _number("The probability of a class.", minimum=0, maximum=1)
        answer = {
            "label": {"enum": engine.labels},
            "probabilities": {
                "type": "object",
                "properties": dict.fromkeys(engine.classes, share),
                "additionalProperties": False,
            },
        }
        why["explained_class"] = {
            "enum": engine.labels,
            "description": "The class whose margin the contributions add up to: the positive one "
            "of two; of several, the one that is the answer or that was asked for.",
        }
    about: Json = {
        "model_name": {"const": engine.name},
        "model_version": {"const": engine.version},
        "model_digest": {"const": engine.digest},
        "space": {
            "const": engine.space,
            "description": "What contributions add up to: log-odds as the trees give them, before "
            "calibration, the value, or its logarithm.",
        },
        "threshold": _number("From which probability on the positive class is the label."),
    }
    told = ["model_name", "model_digest"] + ["model_version"] * bool(engine.version)
    told += ["threshold"] * (engine.task == "binary")
    predictions = {"type": "array", "items": _reference("Prediction")}
    explanations = {"type": "array", "items": _reference("Explanation")}
    return {
        "Prediction": {**_object(list(answer), **answer, **why), "additionalProperties": False},
        "Explanation": {
            **_object([*answer, *why], **answer, **why),
            "additionalProperties": False,
        },
        "PredictResponse": _object(["predictions", *told], predictions=predictions, **about),
        "ExplainResponse": _object(
            ["explanations", "space", *told], explanations=explanations, **about
        ),
    }


def _tensors(engine: Engine) -> Json:
    values: Json = {"type": ["number", "string", "boolean", "null", "array"]}
    shape: Json = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    tensor = _object(
        ["name", "datatype", "shape"],
        name={"type": "string"},
        datatype={"enum": list(CELLS)},
        shape=shape,
        data={"type": "array", "items": values},
        parameters={"type": "object"},
    )
    request = _object(
        ["inputs"],
        id={"type": ["string", "null"]},
        inputs={"type": "array", "minItems": 1, "items": tensor},
        outputs={"type": ["array", "null"], "items": _object(["name"], name={"type": "string"})},
        parameters={"type": ["object", "null"]},
    )
    example = [
        {
            "name": told["name"],
            "datatype": told["datatype"],
            "shape": [1],
            "data": [engine.example[told["name"]]],
        }
        for told in engine.input_types()
    ]
    output = _object(
        ["name", "datatype", "shape"],
        name={"type": "string"},
        datatype={"enum": ["BYTES", "FP64"]},
        shape=shape,
        data={"type": "array"},
        parameters={"type": "object"},
    )
    return {
        "InferRequest": {
            **request,
            "description": "One tensor a column, of shape [n] or [n, 1]; where all columns are "
            "numbers, also one of shape [n, columns].",
            "examples": [{"inputs": example}],
        },
        "InferResponse": _object(
            ["model_name", "outputs"],
            model_name={"const": engine.name},
            model_version={"const": engine.version},
            id={"type": "string"},
            parameters={"type": "object"},
            outputs={"type": "array", "items": output},
        ),
    }


def _post(summary: str, request: str, response: str, **more: Json) -> Json:
    return {
        "post": {
            "tags": ["predictions"],
            "summary": summary,
            "operationId": response.removesuffix("Response").lower(),
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _reference(request)}} | more,
            },
            "responses": _responses(_reference(response), list(ERRORS)),
        }
    }


def _get(tag: str, summary: str, schema: Json, errors: list[str], media: str = "") -> Json:
    return {
        "get": {
            "tags": [tag],
            "summary": summary,
            "responses": _responses(schema, errors, media or "application/json"),
        }
    }


def _responses(schema: Json, errors: list[str], media: str = "application/json") -> Json:
    error = {"application/json": {"schema": _reference("Error")}}
    told = {status: {"description": ERRORS[status], "content": error} for status in errors}
    return {"200": {"description": "Answered.", "content": {media: {"schema": schema}}}} | told


def _model_paths(engine: Engine) -> Json:
    name = quote(engine.name)
    metadata = _object(
        ["name", "versions", "platform", "inputs", "outputs"],
        name={"const": engine.name},
        inputs={"type": "array", "minItems": len(engine.schema.names)},
    )
    ready = _object(["name", "ready"], name={"const": engine.name}, ready={"type": "boolean"})
    models = _object(["models"], models={"type": "array", "items": {"type": "string"}})
    predict = _post("Predict rows.", "PredictRequest", "PredictResponse")
    explain = _post("Predict rows and say why.", "PredictRequest", "ExplainResponse")
    return {
        f"/v1/models/{name}:predict": predict,
        f"/v1/models/{name}:explain": explain,
        f"/v2/models/{name}/infer": _post("Predict tensors.", "InferRequest", "InferResponse"),
        f"/v2/models/{name}": _get("model", "What the model takes and gives.", metadata, []),
        f"/v2/models/{name}/ready": _get("model", "Whether it is ready.", ready, ["503"]),
        f"/v1/models/{name}": _get("model", "Whether it is ready.", ready, ["503"]),
        "/v1/models": _get("model", "The models of this server: one.", models, []),
    }


def _server_paths(engine: Engine) -> Json:
    about = _object(["name", "version"], name={"type": "string"}, version={"type": "string"})
    live = _object(["live"], live={"type": "boolean"})
    ready = _object(["ready"], ready={"type": "boolean"})
    anything: dict[str, Any] = {"type": "object"}
    return {
        "/v2": _get("server", "What this server is.", about, []),
        "/v2/health/live": _get("server", "Whether it lives.", live, []),
        "/v2/health/ready": _get("server", "Whether it takes requests.", ready, ["503"]),
        "/metrics": _get("server", "Prometheus metrics.", {"type": "string"}, [], "text/plain"),
        "/openapi.json": _get("server", "This document.", anything, []),
    }
