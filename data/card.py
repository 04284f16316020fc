"""The model card, filled from a folder's config, run and results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

METRICS = ("entities (characters, strict)", "Rel", "Rel+", "Rel+ with factuality", "arguments", "Rel+ across sentences")

CARD = """\
# Khabar: who did what to whom, in Arabic news

Reads Arabic news on conflict and politics and says who did what to whom, where, when, with what, who says so, and how
certain the text makes it. {parameters} on `{base}`; one encoder pass tags {entity_count} entity types{relation_text}.

**Allegations are not facts.** The model says what a text says, never what happened. `alleged` marks the content of an
accusation; `asserted` only means that the text puts it forward without such a mark, and `src` says in whose name.

## Use

```python
from transformers import pipeline

pipe = pipeline("khabar", model="{repo_id}", trust_remote_code=True)
record = pipe("استهدفت القوات الحكومية مواقع للمسلحين في ريف المدينة، وفق ما أعلن متحدث عسكري أمس.")
for relation in record["relations"]:
    print(relation["type"], relation["from_id"], relation["to_id"], relation["factuality"], relation["score"])
```

Offsets are half-open, in code points of the untouched input: `text[start_offset:end_offset]` is the mention. Long texts
are read in overlapping windows; nothing is cut off. Scores are calibrated on the development documents.

{labels}
## Results

F1 with 95% bootstrap intervals over documents. Strict: boundaries and type. Rel+ wants type, direction, and both ends
with boundaries and entity type (Taillé et al. 2020); gold that the tagger missed counts as missed. n counts gold items.

{results}

## Training

{training}

## Data and licences

Trained on documents that were written and annotated for this project by a language model under written guidelines (see
`data/corpus` and `data/GUIDELINES.md` of the project, CC BY 4.0). Their events are fictional, some on the outline of
real ones. Code and weights: Apache-2.0. The encoder intfloat/multilingual-e5-small is MIT.

## Limits

- Modern Standard Arabic news; other genres and dialects were not measured.
- Relations are read within a sentence and over two adjacent ones; mentions are not linked across a document.
- The scores above are far from an annotator's: check what matters against the sentence, which the offsets give.
- What the corpus has seldom (rare types, countries and spellings) is found seldom.

## Misuse

Not evidence against anybody. Do not use it to select persons or groups for arrest, attack, sanction or surveillance,
nor publish its output as established fact: it repeats errors, propaganda and defamation that a text contains, and adds
its own errors.
"""


def model_card(
    config: Mapping[str, Any], run: Mapping[str, Any], results: Mapping[str, Any], *, repo_id: str, size: int
) -> str:
    """The card with its hub metadata; ``size`` is that of the weights file in bytes."""
    relations = config.get("relation_types", {})
    base = str(run.get("base_model", "a local encoder"))
    metadata: dict[str, Any] = {
        "language": ["ar"],
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "token-classification",
        "tags": ["relation-extraction", "named-entity-recognition", "event-extraction", "arabic", "news", "conflict"],
    }
    if base.count("/") == 1 and not base.startswith((".", "/")) and not Path(base).exists():
        metadata["base_model"] = base
    if "/" in repo_id:
        metadata["datasets"] = [f"{repo_id.split('/')[0]}/khabar-corpus"]
    if results:
        metadata["model-index"] = [{"name": repo_id.split("/")[-1], "results": _model_index(results)}]
    text = CARD.format(
        parameters=f"{size / 2e6:.1f} million parameters ({size / 1e6:.0f} MB in fp16)",
        base=base,
        entity_count=len(config.get("entity_types", [])),
        relation_text=f" and classifies {len(relations)} directed relation types" if relations else "",
        repo_id=repo_id,
        labels=_labels(config),
        results=_results(results),
        training=_training(run),
    )
    return f"---\n{yaml.safe_dump(metadata, allow_unicode=True, sort_keys=False)}---\n\n{text}"


def _labels(config: Mapping[str, Any]) -> str:
    lines = [f"Entities: {', '.join(config.get('entity_types', []))}.\n"]
    if config.get("relation_types"):
        lines.append(f"Relations: {', '.join(config['relation_types'])}.\n")
        lines.append(f"Factuality: {', '.join(config['factuality'])}. Arguments: {', '.join(config['arguments'])}.\n")
    return "\n".join(lines)


def _results(results: Mapping[str, Any]) -> str:
    if not results:
        return "Not measured yet."
    lines = ["| | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    lines.append("| documents | " + " | ".join(str(r["documents"]) for r in results.values()) + " |")
    for metric in METRICS:
        cells = []
        for scores in results.values():
            m = scores[metric]
            cells.append(f"{m['f1']:.3f} [{m['interval'][0]:.3f}, {m['interval'][1]:.3f}] n={m['gold']}")
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    words = "entities (words, seqeval strict IOB2)"
    lines.append(f"| {words} | " + " | ".join(f"{r[words]:.3f}" for r in results.values()) + " |")
    given = "Rel+ with gold entities"
    lines.append(f"| {given} | " + " | ".join(f"{r[given]['f1']:.3f}" if given in r else "–" for r in results.values()) + " |")
    calibrations = (r["calibration"] for r in results.values())
    lines.append(
        "| calibration error (noise floor) | " + " | ".join(f"{c['error']:.3f} ({c['floor']:.3f})" for c in calibrations) + " |"
    )
    return "\n".join(lines)


def _model_index(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "task": {"type": "token-classification", "name": "entities and relations"},
            "dataset": {"type": "khabar", "name": name},
            "metrics": [
                {"type": "f1", "name": metric, "value": scores[metric]["f1"]} for metric in METRICS if scores[metric]["gold"]
            ],
        }
        for name, scores in results.items()
    ]


def _training(run: Mapping[str, Any]) -> str:
    if not run:
        return "Nothing is recorded of the run."
    return "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in run.items())
