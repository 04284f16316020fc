"""doccano's JSONL, both ways: relation projects (text, entities, relations) and plain sequence labelling (text, label).

A relation there has a type and nothing else, so a factuality stands in the type: ``KILL~planned``. Other fields are
metadata, which doccano keeps; since it gives each document a number of its own as ``id``, ours is ``document_id``.
doccano counts offsets as JavaScript does, in UTF-16 units (https://github.com/doccano/doccano/issues/2290), unless a
project counts grapheme clusters; the two differ from code points only in texts with emoji and the like.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.formats.jsonl import from_json, to_json
from data.formats.problems import FormatError
from data.schema import FACTUALITY, Document

HOLDS = frozenset({"relations", "factuality values", "header fields", "sentence boundaries"})
OWN = ("id", "document_id", "Comments", "label")


def from_doccano(record: Mapping[str, Any], *, id: str = "") -> Document:
    """Reads one line.

    Raises:
        FormatError: It lacks the text or a field has another form than doccano's.
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("text"), str):
        raise FormatError('not a doccano document; each line is {"text": …, "entities": […], "relations": […]}')
    text = record["text"]
    points = _points(text)
    try:
        entities = [dict(entity) for entity in record.get("entities") or ()]
        for number, (start, end, label) in enumerate(record.get("label") or (), 1):
            entities.append({"id": number, "start_offset": start, "end_offset": end, "label": label})
        for entity in entities:
            for key in ("start_offset", "end_offset"):
                if entity[key] not in points:
                    raise FormatError(f"entity {entity.get('id')}: {key} {entity[key]} is no place between two characters")
                entity[key] = points[entity[key]]
        relations = []
        for relation in record.get("relations") or ():
            kind, _, factuality = str(relation["type"]).partition("~")
            relations.append({**relation, "type": kind, "factuality": factuality or FACTUALITY[0]})
    except (TypeError, KeyError, ValueError) as error:
        raise (
            error if isinstance(error, FormatError) else FormatError(f"an entity or relation lacks a field: {error}")
        ) from error
    own = {"id": record.get("document_id") or record.get("id"), "entities": entities, "relations": relations}
    return from_json({**{k: v for k, v in record.items() if k not in OWN}, **own}, id=id)


def to_doccano(document: Document) -> dict[str, Any]:
    """One line, for import into a doccano project with relations."""
    taken = set(OWN) & set(document.fields)
    if taken:
        raise FormatError(f"the header field {min(taken)!r} means something else in doccano; rename it")
    record = to_json(document)
    units = {point: unit for unit, point in _points(document.text).items()}
    entities = [
        {"id": e["id"], "label": e["label"], "start_offset": units[e["start_offset"]], "end_offset": units[e["end_offset"]]}
        for e in record.pop("entities")
    ]
    relations = [
        {
            "id": r["id"], "from_id": r["from_id"], "to_id": r["to_id"],
            "type": r["type"] + (f"~{r['factuality']}" if r["factuality"] != FACTUALITY[0] else ""),
        }
        for r in record.pop("relations")
    ]  # fmt: skip
    name = record.pop("id")
    return {"text": record.pop("text"), "entities": entities, "relations": relations, "document_id": name, **record}


def _points(text: str) -> dict[int, int]:
    """Offset in UTF-16 units: offset in code points."""
    points = {0: 0}
    unit = 0
    for point, char in enumerate(text, 1):
        unit += 1 + (ord(char) > 0xFFFF)
        points[unit] = point
    return points
