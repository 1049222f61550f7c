"""The little that a notice's text can express, and how it becomes the lines of an e-mail.

A notice is kept as people edit it: plain text, one paragraph a line, blocks apart by an empty line. ``# `` begins a
heading, ``- `` or ``1. `` an item, four spaces a line that stays as it is (a command, a setting). An e-mail wraps it at
72 columns; a letter is set by its blocks. Nothing in it is ever read as markup of another language.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

WIDTH: Final = 72  # RFC 5322 §2.1.1: SHOULD be no more than 78, and answers quote with "> "
VERBATIM: Final = "    "
LONGEST: Final = 40_000  # characters of a notice
_ITEM: Final = re.compile(r"(-|[0-9]{1,2}\.) +")

Kind = Literal["heading", "paragraph", "item", "verbatim"]


class Block(Struct, frozen=True):
    """``mark``: of an item, its hyphen or number. ``after``: an empty line stands before it."""

    kind: Kind
    text: str
    mark: str = ""
    after: bool = True


def blocks(text: str) -> Iterator[Block]:
    """The text's blocks in order; lines of a verbatim block stay together."""
    after, kept = True, list[str]()
    for line in [*text.split("\n"), ""]:
        if line.startswith(VERBATIM) and line.strip():
            kept.append(line.removeprefix(VERBATIM).rstrip())
            continue
        if kept:
            yield Block("verbatim", "\n".join(kept), after=after)
            kept, after = [], False
        if not line.strip():
            after = True
            continue
        item = _ITEM.match(line)
        if line.startswith("# "):
            yield Block("heading", line[2:].strip(), after=True)
        elif item is not None:
            yield Block("item", line[item.end() :].strip(), item[1], after)
        else:
            yield Block("paragraph", line.strip(), after=after)
        after = False


def wrapped(text: str) -> str:
    """The text as an e-mail shows it. Words longer than a line (addresses of pages) are not broken."""
    lines: list[str] = []
    for block in blocks(text):
        if block.after and lines:
            lines.append("")
        if block.kind == "verbatim":
            lines += [VERBATIM + line for line in block.text.split("\n")]
        elif block.kind == "heading":
            lines += [*_fold(block.text), "-" * min(len(block.text), WIDTH)]
        elif block.kind == "item":
            lines += _fold(block.text, block.mark + " ")
        else:
            lines += _fold(block.text)
    return "\n".join(lines) + "\n"


def tidy(text: str) -> str:
    """Line ends of one kind, no trailing spaces, never two empty lines, and nothing that is not to be seen.

    What is not printable becomes U+FFFD, but for the spaces that typography uses (U+00A0, U+202F): escape sequences,
    marks that turn the reading direction round, line separators.
    """
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        kept = "".join(c if c.isprintable() or c in "\u00a0\u202f" else "\ufffd" for c in line.replace("\t", VERBATIM))
        if kept.strip() or (lines and lines[-1]):
            lines.append(kept.rstrip())
    return "\n".join(lines).strip("\n") + "\n"


def plain(markdown: str) -> str:
    """A remedy's step, which is Markdown, as such text: fenced blocks become verbatim ones, marks are left out."""
    lines, fenced = list[str](), False
    for line in markdown.split("\n"):
        if line.startswith("```"):
            fenced = not fenced
            lines.append("")
        elif fenced:
            lines.append(VERBATIM + line)
        else:
            lines.append(re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"\1", line.replace("`", "")).strip())
    return "\n".join(lines).strip("\n")


def _fold(text: str, mark: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [mark.rstrip()]
