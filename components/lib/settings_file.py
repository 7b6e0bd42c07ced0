"""A small YAML file of settings, or its text, as a parameter of a step gives it."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.storage import list_objects, open_binary

MAX_BYTES = 1 << 20


class _Loader(yaml.SafeLoader):
    """YAML without a key that stands twice: of two lists of rules the first would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for name in names:
            if names.count(name) > 1:
                raise yaml.YAMLError(f"'{name}' stands twice,{node.start_mark}. Write it once.")
        return super().construct_mapping(node, deep)


def read_settings(parameter: str, uri: str, known: Sequence[str]) -> Mapping[str, Any]:
    """Read a file of settings; nothing where none is named.

    Args:
        parameter: that names it, for messages.
        uri: a path or URI of one file; or the YAML itself, which has more than one line.
        known: the keys that it may have; the first is what it begins with.

    Raises:
        ConfigurationError: it is no YAML, no mapping, or has another key, or one twice.
        DataError: the file cannot be read.
    """
    if not uri.strip():
        return {}
    text = uri if "\n" in uri.strip() else _text(parameter, uri)
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise ConfigurationError(f"{parameter} is no YAML: {told}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{parameter} holds no mapping; it begins with '{known[0]}:'.")
    check_keys(parameter, value, known)
    return value


def _text(parameter: str, uri: str) -> str:
    found = list_objects(uri)
    if len(found) != 1:
        raise ConfigurationError(f"{parameter} '{uri}' names {len(found)} files; name one.")
    with open_binary(found[0]) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConfigurationError(
            f"{parameter} '{uri}' is larger than {MAX_BYTES:,} bytes; name a file of settings."
        )
    return content.decode("utf-8", errors="replace")


def check_keys(where: str, value: Any, known: Sequence[str]) -> None:
    """Refuse what is no mapping, or has a key that is not known.

    Raises:
        ConfigurationError: it is so; the message says where, and names the nearest key.
    """
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where} is {value!r}; it is a mapping of {', '.join(known)}.")
    for key in value:
        if key not in known:
            raise ConfigurationError(
                f"{where} has '{key}'.{nearest(str(key), known)} It takes {', '.join(known)}."
            )
