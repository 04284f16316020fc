"""From a text to its mentions and relations: the two stages of inference and the decisions between them.

Stage one encodes every window once and tags its words; each unit's tags come from the window that decides it. Stage two
classifies all type-allowed pairs of the mentions found, on the word states of stage one.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from transformers import PreTrainedTokenizerBase

from .configuration_khabar import KhabarConfig
from .features import WordMention, collate, mention_span, pad, pair_features, window_features
from .mentions import find_mentions
from .modeling_khabar import KhabarModel
from .names import clean_name
from .windows import EncodedText, encode_text

RELATIONS = 1024
"""Relations whose arguments are looked for at a time; bounds memory."""

States = dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
"""By text and window: states, tag logits and proclitic logits of its words."""


@dataclass(frozen=True)
class FoundRelation:
    """A relation between two mentions, as indices into the text's mentions; ``logit`` is of the uncalibrated score."""

    type: str
    head: int
    tail: int
    factuality: str
    arguments: dict[str, int]
    score: float
    logit: float


@dataclass(frozen=True)
class Annotation:
    """What was found in one text."""

    encoded: EncodedText
    mentions: list[WordMention] = field(default_factory=list)
    relations: list[FoundRelation] = field(default_factory=list)


def calibrated(logit: torch.Tensor, config: KhabarConfig) -> torch.Tensor:
    """Probability that a relation is right from the logit of its uncalibrated score."""
    return torch.sigmoid(logit / config.temperatures["relation"] + config.temperatures["relation_bias"])


def pair_logits(
    relation_logits: torch.Tensor, pairs: list[tuple[int, int]], mention_scores: torch.Tensor, config: KhabarConfig
) -> torch.Tensor:
    """[pairs, relations] logits of the uncalibrated scores: probability of the relation times those of its mentions.

    The two directions of a symmetric relation share their mean, and only the one whose head stands first is kept.
    """
    logits = relation_logits.double()
    place = {pair: i for i, pair in enumerate(pairs)}
    for name in config.symmetric:
        kind = config.relations.index(name)
        for (head, tail), i in place.items():
            other = place.get((tail, head))
            if other is not None and head < tail:
                logits[i, kind] = (logits[i, kind] + logits[other, kind]) / 2
                logits[other, kind] = torch.finfo(torch.float32).min
    log_score = torch.nn.functional.logsigmoid(logits) + mention_scores.log().double().unsqueeze(-1)
    log_score = log_score.clamp(max=-1e-9)
    return log_score - torch.log(-torch.expm1(log_score))


class Annotator:
    """Finds mentions and relations in texts; each window is encoded once.

    Args:
        model: In evaluation mode, on any device.
        tokenizer: The one that the model was trained with.
        batch_size: Windows in a batch.
        min_score: Emit no relation below this score, whatever its threshold says.
    """

    def __init__(
        self, model: KhabarModel, tokenizer: PreTrainedTokenizerBase, *, batch_size: int = 8, min_score: float = 0.0
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = cast(KhabarConfig, model.config)
        self.batch_size = batch_size
        self.min_score = min_score

    def encode(self, text: str) -> EncodedText:
        """Cuts a text into windows."""
        return encode_text(text, self.tokenizer, window=self.config.window)

    @torch.inference_mode()
    def read(self, texts: Sequence[EncodedText]) -> States:
        """Stage one: encodes and tags each window once."""
        windows = [(i, w) for i, text in enumerate(texts) for w in range(len(text.windows))]
        features = [window_features(texts[i], w, self.tokenizer) for i, w in windows]
        states: States = {}
        for rows in self._batches([len(f["input_ids"]) for f in features]):
            batch = self._collate([features[row] for row in rows])
            del batch["word_unit"]
            out = self.model.encode(**batch)
            for j, row in enumerate(rows):
                count = len(features[row]["word_first"])
                states[windows[row]] = (
                    out.word_states[j, :count], out.tag_logits[j, :count].cpu(), out.proclitic_logits[j, :count].cpu()
                )  # fmt: skip
        return states

    def mentions(self, texts: Sequence[EncodedText], states: States) -> list[list[WordMention]]:
        """The mentions of each text, from what ``read`` gave."""
        return [
            find_mentions(
                text,
                [states[i, w][1] for w in range(len(text.windows))],
                [states[i, w][2] for w in range(len(text.windows))],
                self.config,
            )
            for i, text in enumerate(texts)
        ]

    @torch.inference_mode()
    def annotate(
        self,
        texts: Sequence[EncodedText],
        *,
        states: States | None = None,
        mentions: Sequence[list[WordMention]] | None = None,
        candidates: bool = False,
    ) -> list[Annotation]:
        """Annotates texts, in their order.

        Args:
            texts: From ``encode``.
            states: What ``read`` gave for them, if it has been called.
            mentions: Use these mentions instead of finding them (gold-entity evaluation).
            candidates: Return every possible relation whose uncalibrated score is above 0.01, whatever the thresholds;
                for fitting them.
        """
        if states is None:
            states = self.read(texts)
        if mentions is None:
            mentions = self.mentions(texts, states)
        relations: list[list[FoundRelation]] = [[] for _ in texts]
        if self.model.pairs is not None:
            for found_in, found in self._relations(texts, states, mentions, candidates):
                relations[found_in].append(found)
        order = [sorted(found, key=lambda r: (max(r.head, r.tail), r.head, r.tail, r.type)) for found in relations]
        return [Annotation(text, list(m), r) for text, m, r in zip(texts, mentions, order, strict=True)]

    def _batches(self, sizes: list[int]) -> Iterator[list[int]]:
        """Row numbers in batches of similar size, largest first."""
        order = sorted(range(len(sizes)), key=lambda row: -sizes[row])
        for i in range(0, len(order), self.batch_size):
            yield order[i : i + self.batch_size]

    def _collate(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = collate(features, pad_token_id=self.tokenizer.pad_token_id)
        return {key: value.to(self.model.device) for key, value in batch.items()}

    def _relations(
        self, texts: Sequence[EncodedText], states: States, mentions: Sequence[list[WordMention]], candidates: bool
    ) -> Iterator[tuple[int, FoundRelation]]:
        pairs = self.model.pairs
        windows = [(i, w) for i, text in enumerate(texts) for w in range(len(text.windows))]
        units = [window_features(texts[i], w, self.tokenizer)["word_unit"] for i, w in windows]
        paired = [pair_features(texts[i], w, mentions[i], self.config) for i, w in windows]
        with_pairs = [row for row in range(len(windows)) if paired[row]["pair_head"]]
        for numbers in self._batches([len(paired[row]["pair_head"]) for row in with_pairs]):
            rows = [with_pairs[number] for number in numbers]
            batch = self._collate([paired[row] for row in rows])
            word_states = torch.nn.utils.rnn.pad_sequence([states[windows[row]][0] for row in rows], batch_first=True)
            unit = pad([units[row] for row in rows], -1).to(self.model.device)
            logits, factuality, pair_states, mention_states = pairs(word_states, unit, **batch)
            chosen = []
            for j, row in enumerate(rows):
                chosen += self._choose(j, paired[row], logits[j].cpu(), mentions[windows[row][0]], candidates)
            for first in range(0, len(chosen), RELATIONS):
                some = chosen[first : first + RELATIONS]
                at = torch.tensor([[j, pair, kind] for j, pair, kind, _ in some], device=self.model.device)
                window, pair, kind = at.unbind(1)
                values = factuality[window, pair, kind].argmax(-1).tolist()
                fillers = pairs.arguments_of(
                    pair_states[window, pair], mention_states, unit, batch["mention_first"], batch["mention_type"],
                    window, batch["pair_head"][window, pair], batch["pair_tail"][window, pair], kind,
                )  # fmt: skip
                best = fillers.argmax(-1).tolist()
                arguments = [{name: m - 1 for name, m in zip(self.config.arguments, row, strict=True) if m > 0} for row in best]
                for (j, place, number, logit), value, filled in zip(some, values, arguments, strict=True):
                    row = rows[j]
                    index = paired[row]["mention_index"]
                    name = self.config.relations[number]
                    score = float(calibrated(torch.tensor(logit), self.config))
                    yield (
                        windows[row][0],
                        FoundRelation(
                            name,
                            index[paired[row]["pair_head"][place]],
                            index[paired[row]["pair_tail"][place]],
                            self.config.factuality[value],
                            {k: index[v] for k, v in filled.items() if not (k == "at" and name in self.config.no_place)},
                            score,
                            logit,
                        ),
                    )

    def _choose(
        self, j: int, paired: dict[str, Any], logits: torch.Tensor, mentions: list[WordMention], candidates: bool
    ) -> list[tuple[int, int, int, float]]:
        """(row of the batch, pair, relation, uncalibrated logit) of the relations of one window that are emitted."""
        index = paired["mention_index"]
        ends = [(index[h], index[t]) for h, t in zip(paired["pair_head"], paired["pair_tail"], strict=True)]
        scores = torch.tensor([mentions[h].score * mentions[t].score for h, t in ends])
        combined = pair_logits(logits[: len(ends)], ends, scores, self.config)
        if candidates:
            keep = combined > -4.6  # a score of 0.01
        else:
            least = [self.config.thresholds.get(n, self.config.thresholds["default"]) for n in self.config.relations]
            keep = calibrated(combined, self.config) >= torch.tensor(least).clamp(min=self.min_score)
        return [(j, pair, kind, float(combined[pair, kind])) for pair, kind in keep.nonzero().tolist()]


def to_record(annotation: Annotation, config: KhabarConfig) -> dict[str, Any]:
    """An annotation as the JSON object that ``predict.py`` writes (without id and date)."""
    text = annotation.encoded.text
    spans = [mention_span(annotation.encoded, m) for m in annotation.mentions]
    sentence = _sentence_numbers(annotation.encoded, spans)
    entities = [
        {
            "id": i + 1, "label": config.entity_types[m.type], "start_offset": start, "end_offset": end,
            "text": text[start:end], "name": clean_name(text, start, end), "score": round(m.score, 4),
        }
        for i, (m, (start, end)) in enumerate(zip(annotation.mentions, spans, strict=True))
    ]  # fmt: skip
    relations = [
        {
            "id": i + 1, "type": r.type, "from_id": r.head + 1, "to_id": r.tail + 1, "factuality": r.factuality,
            "score": round(r.score, 4),
            **{name: r.arguments[name] + 1 if name in r.arguments else None for name in config.arguments},
            "sentences": sorted({sentence[r.head], sentence[r.tail]}),
        }
        for i, r in enumerate(annotation.relations)
    ]  # fmt: skip
    return {
        "text": text,
        "sentences": [list(s) for s in annotation.encoded.sentences],
        "entities": entities,
        "relations": relations,
        "schema": config.schema,
    }


def _sentence_numbers(encoded: EncodedText, spans: list[tuple[int, int]]) -> list[int]:
    return [bisect.bisect_right(encoded.sentences, start, key=lambda s: s[0]) - 1 for start, _ in spans]
