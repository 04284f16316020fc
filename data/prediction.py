"""Predictions for documents: the dataset module's features through the model, as documents again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from data.dataset import encode_gold
from data.formats import from_json
from data.schema import Document
from model.configuration_khabar import KhabarConfig
from model.decoding import Annotation, Annotator, to_record

CHUNK = 64
"""Windows that are encoded before their pairs are classified; bounds memory."""


def to_document(annotation: Annotation, document: Document, config: KhabarConfig) -> Document:
    """``document`` with its annotation replaced by the predicted one."""
    found = from_json(to_record(annotation, config), id=document.id)
    return replace(document, sentences=found.sentences, mentions=found.mentions, relations=found.relations)


def predict(annotator: Annotator, documents: Iterable[Document], *, gold_mentions: bool = False) -> Iterator[Document]:
    """Predicted documents in the order given.

    Args:
        annotator: Model and tokenizer.
        documents: Only their texts are read, and with ``gold_mentions`` their mentions.
        gold_mentions: Classify relations between the given mentions instead of finding mentions.
    """
    chunk: list[Document] = []
    size = 0
    for document in documents:
        chunk.append(document)
        size += 1 + len(document.text) // 2000  # about a window
        if size >= CHUNK:
            yield from _predict_chunk(annotator, chunk, gold_mentions)
            chunk, size = [], 0
    if chunk:
        yield from _predict_chunk(annotator, chunk, gold_mentions)


def _predict_chunk(annotator: Annotator, documents: Sequence[Document], gold_mentions: bool) -> Iterator[Document]:
    encoded = [annotator.encode(document.text) for document in documents]
    mentions = None
    if gold_mentions:
        pairs = zip(documents, encoded, strict=True)
        mentions = [encode_gold(document, text, annotator.config).mentions for document, text in pairs]
    for document, annotation in zip(documents, annotator.annotate(encoded, mentions=mentions), strict=True):
        yield to_document(annotation, document, annotator.config)
