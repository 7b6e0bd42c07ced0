"""Compiled pipelines: what YAML there is, what it asks for, and whether the values given fit."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shipway.components.lib.errors import ConfigurationError, nearest

COMPILED = Path(__file__).parent / "compiled"
KINDS = {
    "STRING": "text",
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "LIST": "a list",
    "STRUCT": "a mapping",
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a compiled pipeline.

    Attributes:
        name: as it stands in the run form.
        kind: KFP's parameter type, a key of `KINDS`.
        required: whether a run must set it.
        default: its value when it is not set.
        description: one line from the pipeline's docstring.
    """

    name: str
    kind: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True)
class CompiledPipeline:
    """A compiled pipeline and the file it was read from."""

    name: str
    path: Path
    spec: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters of the run form, in alphabetical order, as KFP writes them."""
        definitions = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        return {
            name: Parameter(
                name,
                value["parameterType"],
                not value.get("isOptional", False) and "defaultValue" not in value,
                value.get("defaultValue"),
                value.get("description", ""),
            )
            for name, value in definitions.items()
        }

    @property
    def images(self) -> list[str]:
        """The distinct image references of the steps."""
        executors = self.spec["deploymentSpec"]["executors"].values()
        return sorted({executor["container"]["image"] for executor in executors})

    @property
    def steps(self) -> list[str]:
        """Names of the steps in the order they would run, exit handlers last."""
        return _steps(self.spec, self.spec["root"]["dag"])


def _steps(spec: dict[str, Any], dag: dict[str, Any]) -> list[str]:
    tasks = dag["tasks"]
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        for upstream in tasks[name].get("dependentTasks", []):
            visit(upstream)
        ordered.append(name)

    for name in sorted(tasks, key=lambda name: "strategy" in tasks[name].get("triggerPolicy", {})):
        visit(name)
    steps: list[str] = []
    for name in ordered:
        component = spec["components"][tasks[name]["componentRef"]["name"]]
        steps += _steps(spec, component["dag"]) if "dag" in component else [name]
    return steps


def load_compiled(name_or_path: str) -> CompiledPipeline:
    """Find a compiled pipeline by its name, or by the path of its YAML.

    Raises:
        ConfigurationError: there is no such pipeline, or the file is no compiled pipeline.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = COMPILED / f"{name_or_path.replace('-', '_')}.yaml"
    known = [file.stem.replace("_", "-") for file in sorted(COMPILED.glob("*.yaml"))]
    if not path.is_file():
        raise ConfigurationError(
            f"There is no pipeline '{name_or_path}'; there is {', '.join(known) or 'none'}."
            f"{nearest(name_or_path, known)}"
        )
    try:
        spec = next(iter(yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader)))
        return CompiledPipeline(spec["pipelineInfo"]["name"], path, spec)
    except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise ConfigurationError(
            f"'{path}' is not a compiled pipeline ({error}); write it with `shipway compile`."
        ) from error


def check_arguments(pipeline: CompiledPipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what the user gave into arguments of the right types.

    Args:
        pipeline: the compiled pipeline.
        given: values by parameter name; text is read as the parameter's type.

    Returns:
        The arguments to submit, of the given names only.

    Raises:
        ConfigurationError: an unknown name, a value of another type, or a required parameter that
            is missing; the message names all of them.
    """
    parameters = pipeline.parameters
    problems: list[str] = []
    arguments: dict[str, Any] = {}
    for name, value in given.items():
        if name not in parameters:
            hint = nearest(name, parameters) or f" It has {', '.join(parameters)}."
            problems.append(f"Pipeline '{pipeline.name}' has no parameter '{name}'.{hint}")
            continue
        try:
            arguments[name] = _typed(parameters[name], value)
        except ValueError:
            problems.append(
                f"Parameter '{name}' must be {KINDS[parameters[name].kind]}; "
                f"{value!r} is not. Example: {_example(parameters[name])}"
            )
    for parameter in parameters.values():
        if parameter.required and arguments.get(parameter.name) in (None, ""):
            problems.append(
                f"Parameter '{parameter.name}' is required: "
                f"{parameter.description or KINDS[parameter.kind]} Set it with "
                f"--set {parameter.name}=..."
            )
    if problems:
        raise ConfigurationError("\n".join(problems))
    return arguments


def _example(parameter: Parameter) -> str:
    examples = {
        "NUMBER_INTEGER": "10",
        "NUMBER_DOUBLE": "0.2",
        "BOOLEAN": "true",
        "LIST": 'tips,fare or ["tips", "fare"]',
        "STRUCT": 'auc=0.8 or {"auc": 0.8}',
        "STRING": "text",
    }
    example = "10,50,100" if _lists_numbers(parameter) else examples[parameter.kind]
    return f"--set {parameter.name}={example}"


def _typed(parameter: Parameter, value: Any) -> Any:
    readers: dict[str, Callable[[Any], Any]] = {
        "STRING": _text,
        "NUMBER_INTEGER": _integer,
        "NUMBER_DOUBLE": _number,
        "BOOLEAN": _boolean,
        "LIST": _list,
        "STRUCT": _mapping,
    }
    read = readers[parameter.kind](value)
    return [_integer(one) for one in read] if _lists_numbers(parameter) else read


def _lists_numbers(parameter: Parameter) -> bool:
    """The YAML does not say what a list is of; one whose default holds numbers is of numbers."""
    default = parameter.default
    if parameter.kind != "LIST" or not default:
        return False
    return all(isinstance(one, (int, float)) for one in default)


def _text(value: Any) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    raise ValueError


def _integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).lower() not in words:
        raise ValueError
    return words[str(value).lower()]


def _list(value: Any) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = json.loads(value)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        raise ValueError
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value)
    if isinstance(value, str):
        pairs = [part.split("=", 1) for part in value.split(",") if part.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError
        value = {name.strip(): float(number) for name, number in pairs}
    if not isinstance(value, dict):
        raise ValueError
    return value
