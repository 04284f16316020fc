"""What a format cannot hold of a document: counted, and taken out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import replace

from data.schema import FACTUALITY, Document, Sentence

PARTS = ("relations", "factuality values", "arguments", "scores", "names", "header fields", "sentence boundaries")
"""Parts of a document that some format lacks. ``names`` are the clean surfaces of predictions."""


def lines(text: str) -> tuple[Sentence, ...]:
    """The lines of a text that are not blank, as sentences."""
    sentences = []
    start = 0
    for line in text.split("\n"):
        if line.strip():
            sentences.append(Sentence(start, start + len(line)))
        start += len(line) + 1
    return tuple(sentences)


def reduce(document: Document, holds: Set[str]) -> tuple[Document, Counter[str]]:
    """The document without the parts that are not in ``holds``, and how much of each was taken out.

    A format without ``sentence boundaries`` still holds them where they are the lines of the text.
    """
    lost: Counter[str] = Counter()
    if "relations" not in holds:
        lost["relations"] = len(document.relations)
        document = replace(document, relations=())
    if "factuality values" not in holds:
        lost["factuality values"] = sum(r.factuality != FACTUALITY[0] for r in document.relations)
        document = replace(document, relations=tuple(replace(r, factuality=FACTUALITY[0]) for r in document.relations))
    if "arguments" not in holds:
        lost["arguments"] = sum(len(r.arguments) for r in document.relations)
        document = replace(document, relations=tuple(replace(r, arguments={}) for r in document.relations))
    if "scores" not in holds:
        scores = [*(m.score for m in document.mentions), *(r.score for r in document.relations)]
        lost["scores"] = sum(score is not None for score in scores)
        document = replace(
            document,
            mentions=tuple(replace(m, score=None) for m in document.mentions),
            relations=tuple(replace(r, score=None) for r in document.relations),
        )
    if "names" not in holds:
        lost["names"] = sum(m.name is not None for m in document.mentions)
        document = replace(document, mentions=tuple(replace(m, name=None) for m in document.mentions))
    if "header fields" not in holds:
        lost["header fields"] = len(document.fields) + (document.date is not None)
        document = replace(document, fields={}, date=None)
    if "sentence boundaries" not in holds:
        if document.sentences != lines(document.text):
            lost["sentence boundaries"] = len(document.sentences)
        document = replace(document, sentences=lines(document.text))
    return document, +lost


def describe(lost: Counter[str]) -> str:
    """The losses in words: ``3 relations, 5 scores``."""
    return ", ".join(f"{count} {part}" for part, count in lost.items())
