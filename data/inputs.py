"""Texts to annotate: files, folders, JSONL and standard input as documents, one problem for each that cannot be read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from data.formats import Problem, not_utf8, parse_line
from data.schema import Document


def read_inputs(inputs: Sequence[str]) -> Iterator[Document | Problem]:
    """Unannotated documents of text files, folders of .txt and .jsonl, JSONL files, or standard input if none is named.

    Annotations in JSONL are dropped; id, date and unknown fields are kept. A missing id is the path of a text file
    (relative to the folder that was named) or ``path:line``; an id that occurs twice is a problem of the second.
    """
    seen: dict[str, str] = {}
    for file, line, document in _documents(inputs):
        if isinstance(document, Document):
            if document.id in seen:
                message = f"this id occurs already in {seen[document.id]}; give it its own"
                yield Problem(file, line, message, document.id)
                continue
            seen[document.id] = f"{file}:{line}" if line else file
            document = replace(document, sentences=(), mentions=(), relations=())
        yield document


def _documents(inputs: Iterable[str]) -> Iterator[tuple[str, int, Document | Problem]]:
    if not inputs:
        yield "standard input", 0, _text(sys.stdin.buffer.read(), "standard input", "stdin")
    for name in inputs:
        root = Path(name)
        if root.is_dir():
            files = sorted(p for p in root.rglob("*") if p.suffix in (".txt", ".jsonl") and p.is_file())
            if not files:
                yield name, 0, Problem(name, 0, "the folder holds no .txt or .jsonl file")
            for file in files:
                yield from _file(file, file.relative_to(root).as_posix())
        else:
            yield from _file(root, name)


def _file(file: Path, name: str) -> Iterator[tuple[str, int, Document | Problem]]:
    try:
        with open(file, "rb") as handle:
            if file.suffix == ".jsonl":
                yield from _lines(handle, str(file), name)
            else:
                yield str(file), 0, _text(handle.read(), str(file), name)
    except OSError as error:
        yield str(file), 0, Problem(str(file), 0, f"cannot be read: {error.strerror or error}")


def _lines(handle: BinaryIO, file: str, name: str) -> Iterator[tuple[str, int, Document | Problem]]:
    for line, raw in enumerate(handle, 1):
        if raw.strip():
            yield file, line, parse_line(raw, file=file, line=line, name=name)


def _text(raw: bytes, file: str, name: str) -> Document | Problem:
    try:
        return Document(name, raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Problem(file, 0, not_utf8(error))
