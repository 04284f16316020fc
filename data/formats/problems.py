"""What can be wrong with a document that is read or written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A document that could not be read, or what is wrong in one. ``line`` counts from 1; 0 is the whole file."""

    file: str
    line: int
    message: str
    id: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {f'[{self.id}] ' if self.id else ''}{self.message}"


class FormatError(ValueError):
    """A document that a format cannot hold, or a text that is not in the format. ``line`` counts from 1, 0: no line."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def not_utf8(error: UnicodeDecodeError) -> str:
    """What to do about bytes that are not UTF-8."""
    return f"not UTF-8 at byte {error.start}; convert it first, for example iconv -f windows-1256 -t utf-8"
