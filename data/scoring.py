"""Scores of predicted documents against gold ones.

Rel counts a relation as right when its type and the boundaries of its head and tail are; Rel+ wants the entity types
too (Taillé et al. 2020, arXiv:2009.10684). Gold that the tagger missed counts as missed. Intervals are percentiles of a
bootstrap over documents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from data.schema import FACTUALITY, SYMMETRIC, Document, Mention, Relation
from model.text import words

Key = tuple[Hashable, ...]

ENTITIES = "entities (characters, strict)"
REL = "Rel"
REL_PLUS = "Rel+"
FACTUAL = "Rel+ with factuality"
ARGUMENT = "arguments"
CROSS = "Rel+ across sentences"
METRICS = (ENTITIES, REL, REL_PLUS, FACTUAL, ARGUMENT, CROSS)


@dataclass(frozen=True)
class Counts:
    """True positives, gold and predicted items."""

    right: int = 0
    gold: int = 0
    predicted: int = 0

    @property
    def precision(self) -> float:
        """Share of the predicted items that are right; 0 where nothing was predicted."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold items that were found; 0 where there are none."""
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where both sides are empty."""
        return 2 * self.right / (self.gold + self.predicted) if self.gold + self.predicted else 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.gold + other.gold, self.predicted + other.predicted)


def mention_key(mention: Mention) -> tuple[int, int, str]:
    """Boundaries and type."""
    return mention.start, mention.end, mention.type


def relation_ends(document: Document, relation: Relation) -> tuple[Mention, Mention]:
    """Head and tail; of a symmetric relation the first-mentioned first."""
    head, tail = document.mention(relation.head), document.mention(relation.tail)
    if relation.type in SYMMETRIC and tail.start < head.start:
        return tail, head
    return head, tail


def rel_plus_key(document: Document, relation: Relation) -> Key:
    """What Rel+ compares: type, boundaries and entity types."""
    head, tail = relation_ends(document, relation)
    return relation.type, mention_key(head), mention_key(tail)


def items(document: Document, sentences: Document) -> dict[str, dict[Key, str]]:
    """What each metric counts in one document: metric → item → its type. ``sentences`` says where sentences end."""
    found: dict[str, dict[Key, str]] = {metric: {} for metric in METRICS}
    for mention in document.mentions:
        found[ENTITIES][mention_key(mention)] = mention.type
    for relation in document.relations:
        head, tail = relation_ends(document, relation)
        plus = rel_plus_key(document, relation)
        found[REL][relation.type, head.start, head.end, tail.start, tail.end] = relation.type
        found[REL_PLUS][plus] = relation.type
        found[FACTUAL][(*plus, relation.factuality)] = relation.type
        for argument, id in relation.arguments.items():
            found[ARGUMENT][(*plus, argument, mention_key(document.mention(id)))] = argument
        if sentences.sentence_of(head) != sentences.sentence_of(tail):
            found[CROSS][plus] = relation.type
    return found


@dataclass
class Scores:
    """Scores of one set of documents.

    Attributes:
        documents: How many.
        per_document: Metric → counts of each document.
        per_type: Metric → type → counts.
        word_f1: Entity F1 at word level (seqeval, strict, IOB2).
        factuality_accuracy: On relations that Rel+ calls found.
        factuality_macro: Mean F1 of the values but the default, on found relations; None where gold has none of them.
        found: How many relations that is.
        calibration_error: Expected calibration error of emitted relations, right meaning Rel+.
        calibration_floor: What a perfectly calibrated model would show at this number of relations, on average.
    """

    documents: int
    per_document: dict[str, list[Counts]]
    per_type: dict[str, dict[str, Counts]]
    word_f1: float
    factuality_accuracy: float
    factuality_macro: float | None
    found: int
    calibration_error: float
    calibration_floor: float
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

    def total(self, metric: str) -> Counts:
        """Counts over all documents."""
        return sum(self.per_document[metric], Counts())

    def macro(self, metric: str) -> float:
        """Mean F1 of the types that gold holds."""
        values = [counts.f1 for counts in self.per_type[metric].values() if counts.gold]
        return float(np.mean(values)) if values else 0.0

    def to_json(self) -> dict[str, Any]:
        """Everything, rounded to four digits, for programs."""
        out: dict[str, Any] = {"documents": self.documents, "entities (words, seqeval strict IOB2)": round(self.word_f1, 4)}
        for metric in METRICS:
            total = self.total(metric)
            out[metric] = {
                **_counts_json(total),
                "macro_f1": round(self.macro(metric), 4),
                "interval": [round(x, 4) for x in self.intervals[metric]],
                "types": {name: _counts_json(counts) for name, counts in sorted(self.per_type[metric].items())},
            }
        macro = self.factuality_macro
        out["factuality on found relations"] = {
            "n": self.found, "accuracy": round(self.factuality_accuracy, 4),
            "macro_f1": None if macro is None else round(macro, 4),
        }  # fmt: skip
        out["calibration"] = {"error": round(self.calibration_error, 4), "floor": round(self.calibration_floor, 4)}
        return out


def _counts_json(counts: Counts) -> dict[str, Any]:
    return {
        "precision": round(counts.precision, 4), "recall": round(counts.recall, 4), "f1": round(counts.f1, 4),
        "gold": counts.gold, "predicted": counts.predicted,
    }  # fmt: skip


def score(gold: Sequence[Document], predicted: Sequence[Document], *, bootstrap: int = 1000, seed: int = 0) -> Scores:
    """Scores predictions against the gold documents of the same texts in the same order.

    Raises:
        ValueError: The two do not have the same texts.
    """
    per_document: dict[str, list[Counts]] = {metric: [] for metric in METRICS}
    per_type: dict[str, dict[str, Counts]] = {metric: defaultdict(Counts) for metric in METRICS}
    confidence: list[tuple[float, bool]] = []
    values: list[tuple[str, str]] = []
    for right, guess in zip(gold, predicted, strict=True):
        if right.text != guess.text:
            raise ValueError(f"document {right.id}: gold and prediction have different texts")
        a, b = items(right, guess), items(guess, guess)
        for metric in METRICS:
            both = a[metric].keys() & b[metric].keys()
            per_document[metric].append(Counts(len(both), len(a[metric]), len(b[metric])))
            for name in {*a[metric].values(), *b[metric].values()}:
                per_type[metric][name] += Counts(
                    sum(a[metric][key] == name for key in both),
                    sum(kind == name for kind in a[metric].values()),
                    sum(kind == name for kind in b[metric].values()),
                )
        truth: dict[Key, list[str]] = {}
        for relation in right.relations:
            truth.setdefault(rel_plus_key(right, relation), []).append(relation.factuality)
        for relation in guess.relations:
            key = rel_plus_key(guess, relation)
            if relation.score is not None:
                confidence.append((relation.score, key in truth))
            if key in truth:
                true = truth[key]  # two values where gold has the relation twice; either is right
                values.append((relation.factuality if relation.factuality in true else true[0], relation.factuality))
    tags = [(word_tags(g), word_tags(p)) for g, p in zip(gold, predicted, strict=True)]
    tags = [pair for pair in tags if pair[0]]
    error, floor = calibration(confidence, seed=seed)
    scores = Scores(
        documents=len(gold),
        per_document=per_document,
        per_type={metric: dict(types) for metric, types in per_type.items()},
        word_f1=float(f1_score([t for t, _ in tags], [p for _, p in tags], mode="strict", scheme=IOB2, zero_division=0))
        if tags
        else 0.0,
        factuality_accuracy=float(np.mean([t == p for t, p in values])) if values else 0.0,
        factuality_macro=_factuality_macro(values),
        found=len(values),
        calibration_error=error,
        calibration_floor=floor,
    )
    scores.intervals = {metric: interval(per_document[metric], samples=bootstrap, seed=seed) for metric in METRICS}
    return scores


def word_tags(document: Document) -> list[str]:
    """IOB2 tags of the document's words; a word belongs to the first mention that it overlaps."""
    tags = []
    mentions = iter(document.mentions)
    mention = next(mentions, None)
    before: Mention | None = None
    for start, end in words(document.text):
        while mention is not None and mention.end <= start:
            mention = next(mentions, None)
        if mention is None or mention.start >= end:
            tags.append("O")
        else:
            tags.append(f"{'I' if mention is before else 'B'}-{mention.type}")
            before = mention
    return tags


def _factuality_macro(values: Iterable[tuple[str, str]]) -> float | None:
    pairs = list(values)
    scores = []
    for value in FACTUALITY[1:]:
        counts = Counts(
            sum(t == p == value for t, p in pairs), sum(t == value for t, _ in pairs), sum(p == value for _, p in pairs)
        )
        if counts.gold:
            scores.append(counts.f1)
    return float(np.mean(scores)) if scores else None


def interval(counts: Sequence[Counts], *, samples: int, seed: int) -> tuple[float, float]:
    """95% interval of F1: percentiles over ``samples`` resamplings of the documents; (0, 0) with none."""
    if not counts or not samples:
        return 0.0, 0.0
    table = np.array([(c.right, c.gold + c.predicted) for c in counts], dtype=float)
    chosen = np.random.default_rng(seed).integers(0, len(table), (samples, len(table)))
    sums = table[chosen].sum(1)
    values = 2 * sums[:, 0] / np.maximum(sums[:, 1], 1)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def calibration(confidence: Sequence[tuple[float, bool]], *, bins: int = 10, seed: int = 0) -> tuple[float, float]:
    """Expected calibration error over equal-width bins (Guo et al. 2017), and its noise floor.

    The floor is the mean error of outcomes drawn from the scores themselves.
    """
    if not confidence:
        return 0.0, 0.0
    scores = np.array([s for s, _ in confidence])
    right = np.array([float(r) for _, r in confidence])
    place = np.minimum((scores * bins).astype(int), bins - 1)
    member = np.eye(bins)[place]  # items, bins

    def error(outcomes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        gaps: np.ndarray[Any, Any] = np.abs((outcomes - scores) @ member).sum(-1) / len(scores)
        return gaps

    drawn = np.random.default_rng(seed).random((200, len(scores))) < scores
    return float(error(right)), float(error(drawn.astype(float)).mean())


def table(columns: Mapping[str, Scores]) -> str:
    """A table for people: a row a metric, a column a set of documents, F1 with its interval and n."""
    names = list(columns)
    rows = [["", *names], ["documents", *(str(columns[n].documents) for n in names)]]
    rows.append(["entities (words, seqeval strict)", *(f"{columns[n].word_f1:.3f}" for n in names)])
    for metric in METRICS:
        cells = []
        for name in names:
            total, (low, high) = columns[name].total(metric), columns[name].intervals[metric]
            cells.append(f"{total.f1:.3f} [{low:.3f}, {high:.3f}] P {total.precision:.2f} R {total.recall:.2f} n {total.gold}")
        rows.append([metric, *cells])
        if metric in (ENTITIES, REL_PLUS):
            rows.append([f"  macro over types, {metric}", *(f"{columns[n].macro(metric):.3f}" for n in names)])
    rows.append(
        ["factuality on found: accuracy", *(f"{columns[n].factuality_accuracy:.3f} (n {columns[n].found})" for n in names)]
    )
    macros = (columns[n].factuality_macro for n in names)
    rows.append(["factuality on found: macro F1", *("–" if m is None else f"{m:.3f}" for m in macros)])
    rows.append(
        [
            "calibration error (floor)",
            *(f"{columns[n].calibration_error:.3f} ({columns[n].calibration_floor:.3f})" for n in names),
        ]
    )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def type_table(scores: Scores) -> str:
    """F1 by entity type and by relation type, most frequent first."""
    lines = []
    for metric in (ENTITIES, REL_PLUS):
        lines.append(f"{metric}, by type")
        ordered = sorted(scores.per_type[metric].items(), key=lambda item: -item[1].gold)
        lines += [
            f"  {name:12} F1 {c.f1:.3f}  P {c.precision:.2f}  R {c.recall:.2f}  gold {c.gold}  predicted {c.predicted}"
            for name, c in ordered
        ]
    return "\n".join(lines)
