"""Files and folders of documents in any of our formats."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from data.formats import brat, conll, doccano, label_studio
from data.formats.jsonl import from_json, parse_line, to_json
from data.formats.limits import PARTS, describe, reduce
from data.formats.markup import from_markup, to_markup
from data.formats.problems import FormatError, Problem, not_utf8
from data.schema import Document

Read = Callable[[Path, str], Iterator[tuple[int, Document | Problem]]]
Write = Callable[[Sequence[Document], Path], None]


@dataclass(frozen=True)
class Format:
    """One format: how a file is read and a path written, and what it can hold.

    Attributes:
        read: Documents of one file with their lines; its second argument is the file's name, for ids.
        write: Writes documents to a file, or to a folder if ``folder``.
        suffix: Of the files that are read.
        holds: Those of ``limits.PARTS`` that it can hold.
        folder: Whether each document has files of its own.
        lost: What it loses of a document beside parts.
    """

    read: Read
    write: Write
    suffix: str
    holds: frozenset[str] = frozenset(PARTS)
    folder: bool = False
    lost: Callable[[Document], Counter[str]] = lambda _: Counter()


# Reading --------------------------------------------------------------------------------------------------------------


def _read_markup(file: Path, name: str) -> Iterator[tuple[int, Document | Problem]]:
    yield 0, from_markup(file.read_bytes().decode("utf-8-sig"), id=name)


def _read_lines(
    file: Path, name: str, *, parse: Callable[..., Document] = from_json
) -> Iterator[tuple[int, Document | Problem]]:
    with open(file, "rb") as handle:
        for line, raw in enumerate(handle, 1):
            if raw.strip():
                yield line, parse_line(raw, file=str(file), line=line, name=name, parse=parse)


def _read_brat(file: Path, name: str) -> Iterator[tuple[int, Document | Problem]]:
    yield 0, brat.read_brat(file, name)


def _read_tasks(file: Path, name: str) -> Iterator[tuple[int, Document | Problem]]:
    try:
        tasks = json.loads(file.read_bytes().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise FormatError(f"broken JSON ({error.msg})", error.lineno) from error
    if not isinstance(tasks, list):
        raise FormatError("not a list of Label Studio tasks")
    for number, task in enumerate(tasks, 1):
        try:
            yield 0, label_studio.from_task(task, id=f"{name}:{number}")
        except FormatError as error:
            yield 0, Problem(str(file), 0, f"task {number}: {error}")


def _read_columns(file: Path, name: str) -> Iterator[tuple[int, Document | Problem]]:
    yield from conll.from_conll(file.read_bytes().decode("utf-8-sig"), id=name)


# Writing --------------------------------------------------------------------------------------------------------------


def _write_each(documents: Sequence[Document], folder: Path, *, suffix: str, render: Callable[[Document], str]) -> None:
    for document in documents:
        place = PurePosixPath(document.id.removesuffix(".txt"))
        if not document.id or place.is_absolute() or ".." in place.parts:
            raise FormatError(f"document {document.id!r}: its id cannot be the name of a file; give it another")
        file = folder / f"{place}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(render(document).encode())


def _write_brat(documents: Sequence[Document], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "annotation.conf").write_text(brat.annotation_conf(), encoding="utf-8")
    _write_each(documents, folder, suffix=".txt", render=lambda document: document.text)
    _write_each(documents, folder, suffix=".ann", render=brat.to_brat)


def _write_lines(documents: Sequence[Document], file: Path, *, render: Callable[[Document], dict[str, Any]]) -> None:
    lines = (json.dumps(render(document), ensure_ascii=False) + "\n" for document in documents)
    file.write_bytes("".join(lines).encode())


def _write_tasks(documents: Sequence[Document], file: Path) -> None:
    tasks = [label_studio.to_task(document) for document in documents]
    file.write_bytes((json.dumps(tasks, ensure_ascii=False, indent=1) + "\n").encode())
    file.with_suffix(".xml").write_text(label_studio.label_config(), encoding="utf-8")


def _write_columns(documents: Sequence[Document], file: Path) -> None:
    file.write_bytes("".join(conll.to_conll(document) for document in documents).encode())


def _lost_columns(document: Document) -> Counter[str]:
    return Counter({"id": 1, "spacing of a text": int(conll.spacing_lost(document))})


FORMATS: dict[str, Format] = {
    "markup": Format(
        _read_markup, partial(_write_each, suffix=".txt", render=to_markup), ".txt",
        frozenset({"relations", "factuality values", "arguments", "header fields"}), folder=True,
    ),
    "jsonl": Format(_read_lines, partial(_write_lines, render=to_json), ".jsonl"),
    "brat": Format(_read_brat, _write_brat, ".ann", brat.HOLDS, folder=True),
    "label-studio": Format(_read_tasks, _write_tasks, ".json", label_studio.HOLDS),
    "doccano": Format(
        partial(_read_lines, parse=doccano.from_doccano), partial(_write_lines, render=doccano.to_doccano), ".jsonl",
        doccano.HOLDS,
    ),
    "conll": Format(_read_columns, _write_columns, ".conll", conll.HOLDS, lost=_lost_columns),
}  # fmt: skip
"""Format by name. ``.jsonl`` is ours unless doccano is named."""


def read_documents(
    path: str | os.PathLike[str], *, format: str | None = None, validate: bool = True
) -> Iterator[Document | Problem]:
    """Documents of a file or folder; a ``Problem`` for each that cannot be used.

    A missing id is the file's relative path, or ``path:line`` where a file holds several. An id that occurs twice is a
    problem of the second. With ``validate`` every violation of the schema is a problem, and the document is left out.

    Args:
        path: A file, or a folder that is searched with all its subfolders.
        format: One of ``FORMATS``; without it .jsonl is ours, .json Label Studio's, .conll columns, .ann brat's, and
            .txt markup unless an .ann stands beside it.
        validate: Check against the schema.

    Raises:
        FileNotFoundError: There is no such path.
        ValueError: A file whose suffix says nothing and no ``format``.
    """
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such file or folder")
    seen: dict[str, str] = {}
    for file, read in _files(root, format):
        name = file.relative_to(root).as_posix() if root.is_dir() else file.name
        for line, document in _read_file(file, name, read):
            if isinstance(document, Problem):
                yield document
                continue
            place = f"{file}:{line}" if line else str(file)
            if document.id in seen:
                yield Problem(str(file), line, f"this id occurs already in {seen[document.id]}; give it its own", document.id)
                continue
            seen[document.id] = place
            problems = document.validate() if validate else []
            for problem in problems:
                yield Problem(str(file), line, problem.removeprefix(f"document {document.id}: "), document.id)
            if not problems:
                yield document


def _files(root: Path, format: str | None) -> Iterator[tuple[Path, Read]]:
    if format is not None:
        chosen = FORMATS[format]
        files = sorted(p for p in root.rglob(f"*{chosen.suffix}") if p.is_file()) if root.is_dir() else [root]
        yield from ((file, chosen.read) for file in files)
        return
    known = {form.suffix: form.read for form in reversed(FORMATS.values())}
    files = sorted(p for p in root.rglob("*") if p.suffix in known and p.is_file()) if root.is_dir() else [root]
    for file in files:
        if file.suffix not in known:
            raise ValueError(f"{file}: unknown suffix; known are {', '.join(sorted(known))}, or name the format")
        if file.suffix != ".txt" or not file.with_suffix(".ann").is_file():
            yield file, known[file.suffix]


def _read_file(file: Path, name: str, read: Read) -> Iterator[tuple[int, Document | Problem]]:
    try:
        yield from read(file, name)
    except UnicodeDecodeError as error:
        yield 0, Problem(str(file), 0, not_utf8(error))
    except FormatError as error:
        yield error.line, Problem(str(file), error.line, str(error))
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, JSON a thousand levels deep
        yield 0, Problem(str(file), 0, str(error))


def write_documents(
    documents: Iterable[Document], path: str | os.PathLike[str], *, format: str | None = None, lossy: bool = False
) -> list[Problem]:
    """Writes documents in a format, a file (or, for markup and brat, a folder) that must not exist yet.

    Returns:
        A problem for each document that is left out: it violates the format, or the format cannot hold all of it. With
        ``lossy`` what the format can hold is written, and the problem says what was lost.

    Raises:
        FileExistsError: There is something at ``path`` already.
        ValueError: No ``format`` is named and the path's suffix says nothing.
    """
    path = Path(path)
    name = format or format_of(path)
    form = FORMATS[name]
    if path.exists() and (not path.is_dir() or not form.folder or any(path.iterdir())):
        raise FileExistsError(f"{path}: exists already; name a new file or folder")
    kept = []
    problems = []
    for document in documents:
        reduced, lost = reduce(document, form.holds)
        lost += form.lost(reduced)
        if lost:
            message = f"{name} cannot hold {describe(lost)} of it"
            if not lossy:
                problems.append(Problem(str(path), 0, f"{message}; --lossy writes the rest", document.id))
                continue
            problems.append(Problem(str(path), 0, f"{message}; the rest was written", document.id))
        if name == "markup":
            try:
                to_markup(reduced)
            except FormatError as error:
                problems.append(Problem(str(path), 0, str(error).removeprefix(f"document {document.id}: "), document.id))
                continue
        kept.append(reduced)
    if kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        form.write(kept, path)
    return problems


def format_of(path: Path) -> str:
    """The format that a path to write stands for.

    Raises:
        ValueError: Its suffix says nothing.
    """
    if not path.suffix:
        return "markup"
    names = [name for name, form in FORMATS.items() if form.suffix == path.suffix and not form.folder]
    if not names:
        raise ValueError(f"{path}: no format has the suffix {path.suffix}; name it: {', '.join(FORMATS)}")
    return names[0]
