"""The corpus as a dataset on the Hugging Face hub: JSONL by split, with a card that ``datasets`` reads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets
from datasets import DatasetInfo, Features, List, Value
from huggingface_hub import DatasetCardData

from data.formats import sound_documents, write_documents
from data.formats.jsonl import to_json
from data.schema import ARGUMENTS, Document

DATA = Path(__file__).resolve().parent
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
"""Folder in the corpus: split on the hub."""

INTRODUCTION = """```python
from datasets import load_dataset

load_dataset("{repo_id}")
```

Each line is a document: `id, date, style, brief, text`, `sentences` (offsets), `entities` (`id, label, start_offset,
end_offset, text`) and `relations` (`type, from_id, to_id, factuality`, the entity ids `at, on, with, src` or null, and the
indices of their `sentences`). Offsets are half-open and count code points.

"""

_NUMBER, _STRING = Value("int64"), Value("string")
FEATURES = Features(
    {
        "id": _STRING,
        "date": Value("timestamp[s]"),
        "text": _STRING,
        "sentences": List(List(_NUMBER)),
        "entities": List(
            {"id": _NUMBER, "label": _STRING, "start_offset": _NUMBER, "end_offset": _NUMBER, "text": _STRING}
        ),
        "relations": List(
            {
                "id": _NUMBER, "type": _STRING, "from_id": _NUMBER, "to_id": _NUMBER, "factuality": _STRING,
                **dict.fromkeys(ARGUMENTS, _NUMBER), "sentences": List(_NUMBER),
            }
        ),
        "schema": _STRING,
        "style": _STRING,
        "brief": _STRING,
    }
)  # fmt: skip
"""Of the records as ``datasets`` loads them; its JSON reader makes timestamps of dates."""


def card(splits: Mapping[str, Sequence[Document]], *, repo_id: str, datasheet: str) -> str:
    """README.md of the dataset: the hub's header, how to load it, the datasheet."""
    header = DatasetCardData(
        language=["ar"],
        license="cc-by-4.0",
        pretty_name=repo_id.split("/")[-1],
        size_categories=["n<1K" if sum(map(len, splits.values())) < 1000 else "1K<n<10K"],
        task_categories=["token-classification"],
        tags=["relation-extraction", "named-entity-recognition", "factuality", "news", "conflict", "synthetic"],
        annotations_creators=["machine-generated"],
        language_creators=["machine-generated"],
        multilinguality=["monolingual"],
        source_datasets=["original"],
        configs=[{"config_name": "default", "data_files": [{"split": split, "path": f"{split}.jsonl"} for split in splits]}],
    )
    datasets.info.DatasetInfosDict(default=DatasetInfo(features=FEATURES)).to_dataset_card_data(header)
    return f"---\n{header.to_yaml()}\n---\n\n{INTRODUCTION.format(repo_id=repo_id)}{datasheet}"


def read_splits(corpus: Path) -> dict[str, list[Document]]:
    """The documents of each split, under the split's name on the hub.

    Raises:
        ValueError: A document that is not sound.
    """
    return {split: sound_documents(corpus / folder) for folder, split in SPLITS.items()}


def stage_corpus(target: Path, *, repo_id: str, source: Path = DATA) -> list[str]:
    """Writes to ``target`` exactly the files that go to the hub, and loads them as a user of ``datasets`` would.

    Args:
        target: A new or empty folder.
        repo_id: owner/name on the hub.
        source: Folder with ``corpus/`` (and its LICENSE), ``README.md``, ``GUIDELINES.md`` and ``learning_curve.svg``.

    Returns:
        The files' names.

    Raises:
        ValueError: A document is not sound, or comes back from ``datasets`` changed.
    """
    target.mkdir(parents=True, exist_ok=True)
    splits = read_splits(source / "corpus")
    for split, documents in splits.items():
        write_documents(documents, target / f"{split}.jsonl")
    datasheet = (source / "README.md").read_text(encoding="utf-8")
    (target / "README.md").write_text(card(splits, repo_id=repo_id, datasheet=datasheet), encoding="utf-8")
    for name in ("GUIDELINES.md", "learning_curve.svg"):
        shutil.copyfile(source / name, target / name)
    shutil.copyfile(source / "corpus" / "LICENSE", target / "LICENSE")
    check_loads(target, splits)
    return sorted(path.name for path in target.iterdir())


def check_loads(folder: Path, splits: Mapping[str, Sequence[Document]]) -> None:
    """Loads a staged folder with ``datasets.load_dataset`` and compares every record.

    Raises:
        ValueError: One differs.
    """
    with tempfile.TemporaryDirectory() as cache:
        loaded = datasets.load_dataset(str(folder), cache_dir=cache)
        for split, documents in splits.items():
            for record, document in zip(loaded[split], documents, strict=True):
                if record["date"] is not None:
                    record["date"] = record["date"].date().isoformat()
                if record != {**dict.fromkeys(FEATURES), **to_json(document)}:
                    raise ValueError(f"document {document.id} comes back changed from datasets.load_dataset")
