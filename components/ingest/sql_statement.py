"""One statement that reads: what else is in a query is refused before it is sent."""

import re

from shipway.components.lib.errors import ConfigurationError

READING = ("SELECT", "WITH", "VALUES", "TABLE", "FROM")
_TOKEN = re.compile(
    r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*`          # texts and names
    | \$(?P<tag>\w*)\$ .*? \$(?P=tag)\$                # texts between dollars
    | --[^\n]* | /\*.*?\*/                             # comments
    | (?P<open>['"`]|/\*)                              # what is opened and not closed
    | (?P<end>;)
    | (?P<word>\w+)
    """,
    re.VERBOSE | re.DOTALL,
)


def one_statement(query: str, scheme: str) -> str:
    """A query without the semicolon at its end.

    Raises:
        ConfigurationError: it holds more than one statement, or one that does not read.
    """
    first, ends = "", []
    text = query.strip()
    for token in _TOKEN.finditer(text):
        if token["open"]:
            raise ConfigurationError(
                f"The query opens {token['open']} at character {token.start() + 1} and never "
                "closes it. Close it."
            )
        if token["end"]:
            ends.append(token.start())
        if ends and token["word"]:
            raise ConfigurationError(
                f"The query holds more than one statement: a ';' stands at character "
                f"{ends[0] + 1}, and '{token['word'][:20]}' after it. Send one SELECT; build what "
                "it reads from in a view."
            )
        first = first or (token["word"] or "").upper()
    if scheme in ("bigquery", "snowflake") and re.search(r"\\['\"`]", text):
        raise ConfigurationError(
            "The query holds a quote behind a backslash, which hides where a text ends. Write the "
            "quote twice, or pass it as CHR(39)."
        )
    if first not in READING:
        raise ConfigurationError(
            f"The query begins with '{first[:20]}', but only a statement that reads is sent: it "
            f"begins with {', '.join(READING[:-1])} or {READING[-1]}."
        )
    return text[: ends[0]].rstrip() if ends else text
