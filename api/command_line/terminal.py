"""The two outputs of every command: results on stdout, progress and complaints on stderr, so a pipe
gets results alone.
"""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

out = Console(highlight=False)
progress = Console(stderr=True, highlight=False)


def complain(sentence: str) -> None:
    """Prints one clear sentence about what is wrong and what to do."""
    progress.print(f"[bold red]campaigns:[/] {escape(sentence)}", soft_wrap=True)
