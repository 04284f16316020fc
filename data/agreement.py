"""Agreement of two annotators of the same documents.

    python -m data.agreement data/annotations/first/test data/annotations/second/test

Scored as a model is (``data.scoring``): the first annotation is taken for gold, the second for the prediction. F1 is the
same either way round.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.formats import sound_documents
from data.schema import Document
from data.scoring import METRICS, Scores, score, type_table


def agreement(first: Sequence[Document], second: Sequence[Document]) -> Scores:
    """Scores the second annotation against the first.

    Raises:
        ValueError: They do not hold the same documents (by id), or one has different texts.
    """
    other = {document.id: document for document in second}
    alone = {document.id for document in first} ^ set(other)
    if alone:
        raise ValueError(f"only one of the two has {', '.join(sorted(alone)[:10])}")
    return score(first, [other[document.id] for document in first])


def agreement_table(columns: Mapping[str, Scores]) -> str:
    """A Markdown table, a column a set of documents: F1 with its 95% bootstrap interval and both annotators' counts."""
    rows = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    rows.append("| documents | " + " | ".join(str(s.documents) for s in columns.values()) + " |")
    for metric in METRICS:
        cells = []
        for scores in columns.values():
            total, (low, high) = scores.total(metric), scores.intervals[metric]
            cells.append(f"{total.f1:.3f} [{low:.3f}, {high:.3f}] ({total.gold:,}, {total.predicted:,})")
        rows.append(f"| {metric} | " + " | ".join(cells) + " |")
    accuracy = (f"{s.factuality_accuracy:.3f} ({s.found:,})" for s in columns.values())
    rows.append("| factuality of common relations: accuracy | " + " | ".join(accuracy) + " |")
    macro = ("–" if s.factuality_macro is None else f"{s.factuality_macro:.3f}" for s in columns.values())
    rows.append("| factuality of common relations: macro F1 of negated, planned, alleged | " + " | ".join(macro) + " |")
    return "\n".join(rows)


def main(first: str, second: str) -> int:
    """Prints the agreement of two folders or files of documents."""
    scores = agreement(sound_documents(first), sound_documents(second))
    print(agreement_table({Path(first).name: scores}), type_table(scores), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
