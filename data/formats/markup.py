"""The inline markup of the guidelines, one file a document, both ways.

# id: a1
# date: 2015-06-02
S1| استهدفت [1:ARM القوات] مواقع ل[2:ARM تنظيم داعش] في [3:LOC حلب].
ATTACK 1>2 at=3
"""

from __future__ import annotations

import re

from data.formats.jsonl import JSON_FIELDS
from data.formats.problems import FormatError
from data.schema import ARGUMENTS, FACTUALITY, Document, Mention, Relation, Sentence

SENTENCE = re.compile(r"S(\d+)\| ?(.*)", re.DOTALL)
SPAN = re.compile(r"\[(\d+):(\S+) ([^\[\]]+)\]")
ARC = re.compile(r"(\d+)>(\d+)")
RESERVED = JSON_FIELDS[2:]


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
