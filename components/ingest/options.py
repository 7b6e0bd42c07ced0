"""How text is read: the options of the parameter `read_options`."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass

from shipway.components.lib.errors import ConfigurationError, nearest

# What each option says, for the message that refuses another one.
MEANINGS = {
    "delimiter": "the sign between fields; 'tab' for a tabulator",
    "quote": "the sign around fields; 'none' for no such sign",
    "escape": "the sign before a sign that stands for itself",
    "encoding": "of the text, by its name, such as latin-1, windows-1252 or utf-16",
    "decimal": "the sign before decimals",
    "thousands": "the sign between groups of three digits",
    "date_format": "such as %d.%m.%Y; several parted by |",
    "header": "yes or no: whether the first record names the columns",
    "column_names": "in place of the header's, parted by commas",
    "comment": "lines that begin with it are left out",
    "skip_rows": "lines before the header to leave out",
    "true_words": "words for true, parted by |",
    "false_words": "words for false, parted by |",
}
_OF_FORMAT = {"csv": tuple(MEANINGS), "jsonl": ("encoding",)}
_NAMES = {"tab": "\t", "\\t": "\t", "space": " ", "semicolon": ";", "comma": ",", "pipe": "|"}


@dataclass(frozen=True)
class TextRules:
    """What the text of a cell means.

    Attributes:
        decimal: the sign before decimals.
        thousands: the sign between groups of three digits; empty for none.
        date_formats: of times that are not in ISO 8601.
        true_words: in lower case, beside true.
        false_words: in lower case, beside false.
    """

    decimal: str = "."
    thousands: str = ""
    date_formats: tuple[str, ...] = ()
    true_words: tuple[str, ...] = ()
    false_words: tuple[str, ...] = ()


PLAIN = TextRules()


@dataclass(frozen=True)
class ReadOptions:
    """How a text object is read.

    Attributes:
        encoding: name of a codec; empty for UTF-8.
        delimiter: empty to tell it from the header.
        quote: empty for none.
        escape: empty for none.
        has_header: whether the first record names the columns.
        column_names: in place of the header's; empty for the header's own.
        comment: beginning of the lines to leave out; empty for none.
        skip_rows: lines before the header.
        rules: what the text of a cell means.
    """

    encoding: str = ""
    delimiter: str = ""
    quote: str = '"'
    escape: str = ""
    has_header: bool = True
    column_names: tuple[str, ...] = ()
    comment: str = ""
    skip_rows: int = 0
    rules: TextRules = PLAIN


def parse_options(given: Mapping[str, str], data_format: str) -> ReadOptions:
    """Read the parameter `read_options`.

    Raises:
        ConfigurationError: an option is unknown, is of another format, or makes no sense.
    """
    known = _OF_FORMAT.get(data_format, ())
    for name in given:
        if name not in MEANINGS:
            raise ConfigurationError(
                f"read_options has no '{name}'.{nearest(name, MEANINGS)} It has "
                f"{', '.join(MEANINGS)}; cells that are missing are named by missing_values."
            )
        if name not in known:
            raise ConfigurationError(
                f"read_options['{name}'] says nothing about {data_format}"
                f"{': that takes ' + ', '.join(known) if known else ''}. Take it out."
            )
    texts = {name: str(value) for name, value in given.items()}
    options = ReadOptions(
        encoding=_encoding(texts.get("encoding", "")),
        delimiter=_sign(texts, "delimiter"),
        quote="" if texts.get("quote") == "none" else _sign(texts, "quote") or '"',
        escape=_sign(texts, "escape"),
        has_header=_yes(texts, "header"),
        column_names=tuple(
            name.strip() for name in texts.get("column_names", "").split(",") if name.strip()
        ),
        comment=texts.get("comment", ""),
        skip_rows=_count(texts, "skip_rows"),
        rules=TextRules(
            decimal=_sign(texts, "decimal") or ".",
            thousands=_sign(texts, "thousands"),
            date_formats=_formats(texts),
            true_words=_words(texts, "true_words"),
            false_words=_words(texts, "false_words"),
        ),
    )
    _check_together(options)
    return options


def _sign(texts: Mapping[str, str], name: str) -> str:
    sign = _NAMES.get(texts.get(name, ""), texts.get(name, ""))
    if name in texts and (len(sign) != 1 or not sign.isascii() or sign in "\r\n"):
        raise ConfigurationError(
            f"read_options['{name}']={texts[name]!r} must be one ASCII sign: {MEANINGS[name]}."
        )
    return sign


def _encoding(name: str) -> str:
    if not name:
        return ""
    try:
        found = codecs.lookup(name)
        "a".encode(found.name)  # refuses codecs that make no text of bytes, such as hex
    except LookupError as error:
        raise ConfigurationError(
            f"read_options['encoding']={name!r} is no text encoding that is known; name one such "
            "as utf-8, latin-1, windows-1252, utf-16 or shift_jis."
        ) from error
    return "" if found.name in ("utf-8", "utf-8-sig", "ascii") else found.name


def _yes(texts: Mapping[str, str], name: str) -> bool:
    answer = texts.get(name, "yes").strip().lower()
    if answer not in ("yes", "no", "true", "false"):
        raise ConfigurationError(f"read_options['{name}']={texts[name]!r} must be yes or no.")
    return answer in ("yes", "true")


def _count(texts: Mapping[str, str], name: str) -> int:
    text = texts.get(name, "0").strip()
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ConfigurationError(f"read_options['{name}']={texts[name]!r} must be 0 or more lines.")
    return int(text)


def _words(texts: Mapping[str, str], name: str) -> tuple[str, ...]:
    words = texts.get(name, "").split("|")
    return tuple(word.strip().lower() for word in words if word.strip())


def _formats(texts: Mapping[str, str]) -> tuple[str, ...]:
    formats = tuple(one.strip() for one in texts.get("date_format", "").split("|") if one.strip())
    for one in formats:
        if not re.search("%[yY]", one) or re.fullmatch("(%[a-zA-Z])+", one):
            raise ConfigurationError(
                f"read_options['date_format'] has {one!r}, which must name the year (%Y) and hold "
                "signs between its parts, as %d.%m.%Y does: digits alone are whole numbers."
            )
    return formats


def _check_together(options: ReadOptions) -> None:
    rules = options.rules
    signs = {"delimiter": options.delimiter, "quote": options.quote, "decimal": rules.decimal}
    signs |= {"thousands": rules.thousands, "escape": options.escape}
    if signs["decimal"] == "." and rules.thousands != ".":
        del signs["decimal"]
    for pair in (("delimiter", "quote"), ("decimal", "thousands"), ("delimiter", "escape")):
        values = [signs.get(name) for name in pair]
        if values[0] and values[0] == values[1]:
            raise ConfigurationError(
                f"read_options gives {values[0]!r} to both {pair[0]} and {pair[1]}. Give them "
                "different signs."
            )
    both = set(rules.true_words) & set(rules.false_words)
    if both or bool(rules.true_words) != bool(rules.false_words):
        raise ConfigurationError(
            "read_options needs both true_words and false_words, with no word in both"
            f"{': ' + ', '.join(sorted(both)) if both else ''}."
        )
