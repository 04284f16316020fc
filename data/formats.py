"""Reading and writing documents: the inline markup of the guidelines and JSONL, both ways.

Markup, one file a document::

    # id: a1
    # date: 2015-06-02
    S1| استهدفت [1:ARM القوات] مواقع ل[2:ARM تنظيم داعش] في [3:LOC حلب].
    ATTACK 1>2 at=3

JSONL, one object a document: doccano's relation format with our fields (see ``to_json``). Readers never stop at a bad
document: they yield a ``Problem`` in its place.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.schema import ARGUMENTS, FACTUALITY, SCHEMA_VERSION, Document, Mention, Relation, Sentence

SENTENCE = re.compile(r"S(\d+)\| ?(.*)", re.DOTALL)
SPAN = re.compile(r"\[(\d+):(\S+) ([^\[\]]+)\]")
ARC = re.compile(r"(\d+)>(\d+)")
JSON_FIELDS = ("id", "date", "text", "sentences", "entities", "relations", "schema")
RESERVED = JSON_FIELDS[2:]


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


# Markup ---------------------------------------------------------------------------------------------------------------


def from_markup(markup: str, *, id: str = "") -> Document:
    """Reads one document in markup. The id of its header wins over ``id``.

    Raises:
        FormatError: A line that is not understood, with its number.
    """
    header: dict[str, str] = {}
    lines: list[str] = []
    sentences: list[Sentence] = []
    mentions: list[Mention] = []
    relations: list[Relation] = []
    offset = 0
    for number, line in enumerate(markup.split("\n"), 1):
        line = line.removesuffix("\r")
        if line.startswith("#"):
            key, _, value = (part.strip() for part in line[1:].partition(":"))
            if key in RESERVED:
                raise FormatError(f"the header field {key!r} is not free; it is one of ours in JSONL", number)
            header[key] = value
        elif found := SENTENCE.fullmatch(line):
            if int(found[1]) != len(sentences) + 1:
                raise FormatError(f"sentence S{found[1]} follows S{len(sentences)}; number them 1, 2, 3 …", number)
            text, spans = _read_spans(found[2], offset, number)
            mentions += spans
            lines.append(text)
            sentences.append(Sentence(offset, offset + len(text)))
            offset += len(text) + 1
        elif line.strip():
            relations.append(_read_relation(line, number))
    return Document(
        id=header.pop("id", "") or id,
        text="\n".join(lines),
        sentences=tuple(sentences),
        mentions=tuple(mentions),
        relations=tuple(relations),
        date=header.pop("date", None),
        fields=header,
    ).canonical()


def _read_spans(marked: str, offset: int, number: int) -> tuple[str, list[Mention]]:
    text = ""
    position = 0
    mentions = []
    for span in SPAN.finditer(marked):
        text += marked[position : span.start()]
        start = offset + len(text)
        text += span[3]
        position = span.end()
        mentions.append(Mention(int(span[1]), span[2], start, offset + len(text)))
    text += marked[position:]
    if "[" in text or "]" in text:
        raise FormatError("square brackets that are no [ID:TYPE text]; write ( ) where the text itself has them", number)
    return text, mentions


def _read_relation(line: str, number: int) -> Relation:
    name, *parts = line.split()
    arc = ARC.fullmatch(parts[0]) if parts else None
    if arc is None:
        raise FormatError(f"not understood: {line[:60]!r}; a relation is TYPE HEAD>TAIL …", number)
    factuality = FACTUALITY[0]
    arguments: dict[str, int] = {}
    for part in parts[1:]:
        key, _, value = part.partition("=")
        if part.startswith("~"):
            factuality = part[1:]
        elif key in ARGUMENTS and value.isascii() and value.isdigit():
            arguments[key] = int(value)
        else:
            raise FormatError(f"not understood: {part!r}; known are ~factuality and {'=, '.join(ARGUMENTS)}=", number)
    return Relation(name, int(arc[1]), int(arc[2]), factuality, arguments)


def to_markup(document: Document) -> str:
    """Writes one document in markup.

    Raises:
        FormatError: What the markup cannot hold: square brackets or carriage returns in the text, blank lines,
            sentences that are not lines of the text, scores and names of predictions, header values that are no
            one-line strings; or a document that violates the schema.
    """
    for problem in document.validate():
        raise FormatError(problem)
    document = document.canonical()
    text = document.text
    for char, name in (("[", "square brackets"), ("]", "square brackets"), ("\r", "carriage returns")):
        if char in text:
            raise FormatError(f"document {document.id}: the text holds {name}, which markup cannot hold; replace them")
    lines = text.split("\n") if text else []
    if any(not line.strip() for line in lines):
        raise FormatError(f"document {document.id}: the text holds a blank line, which markup cannot hold; remove it")
    if [text[s.start : s.end] for s in document.sentences] != lines:
        raise FormatError(f"document {document.id}: its sentences are not the lines of its text; markup needs them to be")
    scores = [*(m.score for m in document.mentions), *(r.score for r in document.relations)]
    if any(score is not None for score in scores) or any(m.name for m in document.mentions):
        raise FormatError(f"document {document.id}: markup cannot hold scores and names of predictions; remove them")
    own = {"id": document.id, **({"date": document.date} if document.date is not None else {})}
    taken = own.keys() & document.fields.keys()
    if taken:
        raise FormatError(f"document {document.id}: field {taken.pop()!r} occurs twice")
    out = []
    for key, value in {**own, **document.fields}.items():
        plain = isinstance(value, str) and not {"\n", "\r"} & {*key, *value} and ":" not in key and key not in RESERVED
        if not plain or (key.strip(), value.strip()) != (key, value):
            raise FormatError(f"document {document.id}: field {key!r} is no plain line of text, which markup needs")
        out.append(f"# {key}: {value}")
    later = [document.relation_sentences(r)[-1] for r in document.relations]
    for i, sentence in enumerate(document.sentences):
        out.append(f"S{i + 1}| " + _mark(document, sentence))
        for relation, place in zip(document.relations, later, strict=True):
            if place == i:
                factuality = "" if relation.factuality == FACTUALITY[0] else f" ~{relation.factuality}"
                arguments = "".join(f" {k}={relation.arguments[k]}" for k in ARGUMENTS if k in relation.arguments)
                out.append(f"{relation.type} {relation.head}>{relation.tail}{factuality}{arguments}")
    return "\n".join(out) + "\n"


def _mark(document: Document, sentence: Sentence) -> str:
    marked = ""
    position = sentence.start
    for mention in document.mentions:
        if sentence.start <= mention.start and mention.end <= sentence.end:
            marked += document.text[position : mention.start]
            marked += f"[{mention.id}:{mention.type} {document.surface(mention)}]"
            position = mention.end
    return marked + document.text[position : sentence.end]


# JSONL ----------------------------------------------------------------------------------------------------------------


def to_json(document: Document) -> dict[str, Any]:
    """One document as a JSON object: doccano's relation format with our fields.

    ``entities``: ``id, label, start_offset, end_offset, text`` and, of predictions, ``name, score``.
    ``relations``: ``id`` (1, 2, 3 …), ``type, from_id, to_id, factuality``, ``score`` of predictions, ``at, on, with,
    src`` (entity ids or null), ``sentences`` (indices). The document's other fields stand at the top level.
    """
    document = document.canonical()
    record: dict[str, Any] = {"id": document.id}
    if document.date is not None:
        record["date"] = document.date
    record["text"] = document.text
    record["sentences"] = [[s.start, s.end] for s in document.sentences]
    record["entities"] = []
    for mention in document.mentions:
        entity: dict[str, Any] = {
            "id": mention.id,
            "label": mention.type,
            "start_offset": mention.start,
            "end_offset": mention.end,
            "text": document.surface(mention),
        }
        entity |= {k: v for k, v in (("name", mention.name), ("score", mention.score)) if v is not None}
        record["entities"].append(entity)
    record["relations"] = []
    for number, relation in enumerate(document.relations, 1):
        entry: dict[str, Any] = {"id": number, "type": relation.type, "from_id": relation.head, "to_id": relation.tail}
        entry["factuality"] = relation.factuality
        if relation.score is not None:
            entry["score"] = relation.score
        entry |= {argument: relation.arguments.get(argument) for argument in ARGUMENTS}
        entry["sentences"] = list(document.relation_sentences(relation))
        record["relations"].append(entry)
    return {**record, "schema": SCHEMA_VERSION, **document.fields}


def from_json(record: Mapping[str, Any], *, id: str = "") -> Document:
    """Reads one JSON object. Only ``text`` is needed; a missing id becomes ``id``; unknown fields are kept.

    Raises:
        FormatError: ``text`` is missing, or a field is not of the form that ``to_json`` writes.
    """
    if not isinstance(record, Mapping):
        raise FormatError('not a JSON object; each line is one document {"text": …}')
    try:
        json.dumps(dict(record), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError("a field holds half of a surrogate pair (\\ud800–\\udfff), which is no character") from error
    given = record.get("id")
    if given is not None and not isinstance(given, str | int):
        raise FormatError("the field 'id' is neither a string nor a number")
    name = str(given) if given not in (None, "") else id
    text = record.get("text")
    if not isinstance(text, str):
        raise FormatError(f"document {name}: the field 'text' is missing or no string")
    try:
        sentences = tuple(Sentence(int(start), int(end)) for start, end in record.get("sentences") or ())
        mentions = tuple(_json_mention(entity, text) for entity in record.get("entities") or ())
        relations = tuple(_json_relation(relation) for relation in record.get("relations") or ())
    except FormatError as error:
        raise FormatError(f"document {name}: {error}") from error
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        raise FormatError(
            f"document {name}: entities, relations or sentences lack a field or have a wrong one: {error}"
        ) from error
    date = record.get("date")
    if date is not None and not isinstance(date, str):
        raise FormatError(f"document {name}: the field 'date' is no string")
    fields = {k: v for k, v in record.items() if k not in JSON_FIELDS}
    return Document(name, text, sentences, mentions, relations, date, fields).canonical()


def _json_mention(entity: Mapping[str, Any], text: str) -> Mention:
    mention = Mention(
        int(entity["id"]), str(entity["label"]), int(entity["start_offset"]), int(entity["end_offset"]),
        entity.get("name"), entity.get("score"),
    )  # fmt: skip
    surface = entity.get("text", text[mention.start : mention.end])
    if surface != text[mention.start : mention.end]:
        raise FormatError(
            f"entity {mention.id}: its text {surface!r} is not the document's at {mention.start}–{mention.end}: "
            f"{text[mention.start : mention.end]!r}; offsets count code points from 0"
        )
    return mention


def _json_relation(relation: Mapping[str, Any]) -> Relation:
    arguments = {k: int(relation[k]) for k in ARGUMENTS if relation.get(k) is not None}
    factuality = relation.get("factuality") or FACTUALITY[0]
    return Relation(
        str(relation["type"]),
        int(relation["from_id"]),
        int(relation["to_id"]),
        str(factuality),
        arguments,
        relation.get("score"),
    )


# Files ----------------------------------------------------------------------------------------------------------------


def read_documents(path: str | os.PathLike[str], *, validate: bool = True) -> Iterator[Document | Problem]:
    """Documents of a folder or file: ``.jsonl``, or markup in ``.txt``; a ``Problem`` for each that cannot be used.

    A missing id is the file's relative path, or ``path:line`` in JSONL. An id that occurs twice is a problem of the
    second. With ``validate`` every violation of the schema is a problem, and the document is left out.

    Raises:
        FileNotFoundError: There is no such path.
    """
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such file or folder")
    files = sorted(p for p in root.rglob("*") if p.suffix in (".txt", ".jsonl") and p.is_file()) if root.is_dir() else [root]
    seen: dict[str, str] = {}
    for file in files:
        name = file.relative_to(root).as_posix() if root.is_dir() else file.name
        for line, document in _read_file(file, name):
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


def _read_file(file: Path, name: str) -> Iterator[tuple[int, Document | Problem]]:
    if file.suffix == ".jsonl":
        with open(file, "rb") as handle:
            for line, raw in enumerate(handle, 1):
                if raw.strip():
                    yield line, parse_line(raw, file=str(file), line=line, name=name)
        return
    try:
        yield 0, from_markup(file.read_bytes().decode("utf-8-sig"), id=name)
    except UnicodeDecodeError as error:
        yield 0, Problem(str(file), 0, not_utf8(error))
    except FormatError as error:
        yield error.line, Problem(str(file), error.line, str(error))
    except ValueError as error:  # an integer of thousands of digits
        yield 0, Problem(str(file), 0, str(error))


def parse_line(raw: bytes, *, file: str, line: int, name: str) -> Document | Problem:
    """One line of JSONL as a document, or the problem with it. A missing id becomes ``name:line``."""
    try:
        return from_json(json.loads(raw.decode("utf-8-sig")), id=f"{name}:{line}")
    except UnicodeDecodeError as error:
        return Problem(file, line, not_utf8(error))
    except json.JSONDecodeError as error:
        return Problem(file, line, f"broken JSON ({error.msg} at character {error.pos}); each line is one object")
    except (ValueError, RecursionError) as error:
        return Problem(file, line, str(error))


def not_utf8(error: UnicodeDecodeError) -> str:
    """What to do about bytes that are not UTF-8."""
    return f"not UTF-8 at byte {error.start}; convert it first, for example iconv -f windows-1256 -t utf-8"


def write_jsonl(documents: Iterable[Document], path: str | os.PathLike[str]) -> None:
    """Writes documents as JSONL."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for document in documents:
            file.write(json.dumps(to_json(document), ensure_ascii=False) + "\n")
