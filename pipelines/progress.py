"""What a run looks like while it runs: a live table on a terminal, a line an event elsewhere."""

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from shipway.pipelines.engine import Step

MARKS = {
    "waiting": ("-", "dim"),
    "running": (">", "cyan"),
    "done": ("ok", "green"),
    "failed": ("failed", "bold red"),
    "skipped": ("skipped", "dim"),
    "stopped": ("stopped", "yellow"),
}
GOOD = {"pass", "blessed", "promoted"}
BAD = {"fail", "rejected", "rolled_back"}


def verdict_text(step: Step) -> Text:
    """A step's verdict in the colour of its meaning."""
    if step.verdict in GOOD:
        return Text(step.verdict, "green")
    if step.verdict in BAD:
        return Text(step.verdict.replace("_", " "), "bold red")
    return Text(step.verdict if len(step.verdict) < 48 else "", "dim")


class ProgressView:
    """Shows the steps of a run; a context manager."""

    def __init__(self, console: Console, steps: list[Step]) -> None:
        """Make a view of some steps."""
        self._console = console
        self._steps = steps
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(self, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> "ProgressView":
        """Begin to show."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Stop, and leave the table as it is at the end."""
        if self._console.is_terminal:
            self._live.stop()
            self._console.print(self._table())

    def on_change(self, step: Step) -> None:
        """A step has begun or ended."""
        if self._console.is_terminal:
            return
        if step.state == "running":
            self._console.print(f"  {step.name} ...")
        else:
            verdict = f"  {step.verdict}" if step.verdict in GOOD | BAD else ""
            self._console.print(f"  {step.name} {step.state} {step.seconds:.1f} s{verdict}")

    def __rich__(self) -> RenderableType:
        """The table as it stands now."""
        return Group(self._table())

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("step", min_width=18)
        table.add_column("state", min_width=8)
        table.add_column("seconds", justify="right")
        table.add_column("verdict")
        for step in self._steps:
            word, style = MARKS[step.state]
            mark: RenderableType = Text(word, style)
            seconds = step.seconds
            if step.state == "running":
                mark, seconds = self._spinner, time.monotonic() - step.started
            shown = f"{seconds:.1f}" if seconds else ""
            name = Text(step.name, "dim" if step.state in ("waiting", "skipped") else "")
            table.add_row(name, mark, shown, verdict_text(step))
        return table
