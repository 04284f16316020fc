"""CoNLL-2003 columns, both ways: a token a line, its tag in the last column, a blank line after each sentence.

    -DOCSTART- -X- -X- O

    و -X- -X- O
    تركيا -X- -X- B-GPE

Only entities fit. Tokens are words and punctuation, cut where a mention begins or ends; part of speech and chunk are
-X-. Read back, tokens are joined by single spaces, so that offsets hold only where the text was written like that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from data.formats.limits import lines
from data.formats.problems import FormatError
from data.schema import Document, Mention, Sentence

HOLDS: frozenset[str] = frozenset()
DOCSTART = "-DOCSTART-"


def split_documents(columns: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of each document of a file, with the number of the first. Documents begin at -DOCSTART-."""
    first, rows = 1, list[str]()
    for number, line in enumerate(columns.split("\n"), 1):
        if line.startswith(DOCSTART):
            if any(row.strip() and not row.startswith(DOCSTART) for row in rows):
                yield first, rows
            first, rows = number, []
        rows.append(line)
    if any(row.strip() and not row.startswith(DOCSTART) for row in rows):
        yield first, rows


def from_conll(rows: Iterable[str], *, id: str = "") -> Document:
    """Reads the lines of one document: the token in the first column, in the last its tag in IOB2, IOB1 or IOBES.

    Raises:
        FormatError: A line with one column, or a tag that is none of these, with its number in the document.
    """
    sentences: list[list[tuple[str, str]]] = [[]]
    for number, line in enumerate(rows, 1):
        fields = line.split()
        if fields and fields[0] == DOCSTART:
            continue
        if not fields:
            sentences.append([])
        elif len(fields) == 1:
            raise FormatError(f"one column, {fields[0][:30]!r}; each line is a token and its tag", number)
        elif fields[-1] != "O" and (fields[-1][:2] not in ("B-", "I-", "E-", "S-") or not fields[-1][2:]):
            raise FormatError(f"tag {fields[-1][:30]!r}; tags are O, B-TYPE and I-TYPE", number)
        else:
            sentences[-1].append((fields[0], fields[-1]))
    return _document(sentences, id)


def _document(sentences: list[list[tuple[str, str]]], id: str) -> Document:
    text = ""
    spans: list[Sentence] = []
    mentions: list[Mention] = []
    for sentence in filter(None, sentences):
        text += "\n" if text else ""
        start = len(text)
        before = "O"
        for i, (token, tag) in enumerate(sentence):
            text += " " if i else ""
            kind = tag[2:]
            inside = tag[0] in "IE" and before[0] not in "OES" and before[2:] == kind
            if inside:
                last = mentions.pop()
                mentions.append(Mention(last.id, kind, last.start, len(text) + len(token)))
            elif tag != "O":
                mentions.append(Mention(len(mentions) + 1, kind, len(text), len(text) + len(token)))
            text += token
            before = tag
        spans.append(Sentence(start, len(text)))
    return Document(id, text, tuple(spans), tuple(mentions))


def to_conll(document: Document) -> str:
    """The lines of one document."""
    out = [f"{DOCSTART} -X- -X- O", ""]
    for sentence in document.sentences or lines(document.text):
        for start, end, tag in _tokens(document, sentence):
            out.append(f"{document.text[start:end]} -X- -X- {tag}")
        out.append("")
    return "\n".join(out) + "\n"


def _tokens(document: Document, sentence: Sentence) -> Iterator[tuple[int, int, str]]:
    from model.text import words  # here, since importing model takes torch's seconds, and only this format needs it

    inside = [m for m in document.mentions if sentence.start <= m.start and m.end <= sentence.end]
    cuts = {offset for m in inside for offset in (m.start, m.end)}
    for start, end in words(document.text[sentence.start : sentence.end]):
        edges = sorted({start + sentence.start, end + sentence.start} | {
            cut for cut in cuts if start + sentence.start < cut < end + sentence.start
        })  # fmt: skip
        for a, b in pairwise(edges):
            tag = "O"
            for mention in inside:
                if mention.start <= a < mention.end:
                    tag = f"{'B' if mention.start == a else 'I'}-{mention.type}"
            yield a, b, tag


def spacing_lost(document: Document) -> bool:
    """Whether the text would come back with other white space, and so with other offsets."""
    return from_conll(to_conll(document).split("\n")).text != document.text
