"""brat standoff: ``ID.txt`` with the text and ``ID.ann`` beside it, both ways.

    T1	ARM 8 14	القوات
    R1	ATTACK Arg1:T1 Arg2:T2
    #1	AnnotatorNotes R1	~planned at=T3

Factuality and arguments stand in a note on their relation, where brat keeps and shows them: brat has attributes only for
spans and events, and its relations have just two arguments. Sentences are the lines of the text, as brat displays them.
Other notes are not read.
"""

from __future__ import annotations

import re
from pathlib import Path

from data.formats.limits import lines
from data.formats.problems import FormatError
from data.schema import ARGUMENTS, ENTITY_TYPES, FACTUALITY, RELATION_TYPES, Document, Mention, Relation

HOLDS = frozenset({"relations", "factuality values", "arguments"})
SPAN = re.compile(r"T(\d+)\t(\S+) (\d+) (\d+)\t(.*)")
RELATION = re.compile(r"R(\d+)\t(\S+) Arg1:T(\d+) Arg2:T(\d+)\s*")
NOTE = re.compile(r"#\d+\tAnnotatorNotes R(\d+)\t(.*)")
OTHER_NOTE = re.compile(r"#\d+\t\S+ \S+\t.*")


def from_brat(text: str, standoff: str, *, id: str = "") -> Document:
    """Reads one document.

    Raises:
        FormatError: A line of ``standoff`` that is not understood, with its number; discontinuous spans, events and
            attributes are not.
    """
    mentions: list[Mention] = []
    relations: dict[str, Relation] = {}
    notes: list[tuple[int, str, str]] = []
    for number, line in enumerate(standoff.split("\n"), 1):
        line = line.removesuffix("\r")
        if span := SPAN.fullmatch(line):
            mention = Mention(int(span[1]), span[2], int(span[3]), int(span[4]))
            surface = text[mention.start : mention.end].replace("\n", " ")
            if surface != span[5]:
                raise FormatError(f"T{span[1]}: {span[5]!r} is not the text at {span[3]}–{span[4]}: {surface!r}", number)
            mentions.append(mention)
        elif (arc := RELATION.fullmatch(line)) and arc[1] in relations:
            raise FormatError(f"R{arc[1]} occurs twice", number)
        elif arc:
            relations[arc[1]] = Relation(arc[2], int(arc[3]), int(arc[4]))
        elif found := NOTE.fullmatch(line):
            notes.append((number, found[1], found[2]))
        elif line.strip() and not OTHER_NOTE.fullmatch(line):
            raise FormatError(f"not understood: {line[:60]!r}; known are T spans, R relations and # notes", number)
    for number, relation, note in notes:
        if relation not in relations:
            raise FormatError(f"a note on R{relation}, which is not there", number)
        relations[relation] = _read_note(relations[relation], note, number)
    return Document(id, text, lines(text), tuple(mentions), tuple(relations.values())).canonical()


def _read_note(relation: Relation, note: str, number: int) -> Relation:
    factuality = relation.factuality
    arguments = dict(relation.arguments)
    for part in note.split():
        key, _, value = part.partition("=")
        if key in arguments or (part.startswith("~") and factuality not in (FACTUALITY[0], part[1:])):
            raise FormatError(f"{part!r} contradicts another note on the same relation", number)
        if part.startswith("~"):
            factuality = part[1:]
        elif key in ARGUMENTS and re.fullmatch(r"T\d+", value):
            arguments[key] = int(value[1:])
        else:
            raise FormatError(f"note not understood: {part!r}; known are ~factuality and {'=T, '.join(ARGUMENTS)}=T", number)
    return Relation(relation.type, relation.head, relation.tail, factuality, arguments)


def to_brat(document: Document) -> str:
    """The ``.ann`` of one document; its ``.txt`` is the text."""
    out = []
    for mention in document.mentions:
        surface = document.surface(mention).replace("\n", " ")
        out.append(f"T{mention.id}\t{mention.type} {mention.start} {mention.end}\t{surface}")
    notes: list[str] = []
    for number, relation in enumerate(document.relations, 1):
        out.append(f"R{number}\t{relation.type} Arg1:T{relation.head} Arg2:T{relation.tail}\t")
        parts = [f"~{relation.factuality}"] if relation.factuality != FACTUALITY[0] else []
        parts += [f"{key}=T{relation.arguments[key]}" for key in ARGUMENTS if key in relation.arguments]
        if parts:
            notes.append(f"#{len(notes) + 1}\tAnnotatorNotes R{number}\t{' '.join(parts)}")
    return "\n".join([*out, *notes, ""])


def annotation_conf() -> str:
    """The ``annotation.conf`` that tells brat our types."""
    relations = [f"{name}\tArg1:{'|'.join(heads)}, Arg2:{'|'.join(tails)}" for name, (heads, tails) in RELATION_TYPES.items()]
    return "\n".join(["[entities]", *ENTITY_TYPES, "[relations]", *relations, "[events]", "[attributes]", ""])


def read_brat(file: Path, name: str) -> Document:
    """The document of an ``.ann`` file and the ``.txt`` beside it; its id is ``name`` without suffix.

    Raises:
        FormatError: See ``from_brat``; or there is no ``.txt``.
    """
    beside = file.with_suffix(".txt")
    if not beside.is_file():
        raise FormatError(f"there is no {beside.name} beside it")
    # Bytes, not text mode: brat counts every character of the text, carriage returns too.
    return from_brat(beside.read_bytes().decode(), file.read_bytes().decode("utf-8-sig"), id=name.removesuffix(".ann"))
