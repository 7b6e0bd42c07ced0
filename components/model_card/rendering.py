"""A card as a page and as Markdown, of the same sections."""

from collections.abc import Mapping, Sequence
from typing import Any

from shipway.components.lib.cells import chip, clipped, is_number, number_text
from shipway.components.lib.reports import Report
from shipway.components.model_card.sections import CONTROLS, VERDICT, Section

ESCAPES = {ord(sign): f"\\{sign}" for sign in "\\`*_[]|#"} | {
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord("&"): "&amp;",
}


def lead_of(card: Mapping[str, Any]) -> str:
    """Whether it may ship, and why or why not."""
    decided, found = card["gates"]["decision"], card["evaluation"]
    main = found["main_metric"]
    metric = found["metrics"].get(main)
    said = f"{main} {metric['value']:.4g} on {found['rows']:,} test rows. " if metric else ""
    rules, failed = decided["rules"], len(decided["failures"])
    if failed:
        return f"It may not ship: it breaks {failed} of {rules} rules. {said}".strip()
    return f"It may ship: it breaks none of {rules} rules. {said}".strip()


def reasons_of(card: Mapping[str, Any]) -> list[str]:
    """The rules that it breaks, or else those that warn."""
    decided = card["gates"]["decision"]
    return list(decided["failures"] or decided["warnings"])


def as_report(card: Mapping[str, Any], sections: Sequence[Section]) -> Report:
    """The card as a page."""
    verdict = "blessed" if card["gates"]["decision"]["verdict"] == "pass" else "rejected"
    title = f"Model card of {card['model']['name']}"
    report = Report(title, lead_of(card), verdict, reasons_of(card))
    for section in sections:
        if section.heading == CONTROLS:
            report.end_paper()
        if section.columns:
            rows = [
                [_shown(name, value) for name, value in zip(section.columns, row, strict=True)]
                for row in section.rows
            ]
            report.add_table(section.heading, section.columns, rows, section.note)
        else:
            report.add_text(section.heading, "\n".join(f"- {line}" for line in section.lines))
    return report


def _shown(column: str, value: Any) -> Any:
    return chip(value) if column == VERDICT else value


def as_markdown(card: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """The card as Markdown, with tables as GitHub reads them; nothing in it becomes markup."""
    parts = [f"# Model card of {_escaped(card['model']['name'])}", _escaped(lead_of(card))]
    if reasons := reasons_of(card):
        parts.append("\n".join(f"- {_escaped(reason)}" for reason in reasons))
    for section in sections:
        parts.append(f"## {section.heading}")
        if section.note:
            parts.append(_escaped(section.note))
        if section.columns:
            lines = [_line(section.columns), "|" + " --- |" * len(section.columns)]
            parts.append("\n".join(lines + [_line(row) for row in section.rows]))
        else:
            parts.append("\n".join(f"- {_escaped(line)}" for line in section.lines))
    return "\n\n".join(parts) + "\n"


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(_escaped(_text(cell)) for cell in cells) + " |"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return number_text(float(value)) if is_number(value) else str(value)


def _escaped(text: object) -> str:
    clean = " ".join(clipped(str(text), 2_000).split())
    return clean.translate(ESCAPES)
