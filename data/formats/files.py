"""Files and folders of documents in any of our formats."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Format:
    """One format: how a file is read and a document rendered, and what it can hold.

    Attributes:
        read: Documents of one file with their lines; its second argument is the file's name, for ids.
        render: The parts of one document, by suffix: files of its own in a folder, or one part of a common file.
        suffix: Of the files that are read.
        holds: Those of ``limits.PARTS`` that it can hold.
        folder: Whether each document has files of its own.
        beside: Files that stand with the documents: in the folder, or named like the common file with this suffix.
        frame: Begin, separator and end of a common file.
        lost: What it loses of a document beside parts.
        line: Of a file with one document, a pattern of the line on which an entity or relation stands.
    """

    read: Read
    render: Callable[[Document], dict[str, str]]
    suffix: str
    holds: frozenset[str] = frozenset(PARTS)
    folder: bool = False
    beside: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    frame: tuple[str, str, str] = ("", "", "")
    lost: Callable[[Document], Counter[str]] = lambda _: Counter()
    line: Mapping[str, str] = field(default_factory=dict)


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
    for line, rows in conll.split_documents(file.read_bytes().decode("utf-8-sig")):
        try:
            yield line, conll.from_conll(rows, id=f"{name}:{line}")
        except FormatError as error:
            yield line, Problem(str(file), line + error.line - 1, str(error), f"{name}:{line}")


# Writing --------------------------------------------------------------------------------------------------------------


def _line(record: dict[str, Any]) -> dict[str, str]:
    return {"": json.dumps(record, ensure_ascii=False) + "\n"}


def _lost_columns(document: Document) -> Counter[str]:
    return Counter({"id": 1, "spacing of a text": int(conll.spacing_lost(document))})


FORMATS: dict[str, Format] = {
    "markup": Format(
        _read_markup, lambda document: {".txt": to_markup(document)}, ".txt",
        frozenset({"relations", "factuality values", "arguments", "header fields"}), folder=True,
        line={"entity": r"S.*\[{0}:", "relation": r"{0} {1}>{2}(\s|$)"},
    ),
    "jsonl": Format(_read_lines, lambda document: _line(to_json(document)), ".jsonl"),
    "brat": Format(
        _read_brat, lambda document: {".txt": document.text, ".ann": brat.to_brat(document)}, ".ann", brat.HOLDS,
        folder=True, beside={"annotation.conf": brat.annotation_conf},
        line={"entity": r"T{0}\t", "relation": r"R\d+\t{0} Arg1:T{1} Arg2:T{2}(\s|$)"},
    ),
    "label-studio": Format(
        _read_tasks, lambda document: {"": json.dumps(label_studio.to_task(document), ensure_ascii=False, indent=1)}, ".json",
        label_studio.HOLDS, beside={".xml": label_studio.label_config}, frame=("[\n", ",\n", "\n]\n"),
    ),
    "doccano": Format(
        partial(_read_lines, parse=doccano.from_doccano), lambda document: _line(doccano.to_doccano(document)), ".jsonl",
        doccano.HOLDS,
    ),
    "conll": Format(
        _read_columns, lambda document: {"": conll.to_conll(document)}, ".conll", conll.HOLDS, lost=_lost_columns
    ),
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
    for file, form in _files(root, format):
        name = file.relative_to(root).as_posix() if root.is_dir() else file.name
        for line, document in _read_file(file, name, form.read):
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
                problem = problem.removeprefix(f"document {document.id}: ")
                yield Problem(str(file), line or _line_of(problem, file, form), problem, document.id)
            if not problems:
                yield document


def _line_of(problem: str, file: Path, form: Format) -> int:
    """The line of a file on which the entity or relation stands that a violation of the schema names; 0: not known."""
    for kind, name in (("entity", r"entity (\d+)"), ("relation", r"relation (\S+) (\d+)>(\d+)")):
        found = re.match(name, problem)
        if found and kind in form.line:
            pattern = re.compile(form.line[kind].format(*map(re.escape, found.groups())))
            lines = file.read_text(encoding="utf-8-sig").split("\n")
            return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 0)
    return 0


def _files(root: Path, format: str | None) -> Iterator[tuple[Path, Format]]:
    if format is not None:
        chosen = FORMATS[format]
        files = sorted(p for p in root.rglob(f"*{chosen.suffix}") if p.is_file()) if root.is_dir() else [root]
        yield from ((file, chosen) for file in files)
        return
    known = {form.suffix: form for form in reversed(FORMATS.values())}
    if root.suffix == ".txt" and root.with_suffix(".ann").is_file():
        root = root.with_suffix(".ann")
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


def sound_documents(path: str | os.PathLike[str]) -> list[Document]:
    """All documents of a file or folder.

    Raises:
        ValueError: At the first one that cannot be used.
        FileNotFoundError: There is no such path.
    """
    documents = []
    for document in read_documents(path):
        if isinstance(document, Problem):
            raise ValueError(f"{document}; mend it or leave it out")
        documents.append(document)
    return documents


def write_documents(
    documents: Iterable[Document], path: str | os.PathLike[str], *, format: str | None = None, lossy: bool = False
) -> tuple[list[Problem], list[Problem]]:
    """Writes documents in a format: a file or, for markup and brat, a folder, which must not exist yet.

    Returns:
        Problems of documents that were left out: the format cannot hold all of one (unless ``lossy``) or anything of it.
        With ``lossy`` also what was lost of documents that were written.

    Raises:
        FileExistsError: There is something at ``path`` already.
        ValueError: No ``format`` is named and the path's suffix says nothing.
    """
    path = Path(path)
    name = format or format_of(path)
    form = FORMATS[name]
    beside = {path / key if form.folder else path.with_suffix(key): content for key, content in form.beside.items()}
    if path.exists() and (not path.is_dir() or not form.folder or any(path.iterdir())):
        raise FileExistsError(f"{path}: exists already; name a new file or folder")
    for file in beside:
        if file.exists():
            raise FileExistsError(f"{file}: exists already, and goes with {path}; name another file")
    rendered: dict[str, dict[str, str]] = {}
    left_out: list[Problem] = []
    losses: list[Problem] = []
    for number, document in enumerate(documents):
        reduced, lost = reduce(document, form.holds)
        lost += form.lost(reduced)
        try:
            for problem in reduced.validate():
                raise FormatError(problem)
            if lost and not lossy:
                raise FormatError(f"{name} cannot hold {describe(lost)} of it; --lossy writes the rest")
            place = _place(document.id) if form.folder else str(number)
            if place in rendered:
                raise FormatError(f"its file {place} is another document's already; give it another id")
            rendered[place] = form.render(reduced)
        except FormatError as error:
            left_out.append(Problem(str(path), 0, str(error).removeprefix(f"document {document.id}: "), document.id))
            continue
        if lost:
            losses.append(
                Problem(str(path), 0, f"{name} cannot hold {describe(lost)} of it; the rest was written", document.id)
            )
    if rendered or not left_out:
        path.parent.mkdir(parents=True, exist_ok=True)
        contents = {file: content() for file, content in beside.items()}
        if form.folder:
            contents |= {path / f"{place}{key}": text for place, parts in rendered.items() for key, text in parts.items()}
        else:
            begin, separator, end = form.frame
            contents[path] = begin + separator.join(parts[""] for parts in rendered.values()) + end
        for file, text in contents.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
    return left_out, losses


def _place(id: str) -> str:
    """The path of a document's files in a folder, without suffix."""
    place = PurePosixPath(id.removesuffix(".txt"))
    sound = bool(id.strip("/.")) and not place.is_absolute() and ".." not in place.parts and id.isprintable()
    if not sound or any(len(part.encode()) > 200 for part in place.parts):
        raise FormatError("its id cannot be the name of a file; give it another")
    return str(place)


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
