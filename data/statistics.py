"""Sizes, counts and manner of annotated documents.

    python -m data.statistics data/corpus/train data/corpus/dev data/corpus/test

The tables of ``data/README.md`` are its output.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from data.formats import Problem, read_documents
from data.schema import ARGUMENTS, ENTITY_TYPES, FACTUALITY, NO_PLACE, RELATION_TYPES, Document, Mention, Relation

REAL_MANNER = {
    "words a sentence": 28.8, "sentences without a relation": 0.22, "relations across sentences": 0.07,
    "relations not asserted": 0.19,
}  # fmt: skip
"""The manner of real news: the 22 articles of real_dev, which are not part of the project."""

POSSESSED = re.compile(r"\w{2,}(?:ها|هم|ته|ده|له|يه|ره|فه|اءه)")


@dataclass
class Statistics:
    """Counts over documents; ``relations``, ``factuality`` and ``arguments`` by label."""

    documents: int = 0
    sentences: int = 0
    words: int = 0
    silent: int = 0
    quiet_documents: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    relations: Counter[str] = field(default_factory=Counter)
    factuality: Counter[str] = field(default_factory=Counter)
    arguments: Counter[str] = field(default_factory=Counter)
    across: int = 0
    picked_up: int = 0

    def manner(self) -> dict[str, float]:
        """What ``REAL_MANNER`` names."""
        relations = max(self.relations.total(), 1)
        return {
            "words a sentence": self.words / max(self.sentences, 1),
            "sentences without a relation": self.silent / max(self.sentences, 1),
            "relations across sentences": self.across / relations,
            "relations not asserted": (self.relations.total() - self.factuality[FACTUALITY[0]]) / relations,
        }


def statistics(documents: Iterable[Document]) -> Statistics:
    """Counts documents. Words are those between white space; a quiet document has at most two relations beside
    MEMBER_OF and LOCATED_IN.
    """
    found = Statistics()
    for document in documents:
        found.documents += 1
        found.sentences += len(document.sentences)
        found.words += sum(len(document.text[s.start : s.end].split()) for s in document.sentences)
        found.quiet_documents += sum(r.type not in NO_PLACE for r in document.relations) <= 2
        found.entities.update(m.type for m in document.mentions)
        speaking = set()
        for relation in document.relations:
            found.relations[relation.type] += 1
            found.factuality[relation.factuality] += 1
            found.arguments.update(relation.arguments.keys())
            places = document.relation_sentences(relation)
            speaking.add(places[-1])
            if len(places) == 2:
                found.across += 1
                found.picked_up += picks_up(document, relation)
        found.silent += len(document.sentences) - len(speaking)
    return found


def picks_up(document: Document, relation: Relation) -> bool:
    """Whether the end of a relation that stands in its later sentence is a nominal mention of an actor.

    Nominal, as far as form tells: a ROLE, one word with the article, or a noun with a possessive suffix; never a PER or
    GPE.
    """
    head, tail = document.mention(relation.head), document.mention(relation.tail)
    later: Mention = head if document.sentence_of(head) > document.sentence_of(tail) else tail
    if later.type not in ("ROLE", "ARM", "ORG", "GRP"):
        return False
    words = document.surface(later).split()
    alone = len(words) == 1 and words[0].startswith("ال")
    return later.type == "ROLE" or alone or POSSESSED.fullmatch(words[0]) is not None


def size_table(columns: Mapping[str, Statistics]) -> str:
    """A Markdown table of sizes, a row a split."""
    rows = [
        "| | documents | sentences | entities | relations | across sentences | picked up by a nominal | arguments |"
        " negated | planned | alleged |",
        "|---" * 11 + "|",
    ]
    for name, s in columns.items():
        values = (
            s.documents, s.sentences, s.entities.total(), s.relations.total(), s.across, s.picked_up, s.arguments.total(),
            *(s.factuality[value] for value in FACTUALITY[1:]),
        )  # fmt: skip
        rows.append(f"| {name} | " + " | ".join(f"{value:,}" for value in values) + " |")
    return "\n".join(rows)


def manner_table(columns: Mapping[str, Statistics]) -> str:
    """A Markdown table of the manner beside that of real news."""
    rows = ["| | " + " | ".join([*columns, "real news"]) + " |", "|---" * (len(columns) + 2) + "|"]
    for name, real in REAL_MANNER.items():
        values = [*(s.manner()[name] for s in columns.values()), real]
        rows.append(f"| {name} | " + " | ".join(f"{v:.1f}" if v > 1 else f"{v:.1%}" for v in values) + " |")
    return "\n".join(rows)


def label_table(columns: Mapping[str, Statistics]) -> str:
    """A Markdown table of how often each label occurs."""
    rows = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for labels, counts in (
        (RELATION_TYPES, [s.relations for s in columns.values()]),
        (FACTUALITY, [s.factuality for s in columns.values()]),
        (ARGUMENTS, [s.arguments for s in columns.values()]),
        (ENTITY_TYPES, [s.entities for s in columns.values()]),
    ):
        rows += [f"| {label} | " + " | ".join(f"{count[label]:,}" for count in counts) + " |" for label in labels]
    return "\n".join(rows)


def main(paths: Sequence[str]) -> int:
    """Prints the three tables for folders or files of documents, and for all of them together."""
    everything: list[Document] = []
    problems = 0
    columns: dict[str, Statistics] = {}
    for path in paths:
        documents = []
        for document in read_documents(path):
            if isinstance(document, Problem):
                print(document, file=sys.stderr)
                problems += 1
            else:
                documents.append(document)
        name = path.rstrip("/").split("/")[-1]
        columns[path if name in columns else name] = statistics(documents)
        everything += documents
    if len(columns) != 1:
        columns["all"] = statistics(everything)
    print(size_table(columns), manner_table(columns), label_table(columns), sep="\n\n")
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["data/corpus/train", "data/corpus/dev", "data/corpus/test"]))
