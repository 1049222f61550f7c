"""What is kept of what people and mail say: printable, and not without end."""

from __future__ import annotations

from typing import Final

from leadapron.kernel.errors import UsageError

LONGEST: Final = 2000  # characters of a note
LONGEST_NAME: Final = 100


def said(text: str) -> str:
    """``text`` with what is not printable replaced, but for line ends, and cut."""
    lines = text.strip()[: LONGEST + 1].splitlines()
    kept = "\n".join("".join(c if c.isprintable() else "\ufffd" for c in line) for line in lines)
    return kept if len(kept) <= LONGEST else kept[: LONGEST - 1] + "…"


def who(by: str) -> str:
    """The name under which a step is kept. Raises ``UsageError`` for none, or none that can be shown."""
    name = " ".join(by.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"say who does this: a name of at most {LONGEST_NAME} printable characters")
    return name
