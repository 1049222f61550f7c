"""The little Markdown that remedies are written in, as HTML: paragraphs, fenced code, ``code`` and *emphasis*.

Remedies are ours, yet everything goes through escaping like a stranger's string: a configuration to be copied holds
``<`` and ``&`` too.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from leadapron.watch.report.text import clean

_INLINE = re.compile(r"`([^`]+)`|\*([^*\s](?:[^*]*[^*\s])?)\*")


def inline(source: str) -> Markup:
    """One line: what stands between backticks is code, between asterisks emphasis."""
    parts: list[Markup] = []
    end = 0
    for found in _INLINE.finditer(source):
        parts.append(escape(clean(source[end : found.start()])))
        code, emphasis = found.groups()
        tag = "code" if code is not None else "em"
        parts.append(Markup(f"<{tag}>{{}}</{tag}>").format(clean(code if code is not None else emphasis)))
        end = found.end()
    parts.append(escape(clean(source[end:])))
    return Markup("").join(parts)


def step(source: str) -> Markup:
    """A step: its lines run together into paragraphs, fenced blocks stay as they are."""
    parts: list[Markup] = []
    paragraph: list[str] = []
    fenced: list[str] | None = None
    for line in source.splitlines():
        if fenced is not None:
            if line.startswith("```"):
                parts.append(_block(fenced))
                fenced = None
            else:
                fenced.append(clean(line))
            continue
        if line.strip() and not line.startswith("```"):
            paragraph.append(line)
            continue
        parts += _paragraph(paragraph)
        paragraph = []
        if line.startswith("```"):
            fenced = []
    parts += _paragraph(paragraph)
    if fenced:  # a fence that nobody closed
        parts.append(_block(fenced))
    return Markup("").join(parts)


def _paragraph(lines: list[str]) -> list[Markup]:
    return [Markup("<p>{}</p>").format(inline(" ".join(lines)))] if lines else []


def _block(lines: list[str]) -> Markup:
    return Markup("<pre><code>{}</code></pre>").format("\n".join(lines))
