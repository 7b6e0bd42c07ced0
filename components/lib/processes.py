"""Processes of this machine, as the kernel knows them."""

from pathlib import Path


def process_start(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
