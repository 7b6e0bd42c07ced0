"""A V2 request around its tensors: id, parameters and the outputs that are asked for."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shipway.components.predictor.datatypes import Tensor
from shipway.components.predictor.questions import NO_WISHES, Options, read_options
from shipway.components.predictor.refusals import Refusal, listed, shown

EXAMPLE = (
    'send {"inputs": [{"name": "column", "datatype": "FP64", "shape": [n], "data": [...]}, ...]}'
)
EMPTY = memoryview(b"")
EXPLAINING = frozenset({"explain", "explain_class", "top_features"})


class Wishes(NamedTuple):
    """What the parameters of a request and its outputs ask for.

    Attributes:
        options: what every protocol has.
        outputs: names of the outputs; empty for all.
        binary: the outputs that are sent as bytes.
        null_text: the text that stands for null in tensors of texts, which have none.
    """

    options: Options = NO_WISHES
    outputs: Sequence[str] = ()
    binary: frozenset[str] = frozenset()
    null_text: str | None = None


NOTHING = Wishes()


class Envelope(NamedTuple):
    """A V2 request that was taken apart; its tensors were not looked into."""

    tensors: list[Tensor]
    request_id: str = ""
    wishes: Wishes = NOTHING


def read_envelope(
    payload: Any, task: str, names: Sequence[str], tail: memoryview = EMPTY
) -> Envelope:
    """Take a parsed request apart.

    Args:
        payload: its JSON.
        task: of the model.
        names: of the model's outputs.
        tail: the bytes after the JSON.

    Raises:
        Refusal: it is no V2 request.
    """
    if type(payload) is not dict:
        raise Refusal(
            f"The body must be a JSON object; {shown(payload)} came: {EXAMPLE}.", cause="shape"
        )
    inputs = payload.get("inputs")
    if type(inputs) is not list or not inputs:
        came = shown(inputs) if "inputs" in payload else "none"
        raise Refusal(f"'inputs' must be a list of tensors; {came} came: {EXAMPLE}.", cause="shape")
    request_id = payload.get("id")
    if request_id is not None and type(request_id) is not str:
        raise Refusal(f"'id' must be text; {shown(request_id)} came.", cause="parameters")
    tensors = _tensors(inputs, tail)
    parameters, outputs = payload.get("parameters"), payload.get("outputs")
    wishes = NOTHING
    if parameters is not None or outputs is not None:
        wishes = read_wishes(parameters, outputs, task, names)
    return Envelope(tensors, request_id or "", wishes)


def _tensors(inputs: list[Any], tail: memoryview) -> list[Tensor]:
    tensors, used = [], 0
    for index, item in enumerate(inputs):
        if type(item) is not dict:
            raise Refusal(
                f"Input {index} must be an object; {shown(item)} came: {EXAMPLE}.", cause="shape"
            )
        name, datatype = item.get("name"), item.get("datatype")
        if type(name) is not str:
            came = shown(name) if "name" in item else "none"
            raise Refusal(
                f"Input {index} must have a 'name', which is text; {came} came.", cause="shape"
            )
        if type(datatype) is not str:
            came = shown(datatype) if "datatype" in item else "none"
            raise Refusal(
                f"Column '{name[:60]}' must have a 'datatype', as text; {came} came.",
                cause="datatype",
            )
        data = item.get("data")
        if "parameters" in item:
            size = _binary_size(item["parameters"], name)
            if size is not None:
                if data is not None:
                    raise Refusal(
                        f"Column '{name[:60]}' has 'data' and 'binary_data_size'; send one.",
                        cause="shape",
                    )
                data, used = tail[used : used + size], used + size
                if used > len(tail):
                    raise _too_short(name, size, len(data))
        tensors.append(Tensor(name, datatype.upper(), item.get("shape"), data))
    if used < len(tail):
        raise Refusal(
            f"{len(tail) - used:,} bytes are left over after the tensors: their "
            f"'binary_data_size' adds up to {used:,}, and {len(tail):,} bytes follow the JSON.",
            cause="shape",
        )
    return tensors


def _binary_size(parameters: Any, name: str) -> int | None:
    if parameters is None:
        return None
    if type(parameters) is not dict:
        raise Refusal(
            f"'parameters' of column '{name[:60]}' must be an object; {shown(parameters)} came.",
            cause="parameters",
        )
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        raise Refusal(
            f"'binary_data_size' of column '{name[:60]}' must be a whole number of 0 or more; "
            f"{shown(size)} came.",
            cause="parameters",
        )
    return size


def _too_short(name: str, size: int, left: int) -> Refusal:
    return Refusal(
        f"Column '{name[:60]}' says {size:,} bytes, and {left:,} are left in the body after the "
        "JSON, whose length stands in the header 'Inference-Header-Content-Length'.",
        cause="shape",
    )


def read_wishes(parameters: Any, outputs: Any, task: str, names: Sequence[str]) -> Wishes:
    """What a request asks for beside its rows.

    Raises:
        Refusal: a parameter or an output is not known, or is not of its type.
    """
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, Mapping):
        raise Refusal(
            f"'parameters' must be an object; {shown(parameters)} came.", cause="parameters"
        )
    rest = dict(parameters)
    all_binary = _boolean(rest.pop("binary_data_output", False), "binary_data_output")
    null_text = rest.pop("null_text", None)
    if null_text is not None and type(null_text) is not str:
        raise Refusal(f"'null_text' must be text; {shown(null_text)} came.", cause="parameters")
    if not rest.keys().isdisjoint(EXPLAINING):
        raise Refusal(
            "V2 has no explanations; ask for them by V1, at the path ':explain'.",
            cause="parameters",
        )
    options = read_options(rest, task) if rest else NO_WISHES
    asked = _asked(outputs, names, all_binary)
    binary = [name for name, as_bytes in asked.items() if as_bytes]
    if not asked and all_binary:
        binary = list(names)
    return Wishes(options, list(asked), frozenset(binary), null_text)


def _boolean(value: Any, name: str) -> bool:
    if type(value) is not bool:
        raise Refusal(f"'{name}' must be true or false; {shown(value)} came.", cause="parameters")
    return value


def _asked(outputs: Any, names: Sequence[str], all_binary: bool) -> dict[str, bool]:
    """The outputs that are asked for, and whether as bytes."""
    if outputs is None:
        return {}
    if not isinstance(outputs, list):
        raise Refusal(f"'outputs' must be a list; {shown(outputs)} came.", cause="parameters")
    asked: dict[str, bool] = {}
    for index, output in enumerate(outputs):
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str):
            raise Refusal(
                f"Output {index} must be an object with a 'name', which is text.",
                cause="parameters",
            )
        if name not in names:
            raise Refusal(
                f"There is no output '{name[:60]}'; this model gives {listed(list(names))}.",
                cause="parameters",
            )
        if name in asked:
            raise Refusal(f"Output '{name}' is asked for twice.", cause="duplicate")
        parameters = output.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise Refusal(f"'parameters' of output '{name}' must be an object.", cause="parameters")
        strange = [key for key in parameters if key != "binary_data"]
        if strange:
            raise Refusal(
                f"There is no parameter {listed(strange)} of an output; it may have 'binary_data'.",
                cause="parameters",
            )
        asked[name] = _boolean(parameters.get("binary_data", all_binary), "binary_data")
    return asked
