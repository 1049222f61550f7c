"""On which line a value of a TOML file stands; tomllib does not tell.

The text has been read by tomllib before, so it is valid, and all that is left to do is to walk over it: comments, the
four kinds of strings, arrays, inline tables, headers with bare, quoted and dotted keys. Places are found by their path,
as in ``("guard", "peer", 0, "may", 1)``. A walk is linear in the text.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import Final

Path = tuple[str | int, ...]

_BLANK: Final = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_SPACES: Final = re.compile(r"[ \t]*")
_KEY_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
# A string of any kind; up to two quotes may stand before the three that end a multi-line one.
_STRING: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}' r"|'''(?:[^']|'(?!''))*'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.S
)
_STRING_OR_COMMENT: Final = re.compile(f"({_STRING.pattern})|#[^\n]*", re.S)
_PLAIN: Final = re.compile(r"[^,\]}#\n]+")  # numbers, booleans, dates
_LONGEST: Final = 200


class Places:
    """``line(path)``: number, from 1, and text. ``text`` is valid TOML; line ends may be LF or CRLF."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._starts = [0, *(found.end() for found in re.finditer("\n", self._text))]
        self._spans: dict[Path, tuple[int, int]] = {}
        self._counts: dict[Path, int] = {}
        self._document()

    def line(self, path: Path) -> tuple[int, str]:
        """Where ``path`` stands, else where the closest thing around it does, else the first line.

        The text of a key is the key with its value, on one line; that of something in a list is its whole line where
        that is another line than the key's, else as the key's.
        """
        while path and path not in self._spans:
            path = path[:-1]
        if not path:
            return 1, self._whole(0)
        start, end = self._spans[path]
        number = bisect_right(self._starts, start)
        if isinstance(path[-1], int) and len(path) > 1 and path[:-1] in self._spans:
            above = self._spans[path[:-1]]
            if bisect_right(self._starts, above[0]) != number:
                return number, self._whole(start)
            if not self._text.startswith(("[[", "{"), start):
                start, end = above
        text = _STRING_OR_COMMENT.sub(r"\1", self._text[start:end])
        return number, _cut(" ".join(part.strip() for part in text.split("\n") if part.strip()))

    def _whole(self, at: int) -> str:
        number = bisect_right(self._starts, at)
        begin = self._starts[number - 1]
        return _cut(self._text[begin:].split("\n", 1)[0].strip())

    def _document(self) -> None:
        text, at, table = self._text, 0, ()
        here: Path = table
        while True:
            at = self._skip(_BLANK, at)
            if at >= len(text):
                return
            start = at
            if text.startswith("[", at):
                several = text.startswith("[[", at)
                parts, at = self._key(at + 1 + several)
                at = text.index("]", at) + 1 + several
                here = self._header(parts, several)
                self._spans.setdefault(here, (start, at))
            else:
                at = self._pair(at, here)

    def _header(self, parts: list[str], several: bool) -> Path:
        path: Path = ()
        for part in parts[:-1]:
            path = (*path, part)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        path = (*path, parts[-1])
        if several:
            count = self._counts.get(path, 0)
            self._counts[path] = count + 1
            return (*path, count)
        return path

    def _pair(self, at: int, above: Path) -> int:
        """``key = value``; gives the end of it."""
        start = at
        parts, at = self._key(at)
        at = self._skip(_SPACES, self._text.index("=", at) + 1)
        path = (*above, *parts)
        end = self._value(at, path)
        self._spans[path] = (start, end)
        for length in range(len(above) + 1, len(path)):  # what a dotted key is in stands where it is first named
            self._spans.setdefault(path[:length], (start, end))
        return end

    def _key(self, at: int) -> tuple[list[str], int]:
        parts: list[str] = []
        while True:
            at = self._skip(_SPACES, at)
            found = _KEY_PART.match(self._text, at)
            assert found is not None
            word = found[0]
            parts.append(next(iter(tomllib.loads(f"{word} = 0"))) if word[0] in "\"'" else word)
            at = self._skip(_SPACES, found.end())
            if not self._text.startswith(".", at):
                return parts, at
            at += 1

    def _value(self, at: int, path: Path) -> int:
        text = self._text
        if text[at] == "[":
            return self._array(at + 1, path)
        if text[at] == "{":
            at = self._skip(_BLANK, at + 1)
            while text[at] != "}":
                at = self._skip(_BLANK, self._pair(at, path))
                if text[at] == ",":
                    at = self._skip(_BLANK, at + 1)
            return at + 1
        found = _STRING.match(text, at) or _PLAIN.match(text, at)
        assert found is not None
        return found.end() if text[at] in "\"'" else at + len(found[0].rstrip())

    def _array(self, at: int, path: Path) -> int:
        index, at = 0, self._skip(_BLANK, at)
        while self._text[at] != "]":
            start = at
            at = self._value(at, (*path, index))
            self._spans[(*path, index)] = (start, at)
            index, at = index + 1, self._skip(_BLANK, at)
            if self._text[at] == ",":
                at = self._skip(_BLANK, at + 1)
        return at + 1

    def _skip(self, what: re.Pattern[str], at: int) -> int:
        found = what.match(self._text, at)
        assert found is not None
        return found.end()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
