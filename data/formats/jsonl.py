"""JSONL, one object a document: doccano's relation format with our fields (see ``to_json``), both ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from data.formats.problems import FormatError, Problem, not_utf8
from data.schema import ARGUMENTS, FACTUALITY, SCHEMA_VERSION, Document, Mention, Relation, Sentence

JSON_FIELDS = ("id", "date", "text", "sentences", "entities", "relations", "schema")


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
    labels = record.get("label")
    if "entities" not in record and isinstance(labels, list) and any(isinstance(x, list) and len(x) == 3 for x in labels):
        raise FormatError(f"document {name}: its field 'label' holds doccano's spans; convert it with --from doccano")
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


def parse_line(
    raw: bytes, *, file: str, line: int, name: str, parse: Callable[..., Document] = from_json
) -> Document | Problem:
    """One line of JSONL as a document, or the problem with it. A missing id becomes ``name:line``."""
    try:
        return parse(json.loads(raw.decode("utf-8-sig")), id=f"{name}:{line}")
    except UnicodeDecodeError as error:
        return Problem(file, line, not_utf8(error))
    except json.JSONDecodeError as error:
        return Problem(file, line, f"broken JSON ({error.msg} at character {error.pos}); each line is one object")
    except (ValueError, RecursionError) as error:
        return Problem(file, line, str(error))
