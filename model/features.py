"""Features of windows, and batches of them. Training adds labels to exactly these (``data/dataset.py``)."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from .configuration_khabar import KhabarConfig
from .text import proclitic_letters, skip_letters
from .windows import EncodedText

IGNORED = -100
"""Label of padding and of what has no label."""

PADDING: dict[str, int] = {
    "attention_mask": 0, "word_first": 0, "word_last": 0, "word_unit": -1, "word_tag": 0,
    "mention_first": 0, "mention_last": 0, "mention_type": -1, "pair_head": -1, "pair_tail": -1,
    "tag_labels": IGNORED, "proclitic_labels": IGNORED,
}  # fmt: skip


@dataclass(frozen=True)
class WordMention:
    """A mention in words of the text: half-open range, index of its entity type, proclitic letters left outside."""

    first_word: int
    end_word: int
    type: int
    proclitics: int = 0
    score: float = 1.0


def mention_words(encoded: EncodedText, start: int, end: int) -> tuple[int, int, int] | None:
    """Half-open range of words and proclitic letters of a span; None if words and proclitics cannot express it."""
    first = bisect.bisect_right(encoded.words, start, key=lambda span: span[0]) - 1
    last = bisect.bisect_left(encoded.words, end, key=lambda span: span[1])
    if first < 0 or last >= len(encoded.words) or encoded.words[last][1] != end or last < first:
        return None
    word_start, word_end = encoded.words[first]
    for count in range(proclitic_letters(encoded.text[word_start:word_end]) + 1):
        if skip_letters(encoded.text, word_start, count) == start:
            return first, last + 1, count
    return None


def mention_span(encoded: EncodedText, mention: WordMention) -> tuple[int, int]:
    """Half-open offsets of a mention into the text."""
    start = skip_letters(encoded.text, encoded.words[mention.first_word][0], mention.proclitics)
    return start, encoded.words[mention.end_word - 1][1]


def window_features(encoded: EncodedText, window: int, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What the encoder and the tag head read of one window.

    Returns:
        ``input_ids``, ``attention_mask`` (a value a piece); ``word_first``, ``word_last``: first and last piece of each
        word; ``word_unit``: the unit of each word, counted from the window's first.
    """
    first_piece, end_piece = encoded.window_pieces(window)
    first_word, end_word = encoded.window_words(window)
    first_unit, end_unit = encoded.windows[window]
    ids = [tokenizer.cls_token_id, *encoded.pieces[first_piece:end_piece], tokenizer.sep_token_id]
    shift = 1 - first_piece
    units = [
        u - first_unit
        for u in range(first_unit, end_unit)
        for _ in range(encoded.units[u].end_word - encoded.units[u].first_word)
    ]
    return {
        "input_ids": ids,
        "attention_mask": [1] * len(ids),
        "word_first": [encoded.word_pieces[w][0] + shift for w in range(first_word, end_word)],
        "word_last": [encoded.word_pieces[w][1] + shift for w in range(first_word, end_word)],
        "word_unit": units,
    }


def mention_unit(encoded: EncodedText, mention: WordMention) -> int | None:
    """The unit that holds a mention, or None if a cut runs through it."""
    unit = bisect.bisect_right(encoded.units, mention.first_word, key=lambda u: u.first_word) - 1
    return unit if mention.end_word <= encoded.units[unit].end_word else None


def pair_features(encoded: EncodedText, window: int, mentions: Sequence[WordMention], config: KhabarConfig) -> dict[str, Any]:
    """What the pair head reads of one window, given all mentions of the text in order.

    Returns:
        ``mention_index``: the window's mentions as indices into ``mentions``; ``mention_first``, ``mention_last``
        (words of the window, inclusive), ``mention_type``; ``word_tag``: index into ``config.tags`` of each word;
        ``pair_head``, ``pair_tail``: all type-allowed ordered pairs that this window decides, as indices into the
        window's mentions.
    """
    first_unit, end_unit = encoded.windows[window]
    first_word, end_word = encoded.window_words(window)
    tags = [0] * (end_word - first_word)
    index, units = [], []
    for i, mention in enumerate(mentions):
        if first_word <= mention.first_word and mention.end_word <= end_word:
            unit = mention_unit(encoded, mention)
            if unit is not None and first_unit <= unit < end_unit:
                index.append(i)
                units.append(unit)
                begin = mention.first_word - first_word
                tags[begin] = 1 + 2 * mention.type
                for word in range(begin + 1, mention.end_word - first_word):
                    tags[word] = 2 + 2 * mention.type
    types = [mentions[i].type for i in index]
    names = config.entity_types
    possible = {(h, t): any(config.allowed(names[h], names[t])) for h in set(types) for t in set(types)}
    heads, tails = [], []
    for h, head_unit in enumerate(units):
        for t, tail_unit in enumerate(units):
            if h == t or abs(head_unit - tail_unit) > 1 or not possible[types[h], types[t]]:
                continue
            same = head_unit == tail_unit
            decider = encoded.unit_window[head_unit] if same else encoded.pair_window[min(head_unit, tail_unit)]
            if decider == window:
                heads.append(h)
                tails.append(t)
    return {
        "mention_index": index,
        "mention_first": [mentions[i].first_word - first_word for i in index],
        "mention_last": [mentions[i].end_word - 1 - first_word for i in index],
        "mention_type": types,
        "word_tag": tags,
        "pair_head": heads,
        "pair_tail": tails,
    }


def allowed_table(config: KhabarConfig) -> torch.Tensor:
    """Boolean [head types, tail types, relation types]: which relation can link which types."""
    names = config.entity_types
    table = [[config.allowed(head, tail) for tail in names] for head in names]
    return torch.tensor(table, dtype=torch.bool).reshape(len(names), len(names), len(config.relation_types))


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """A [rows, longest] tensor of integers, padded with ``value``; at least one column."""
    width = max(1, *map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows], dtype=torch.long)


def collate(features: Sequence[Mapping[str, Any]], *, pad_token_id: int) -> dict[str, torch.Tensor]:
    """Pads features to a batch.

    Keys (B windows, T pieces, W words, M mentions, P pairs), all int64 but where said; those absent from the features
    are absent here:
        input_ids, attention_mask: [B, T].
        word_first, word_last, word_unit: [B, W]; ``word_unit`` is -1 at padding.
        mention_first, mention_last, mention_type: [B, M]; ``mention_type`` is -1 at padding.
        word_tag: [B, W].
        pair_head, pair_tail: [B, P]; -1 at padding.
        tag_labels, proclitic_labels: [B, W]; -100 where there is none.
        relation_labels: [R, 4 + arguments]: window of the batch, pair, relation type, factuality, then for each
            argument a mention, or -1 for none.
    """
    batch = {}
    for key in features[0]:
        if key in PADDING or key == "input_ids":
            batch[key] = pad([f[key] for f in features], PADDING.get(key, pad_token_id))
    if "relation_labels" in features[0]:
        rows = [[i, *row] for i, f in enumerate(features) for row in f["relation_labels"]]
        width = len(rows[0]) if rows else 4
        batch["relation_labels"] = torch.tensor(rows, dtype=torch.long).reshape(len(rows), width)
    return batch


def proclitic_limits(encoded: EncodedText) -> list[int]:
    """For each word, how many of its leading letters can be proclitics."""
    return [proclitic_letters(encoded.text[start:end]) for start, end in encoded.words]
