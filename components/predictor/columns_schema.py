"""What the columns of a model may hold, as JSON Schema: rows by name, rows in order, columns."""

from typing import Any

from shipway.components.predictor.columns import InputColumn, Schema

Json = dict[str, Any]

FORMS = {
    "text_number": "A number, also as text; thousands may be separated by commas.",
    "boolean": "A word of yes or no, such as 'yes', 'no', 'true' or 'off'.",
    "datetime": "A date or a time in ISO 8601.",
    "clock": "A time of day, such as '13:45' or '1:45 pm'.",
    "duration": "A duration, such as '1h 30m', '00:12:30' or 'PT90S'.",
    "text": "Short text.",
    "category": "A category.",
    "category_many": "A category.",
    "ordered": "A category.",
}
MAX_EXAMPLES = 20


def cell(column: InputColumn, refuse_unknown: bool) -> Json:
    """The schema of one cell.

    Args:
        column: its column.
        refuse_unknown: whether a category that training did not see is refused.
    """
    hhmm = column.kind == "clock" and column.dtype == "number"
    types = ["integer" if column.whole or hhmm else column.dtype]
    if column.words is not None:
        types += ["boolean" if kind is bool else "number" for kind in column.words.also]
    types = sorted(set(types)) + (["null"] if column.nullable else [])
    schema: Json = {"type": types if len(types) > 1 else types[0]}
    sentences = [FORMS[column.kind]] if column.dtype == "string" and column.kind in FORMS else []
    if column.whole:
        sentences = ["A whole number, which stands for a category."]
    elif hhmm:
        sentences = ["A time of day as a whole number hhmm, such as 1345."]
    details = column.details
    if "minimum" in details:
        schema["x-training-range"] = [details["minimum"], details["maximum"]]
        sentences.append(f"Training saw {details['minimum']:g} to {details['maximum']:g}.")
    if categories := details.get("categories"):
        if refuse_unknown:
            schema["enum"] = [*categories, None] if column.nullable else categories
        else:
            schema["examples"] = categories[:MAX_EXAMPLES]
            sentences.append("One that training did not see is taken for a rare one.")
    if column.nullable:
        sentences.append("Null where it is not known.")
    if sentences:
        schema["description"] = " ".join(sentences)
    return schema


def schemas_of(schema: Schema, example: Json, max_rows: int, refuse_unknown: bool) -> Json:
    """The schemas Row, ListRow and Columns.

    Args:
        schema: the columns of the model.
        example: a row that it answers.
        max_rows: most rows in a request.
        refuse_unknown: whether a category that training did not see is refused.
    """
    cells = {column.name: cell(column, refuse_unknown) for column in schema.columns}
    references = {name: {"$ref": reference(name)} for name in cells}
    unused = {
        name: {"description": "It is accepted and not used."}
        for name in sorted(schema.known - set(schema.names))
    }
    names = list(cells)
    by_name = {"type": "object", "required": names, "additionalProperties": False}
    columns = {
        name: {"type": "array", "items": inner, "minItems": 1, "maxItems": max_rows}
        for name, inner in references.items()
    }
    return {
        **{f"column.{_safe(name)}": inner for name, inner in cells.items()},
        "Row": {
            "description": "A row by column name.",
            **by_name,
            "properties": references | unused,
            "examples": [example],
        },
        "ListRow": {
            "description": f"A row as values in this order: {', '.join(names)}.",
            "type": "array",
            "prefixItems": list(references.values()),
            "items": False,
            "minItems": len(names),
            "examples": [[example[name] for name in names]],
        },
        "Columns": {
            "description": "A list of values for each column, all of the same length.",
            **by_name,
            "properties": columns | unused,
            "examples": [{name: [example[name]] for name in names}],
        },
    }


def reference(name: str) -> str:
    """Where the schema of a column stands in the document."""
    return f"#/components/schemas/column.{_safe(name)}"


def _safe(name: str) -> str:
    """A column name as a key of `components`, which takes letters, digits, '.', '-' and '_'."""
    plain = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in name)
    return plain if plain == name else f"{plain}.{name.encode().hex()}"
