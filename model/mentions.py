"""From tags to mentions: the best path that BIO allows, tidy edges, one type for one name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import torch

from .configuration_khabar import KhabarConfig
from .features import WordMention, mention_span, proclitic_limits
from .modeling_khabar import PROCLITIC_COUNTS
from .windows import EncodedText

BRACKETS = {"(": ")", "«": "»", "“": "”", "[": "]"}
LATE = frozenset("،,.:؛;") | BRACKETS.keys()
"""What no mention ends with."""


def viterbi(log_probabilities: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Best tag sequences that BIO allows: I-X only after B-X or I-X.

    Args:
        log_probabilities: [U, L, tags]; tag 0 is O, odd tags are B, even ones the I of the B before them.
        lengths: [U], all at least 1.

    Returns:
        Tags, [U, L]; undefined beyond the lengths.
    """
    units, longest, tags = log_probabilities.shape
    inside = torch.arange(tags) % 2 == 0
    inside[0] = False
    forbidden = torch.zeros(tags, tags)  # from, to
    forbidden[:, inside] = float("-inf")
    for tag in range(2, tags, 2):
        forbidden[tag - 1, tag] = forbidden[tag, tag] = 0.0
    score = log_probabilities[:, 0].masked_fill(inside, float("-inf"))
    back = torch.zeros(units, longest, tags, dtype=torch.long)
    for i in range(1, longest):
        best, back[:, i] = (score.unsqueeze(2) + forbidden).max(1)
        score = torch.where((i < lengths).unsqueeze(1), best + log_probabilities[:, i], score)
    path = torch.zeros(units, longest, dtype=torch.long)
    last = score.argmax(1)
    for i in range(longest - 1, -1, -1):
        path[:, i] = last
        previous = back[torch.arange(units), i, last]
        last = torch.where((i < lengths) & (i > 0), previous, last)
    return path


def find_mentions(
    encoded: EncodedText, tag_logits: Sequence[torch.Tensor], proclitic_logits: Sequence[torch.Tensor], config: KhabarConfig
) -> list[WordMention]:
    """Mentions of a text from the [words, …] logits of each of its windows, in order."""
    if not encoded.units:
        return []
    logs, counts = [], []
    for unit, window in zip(encoded.units, encoded.unit_window, strict=True):
        first_word, _ = encoded.window_words(window)
        inside = slice(unit.first_word - first_word, unit.end_word - first_word)
        logs.append((tag_logits[window][inside].float() / config.temperatures["tag"]).log_softmax(-1))
        counts.append(proclitic_logits[window][inside].float())
    lengths = torch.tensor([len(log) for log in logs])
    padded = torch.nn.utils.rnn.pad_sequence(logs, batch_first=True)
    paths = viterbi(padded, lengths).tolist()
    limits = proclitic_limits(encoded)
    texts = [encoded.text[start:end] for start, end in encoded.words]
    mentions = []
    for unit, log, path, count in zip(encoded.units, logs, paths, counts, strict=True):
        length = len(log)
        begin = 0
        while begin < length:
            tag = path[begin]
            if tag == 0:
                begin += 1
                continue
            end = begin + 1
            while end < length and path[end] == tag + 1:
                end += 1
            score = float(log[torch.arange(begin, end), torch.tensor(path[begin:end])].mean().exp())
            first, last = edges(texts[unit.first_word : unit.first_word + length], begin, end, path)
            limit = limits[unit.first_word + first]
            proclitics = int(count[first, : min(limit, PROCLITIC_COUNTS - 1) + 1].argmax())
            mentions.append(WordMention(unit.first_word + first, unit.first_word + last, (tag - 1) // 2, proclitics, score))
            begin = max(end, last)
    return agreed(encoded, mentions, config)


def edges(words: Sequence[str], begin: int, end: int, path: Sequence[int]) -> tuple[int, int]:
    """Moves the edges of a mention so that its brackets and quotes match and it ends with no dangling mark.

    The annotation leaves quotes around a whole mention out and takes in those around a part of it; a tagger that decides
    word by word often keeps one of the two.

    Args:
        words: Of the unit.
        begin: First word of the mention.
        end: The word after its last.
        path: Tags of the unit; a closing bracket is taken in only if it is tagged O.
    """
    while end - begin > 1:
        inside = words[begin:end]
        opened = [mark for mark in BRACKETS if inside.count(mark) > inside.count(BRACKETS[mark])]
        closed = [mark for mark in BRACKETS if inside.count(mark) < inside.count(BRACKETS[mark])]
        odd = inside.count('"') % 2 == 1
        around = inside[0] in BRACKETS and BRACKETS[inside[0]] == inside[-1] and len(inside) > 2
        if inside[-1] in LATE or (closed and inside[-1] in BRACKETS.values()) or (odd and inside[-1] == '"'):
            end -= 1
        elif (opened and inside[0] in opened) or (closed and inside[0] in BRACKETS.values()) or (odd and inside[0] == '"'):
            begin += 1
        elif around:
            begin, end = begin + 1, end - 1
        elif opened and end < len(words) and words[end] == BRACKETS[opened[-1]] and path[end] == 0:
            return begin, end + 1
        else:
            break
    return begin, end


def agreed(encoded: EncodedText, mentions: Sequence[WordMention], config: KhabarConfig) -> list[WordMention]:
    """Gives mentions of one text that are written alike the type that has most of their summed score.

    Between the types of a group in ``config.either_type`` a name may change: a capital is a place in one sentence and a
    government in the next.
    """
    scores: defaultdict[str, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
    surfaces = [encoded.text[slice(*mention_span(encoded, mention))] for mention in mentions]
    for surface, mention in zip(surfaces, mentions, strict=True):
        scores[surface][mention.type] += mention.score
    found = []
    for surface, mention in zip(surfaces, mentions, strict=True):
        best = max(scores[surface], key=lambda kind: scores[surface][kind])
        names = {config.entity_types[best], config.entity_types[mention.type]}
        free = any(names <= set(group) for group in config.either_type)
        found.append(mention if free else replace(mention, type=best))
    return found
