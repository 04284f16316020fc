"""From documents to features: the only way, for training, evaluation and inference.

The features are those of ``model.features``; ``training_dataset`` adds labels to them, and nothing else differs.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase

from data.schema import (
    ARGUMENTS,
    EITHER_TYPE,
    ENTITY_TYPES,
    FACTUALITY,
    NO_PLACE,
    RELATION_TYPES,
    SCHEMA_VERSION,
    SYMMETRIC,
    Document,
)
from model.configuration_khabar import KhabarConfig
from model.features import IGNORED, WordMention, collate, mention_unit, mention_words, pair_features, window_features
from model.windows import EncodedText, encode_text

logger = logging.getLogger(__name__)


def schema_config() -> dict[str, Any]:
    """The label sets and constraints of ``data.schema`` as arguments of ``KhabarConfig``."""
    return {
        "entity_types": list(ENTITY_TYPES),
        "either_type": [list(group) for group in EITHER_TYPE],
        "relation_types": {name: [list(heads), list(tails)] for name, (heads, tails) in RELATION_TYPES.items()},
        "symmetric": list(SYMMETRIC),
        "factuality": list(FACTUALITY),
        "arguments": {name: list(types) for name, types in ARGUMENTS.items()},
        "no_place": list(NO_PLACE),
        "schema": SCHEMA_VERSION,
    }


@dataclass(frozen=True)
class Gold:
    """The annotation of a document in words of its encoded text.

    Attributes:
        mentions: Those that words and units can express, in order.
        ids: Their ids in the document.
        relations: (type, head, tail, factuality, arguments) by index into ``mentions`` and the config's label lists.
        unreachable: How many gold mentions and relations no prediction can ever match, by cause.
    """

    mentions: list[WordMention]
    ids: list[int]
    relations: list[tuple[int, int, int, int, dict[str, int]]]
    unreachable: Counter[str]


def encode_gold(document: Document, encoded: EncodedText, config: KhabarConfig) -> Gold:
    """Puts the gold annotation of ``document`` on the words and units that the splitter made of its text."""
    unreachable: Counter[str] = Counter()
    mentions: list[WordMention] = []
    ids: list[int] = []
    for mention in document.mentions:
        if mention.type not in config.entity_types:
            unreachable["entity: its type is not among the model's"] += 1
            continue
        place = mention_words(encoded, mention.start, mention.end)
        if place is None:
            unreachable["entity: its span does not begin and end with words, proclitics apart"] += 1
            continue
        found = WordMention(place[0], place[1], config.entity_types.index(mention.type), place[2])
        if mention_unit(encoded, found) is None:
            unreachable["entity: a sentence boundary or a cut runs through it"] += 1
            continue
        mentions.append(found)
        ids.append(mention.id)
    index = {id: i for i, id in enumerate(ids)}
    units = [mention_unit(encoded, m) or 0 for m in mentions]
    relations: dict[tuple[int, int, int], tuple[int, int, int, int, dict[str, int]]] = {}
    for relation in document.relations:
        head, tail = index.get(relation.head, -1), index.get(relation.tail, -1)
        if relation.type not in config.relation_types:
            unreachable["relation: its type is not among the model's"] += 1
        elif head < 0 or tail < 0:
            unreachable["relation: one of its entities cannot be predicted"] += 1
        elif abs(units[head] - units[tail]) > 1:
            unreachable["relation: the splitter puts its entities more than one sentence apart"] += 1
        else:
            if relation.type in config.symmetric and head > tail:
                head, tail = tail, head
            kind, value = config.relations.index(relation.type), config.factuality.index(relation.factuality)
            arguments = {}
            for name, id in relation.arguments.items():
                filler = index.get(id, -1)
                near = filler >= 0 and min(abs(units[filler] - units[end]) for end in (head, tail)) <= 1
                if near and filler != head and name in config.arguments:
                    arguments[name] = filler
                else:
                    unreachable["argument: its entity cannot be predicted, is the head, or stands too far away"] += 1
            old = relations.get((kind, head, tail))
            if old is not None:
                unreachable["relation: a second factuality of the same relation"] += 1
                if old[3] != 0:
                    continue
            relations[kind, head, tail] = (kind, head, tail, value, arguments)
    return Gold(mentions, ids, list(relations.values()), unreachable)


def unreachable_gold(documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase, config: KhabarConfig) -> Counter[str]:
    """How much gold no prediction can ever match, by cause."""
    causes: Counter[str] = Counter()
    for document in documents:
        causes.update(encode_gold(document, encode_text(document.text, tokenizer, window=config.window), config).unreachable)
    return causes


def window_labels(
    encoded: EncodedText, window: int, gold: Gold, paired: Mapping[str, Any], config: KhabarConfig
) -> dict[str, Any]:
    """Labels of one window: ``tag_labels`` and ``proclitic_labels`` a word, ``relation_labels`` as in ``collate``."""
    first_word, end_word = encoded.window_words(window)
    proclitics = [IGNORED] * (end_word - first_word)
    index = paired["mention_index"]
    for i in index:
        proclitics[gold.mentions[i].first_word - first_word] = gold.mentions[i].proclitics
    place = {m: i for i, m in enumerate(index)}
    pair_of = {pair: i for i, pair in enumerate(zip(paired["pair_head"], paired["pair_tail"], strict=True))}
    rows = []
    for kind, head, tail, value, arguments in gold.relations:
        fillers = [place.get(arguments.get(name, -1), -1) for name in config.arguments]
        both = config.relations[kind] in config.symmetric
        for ends in ((head, tail), (tail, head)) if both else ((head, tail),):
            pair = pair_of.get((place.get(ends[0], -1), place.get(ends[1], -1)))
            if pair is not None:
                own = place[ends[0]]
                rows.append([pair, kind, value, *(IGNORED - 1 if f == own else f for f in fillers)])
    return {"tag_labels": paired["word_tag"], "proclitic_labels": proclitics, "relation_labels": rows}


def training_dataset(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase, config: KhabarConfig
) -> tuple[Dataset, Counter[str]]:
    """Windows of annotated documents with features and labels, and what gold they lose, by cause."""
    unreachable: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, Any]]:
        for document in documents:
            encoded = encode_text(document.text, tokenizer, window=config.window)
            gold = encode_gold(document, encoded, config)
            unreachable.update(gold.unreachable)
            for window in range(len(encoded.windows)):
                paired = pair_features(encoded, window, gold.mentions, config)
                labels = window_labels(encoded, window, gold, paired, config)
                yield {**window_features(encoded, window, tokenizer), **paired, **labels}

    return Dataset.from_list(list(rows())), unreachable


def collator(tokenizer: PreTrainedTokenizerBase) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, torch.Tensor]]:
    """``model.features.collate`` for this tokenizer."""
    return lambda features: collate(features, pad_token_id=int(tokenizer.pad_token_id))


class LengthSampler(Sampler[int]):
    """An order of items in which each run of ``batch_size`` has similar lengths.

    The order depends on seed and epoch alone, so that a resumed run is exact (the Trainer's own ``group_by_length``
    draws from a generator whose state a resumed run does not have).

    Args:
        lengths: Of all items.
        batch_size: Items in a batch.
        seed: With ``set_epoch``, all that the order depends on.
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        # Lengths are blurred by up to a tenth, so that the same windows do not always meet.
        noise = torch.rand(len(self.lengths), generator=generator).tolist()
        order = sorted(range(len(self.lengths)), key=lambda i: self.lengths[i] * (0.9 + 0.2 * noise[i]))
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        short = batches.pop() if len(batches[-1]) < self.batch_size else []
        for i in torch.randperm(len(batches), generator=generator).tolist():
            yield from batches[i]
        yield from short
