"""Label Studio's JSON: a list of tasks with text, labelled spans and relations between them, both ways.

Factuality is a second label of the relation (a labelling interface for it is ``label_config``). Annotations become a
task's first annotation; documents with scores, that is, predictions, become its first prediction, which annotators can
start from. Other fields stand in the task's data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.formats.jsonl import from_json, to_json
from data.formats.problems import FormatError
from data.schema import ENTITY_TYPES, FACTUALITY, RELATION_TYPES, Document

HOLDS = frozenset({"relations", "factuality values", "scores", "header fields", "sentence boundaries"})
OWN = ("id", "document_id")


def from_task(task: Mapping[str, Any], *, id: str = "") -> Document:
    """Reads one task: its annotation that was not cancelled or, in a task without annotations, its first prediction.

    Raises:
        FormatError: There is no text, there are several annotations, or a result has another form than Label Studio's.
    """
    data = task.get("data") if isinstance(task, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(data.get("text"), str):
        raise FormatError('not a Label Studio task with a text; each is {"data": {"text": …}, "annotations": […]}')
    entities: list[dict[str, Any]] = []
    relations: list[dict[str, Any]] = []
    try:
        given = [a for a in task.get("annotations") or () if not a.get("was_cancelled")]
        if len(given) > 1:
            raise FormatError(f"{len(given)} annotations; a document has one, so choose one of them")
        given = given or (not task.get("annotations") and task.get("predictions")) or []
        results = given[0]["result"] if given else []
        spans = [result for result in results if result["type"] == "labels"]
        own = [str(span["id"]) for span in spans]
        numbers = _numbers(own)
        for span in spans:
            value = span["value"]
            if len(value["labels"]) != 1:
                raise FormatError(f"region {span['id']} has {len(value['labels'])} labels; a mention has one type")
            entities.append(
                {
                    "id": numbers[str(span["id"])], "label": value["labels"][0], "start_offset": value["start"],
                    "end_offset": value["end"], "text": value.get("text") or data["text"][value["start"] : value["end"]],
                    "score": span.get("score"),
                }
            )  # fmt: skip
        for result in results:
            if result["type"] == "relation":
                relations.append(_relation(result, numbers))
            elif result["type"] != "labels":
                raise FormatError(f"a result of type {result['type']!r}; known are labels and relation")
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise FormatError(f"a result lacks a field or names a region that is not there: {error}") from error
    fields = {key: value for key, value in data.items() if key not in OWN}
    name = data.get("document_id") or data.get("id") or task.get("id")
    return from_json({**fields, "id": name, "entities": entities, "relations": relations}, id=id)


def _numbers(own: list[str]) -> dict[str, int]:
    """Region ids as integers: ours (e12) are kept, those that Label Studio drew get the next free numbers."""
    numbers = {name: int(name[1:]) for name in own if name[:1] == "e" and name[1:].isdecimal()}
    free = max(numbers.values(), default=0) + 1
    for name in own:
        if name not in numbers:
            numbers[name] = free
            free += 1
    return numbers


def _relation(result: Mapping[str, Any], numbers: Mapping[str, int]) -> dict[str, Any]:
    labels = list(result.get("labels") or ())
    kinds = [label for label in labels if label not in FACTUALITY]
    values = [label for label in labels if label in FACTUALITY] or [FACTUALITY[0]]
    if len(kinds) != 1 or len(values) != 1:
        raise FormatError(f"relation {result['from_id']}→{result['to_id']} is labelled {labels}; it needs one type")
    ends = [numbers[str(result[key])] for key in ("from_id", "to_id")]
    if result.get("direction") == "left":
        ends.reverse()
    elif result.get("direction", "right") != "right":
        raise FormatError(f"relation {result['from_id']}→{result['to_id']} has no one direction; each is from head to tail")
    return {"type": kinds[0], "factuality": values[0], "from_id": ends[0], "to_id": ends[1], "score": result.get("score")}


def to_task(document: Document) -> dict[str, Any]:
    """One task, for import into a project with ``label_config``."""
    taken = set(OWN) & set(document.fields)
    if taken:
        raise FormatError(f"the header field {min(taken)!r} means something else in Label Studio; rename it")
    record = to_json(document)
    results: list[dict[str, Any]] = []
    for entity in record.pop("entities"):
        value = {"start": entity["start_offset"], "end": entity["end_offset"], "text": entity["text"]}
        results.append(
            {
                "id": f"e{entity['id']}", "from_name": "label", "to_name": "text", "type": "labels",
                "value": {**value, "labels": [entity["label"]]}, **_score(entity),
            }
        )  # fmt: skip
    for relation in record.pop("relations"):
        labels = [relation["type"], *([relation["factuality"]] if relation["factuality"] != FACTUALITY[0] else [])]
        results.append(
            {
                "type": "relation", "from_id": f"e{relation['from_id']}", "to_id": f"e{relation['to_id']}",
                "direction": "right", "labels": labels, **_score(relation),
            }
        )  # fmt: skip
    predicted = any("score" in result for result in results)
    name = record.pop("id")
    kind = {"predictions": [{"result": results}]} if predicted else {"annotations": [{"result": results}]}
    return {"data": {"text": record.pop("text"), "document_id": name, **record}, **kind}


def _score(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"score": item["score"]} if item.get("score") is not None else {}


def label_config() -> str:
    """The labelling interface of a project for our types, right to left."""
    labels = "\n".join(f'    <Label value="{name}"/>' for name in ENTITY_TYPES)
    relations = "\n".join(f'    <Relation value="{name}"/>' for name in (*RELATION_TYPES, *FACTUALITY[1:]))
    return (
        f'<View>\n  <Relations choice="multiple">\n{relations}\n  </Relations>\n'
        f'  <Labels name="label" toName="text">\n{labels}\n  </Labels>\n'
        '  <View style="direction: rtl"><Text name="text" value="$text"/></View>\n</View>\n'
    )
