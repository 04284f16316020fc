"""Temperatures and thresholds of a trained model, fitted end to end on development documents."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from data.prediction import to_document
from data.schema import Document
from data.scoring import mention_key, rel_plus_key
from model.configuration_khabar import KhabarConfig
from model.decoding import Annotation, Annotator, States
from model.modeling_khabar import KhabarModel
from model.windows import EncodedText

logger = logging.getLogger(__name__)

TAG_TEMPERATURES = (0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.9)
MIN_POSITIVES = 30
"""A relation type with fewer gold relations in the development set takes the shared threshold."""

TRUST = 20
"""A type's own threshold is its best one, drawn to the shared one as if by this many positives."""


@dataclass(frozen=True)
class Candidates:
    """Possible relations of the development set: type, logit of the uncalibrated score, and whether Rel+ calls it right."""

    types: np.ndarray
    logits: np.ndarray
    right: np.ndarray
    gold: Counter[str]


def fit(model: KhabarModel, tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document]) -> None:
    """Sets ``temperatures`` and ``thresholds`` of ``model.config`` from gold documents; the weights stay."""
    annotator = Annotator(model, tokenizer)
    config = model.config
    config.temperatures = {"tag": 1.0, "relation": 1.0, "relation_bias": 0.0}
    config.thresholds = {"default": 0.5}
    texts = [annotator.encode(document.text) for document in documents]
    states = annotator.read(texts)
    losses = {}
    for temperature in TAG_TEMPERATURES:
        config.temperatures["tag"] = temperature
        losses[temperature] = _mention_loss(annotator, documents, texts, states)
    config.temperatures["tag"] = min(losses, key=lambda t: losses[t])
    if model.pairs is None:
        return
    found = _candidates(documents, annotator.annotate(texts, states=states, candidates=True), annotator.config)
    if not found.right.any():
        logger.warning("no relation of the development set was found; thresholds stay at 0.5")
        return
    scale, bias = _fit_scale(found)
    config.temperatures |= {"relation": round(1 / scale, 4), "relation_bias": round(bias, 4)}
    scores = 1 / (1 + np.exp(-(found.logits * scale + bias)))
    config.thresholds = {name: round(float(value), 4) for name, value in _thresholds(found, scores).items()}
    logger.info("temperatures %s, thresholds %s", config.temperatures, config.thresholds)


def _mention_loss(annotator: Annotator, documents: Sequence[Document], texts: Sequence[EncodedText], states: States) -> float:
    """Mean log loss of mention scores, right meaning boundaries and type."""
    losses = []
    for document, text, mentions in zip(documents, texts, annotator.mentions(texts, states), strict=True):
        gold = {mention_key(m) for m in document.mentions}
        for mention in to_document(Annotation(text, mentions), document, annotator.config).mentions:
            score = min(max(mention.score or 0.0, 1e-4), 1 - 1e-4)
            losses.append(-np.log(score if mention_key(mention) in gold else 1 - score))
    return float(np.mean(losses)) if losses else 0.0


def _candidates(documents: Sequence[Document], annotations: Sequence[Annotation], config: KhabarConfig) -> Candidates:
    types, logits, right = [], [], []
    gold: Counter[str] = Counter()
    for document, annotation in zip(documents, annotations, strict=True):
        truth = {rel_plus_key(document, r) for r in document.relations}
        gold.update(str(key[0]) for key in truth)
        guess = to_document(Annotation(annotation.encoded, annotation.mentions), document, config)
        for relation in annotation.relations:
            head, tail = guess.mentions[relation.head], guess.mentions[relation.tail]
            types.append(relation.type)
            logits.append(relation.logit)
            right.append((relation.type, mention_key(head), mention_key(tail)) in truth)
    return Candidates(np.array(types), np.array(logits, dtype=float), np.array(right, dtype=bool), gold)


def _fit_scale(found: Candidates) -> tuple[float, float]:
    """Scale and bias of the logits by logistic regression (Platt 1999), by maximum likelihood."""
    x, y = torch.tensor(found.logits), torch.tensor(found.right, dtype=torch.float64)
    weights = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x * weights[0] + weights[1], y)
        loss.backward()
        return loss

    optimizer.step(closure)
    return max(float(weights[0].detach()), 0.05), float(weights[1].detach())


def _thresholds(found: Candidates, scores: np.ndarray) -> dict[str, float]:
    """The shared threshold and those of frequent types that maximise micro Rel+ F1 on the development set."""
    grid = np.arange(0.05, 0.9, 0.01)
    total = sum(found.gold.values())

    def micro(keep: np.ndarray) -> float:
        return 2 * float((keep & found.right).sum()) / (total + float(keep.sum()))

    shared = float(max(grid, key=lambda t: micro(scores >= t)))
    chosen = {"default": shared}
    keep = scores >= shared
    for name, count in found.gold.items():
        if count < MIN_POSITIVES:
            continue
        own = found.types == name
        best = float(max(grid, key=lambda t: micro(np.where(own, scores >= t, keep))))
        chosen[name] = (count * best + TRUST * shared) / (count + TRUST)
    return chosen
