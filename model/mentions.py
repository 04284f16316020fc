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

CLOSING = {"(": ")", "«": "»", "“": "”", "[": "]", '"': '"'}
"""Each bracket or quote that opens and the one that closes it."""

NEVER_LAST = frozenset("،,:؛;")
"""Punctuation that no mention ends with; a full stop may belong to an initial."""


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
            tidy = edges(texts[unit.first_word : unit.first_word + length], begin, end, path)
            begin = end
            if tidy is None:
                continue
            first, last = tidy
            path[first:last] = [tag] * (last - first)  # what this mention took in, the next one does not
            limit = limits[unit.first_word + first]
            proclitics = int(count[first, : min(limit, PROCLITIC_COUNTS - 1) + 1].argmax())
            mentions.append(WordMention(unit.first_word + first, unit.first_word + last, (tag - 1) // 2, proclitics, score))
            begin = max(end, last)  # past a closing bracket that was taken in
    return agreed(encoded, mentions, config)


def partners(words: Sequence[str]) -> dict[int, int]:
    """For each bracket or quote among ``words`` that has one, the place of its other half."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for i, word in enumerate(words):
        if opened and CLOSING[words[opened[-1]]] == word:
            found[i] = opened.pop()
            found[found[i]] = i
        elif word in CLOSING:
            opened.append(i)
    return found


def edges(words: Sequence[str], begin: int, end: int, path: Sequence[int]) -> tuple[int, int] | None:
    """Moves the edges of a mention so that its brackets and quotes match and it ends with no punctuation.

    The annotation leaves quotes around a whole mention out and takes in those around a part of it; a tagger that decides
    word by word often keeps one of the two.

    Args:
        words: Of the unit.
        begin: First word of the mention.
        end: The word after its last.
        path: Tags of the unit; a bracket or quote beside the mention is taken in only if it is tagged O.

    Returns:
        The new edges, or None if there is nothing but marks.
    """
    marks = CLOSING.keys() | CLOSING.values()
    while any(word[0].isalnum() for word in words[begin:end]):
        inside = words[begin:end]
        pair = partners(inside)
        opening = [i for i, word in enumerate(inside) if word in CLOSING and i not in pair]
        closing = [i for i, word in enumerate(inside) if word in CLOSING.values() and i not in pair]
        before = words[begin - 1] if begin and path[begin - 1] == 0 else ""
        after = words[end] if end < len(words) and path[end] == 0 else ""
        if opening and opening[-1] > 0 and after == CLOSING[inside[opening[-1]]]:
            end += 1
        elif closing and closing[0] < len(inside) - 1 and CLOSING.get(before) == inside[closing[0]]:
            begin -= 1
        elif inside[-1] in NEVER_LAST or _full_stop(inside) or (inside[-1] in marks and len(inside) - 1 not in pair):
            end -= 1
        elif inside[0] in marks and 0 not in pair:
            begin += 1
        elif pair.get(0) == len(inside) - 1:
            begin, end = begin + 1, end - 1
        else:
            return begin, end
    return None


def _full_stop(words: Sequence[str]) -> bool:
    """Whether the last of ``words`` is a full stop that ends the sentence, not an initial (صادق م.)."""
    return words[-1] == "." and not (len(words) > 1 and len(words[-2]) == 1 and words[-2].isalpha())


def agreed(encoded: EncodedText, mentions: Sequence[WordMention], config: KhabarConfig) -> list[WordMention]:
    """Gives mentions of one text that are written alike the type that has most of their summed score.

    The types of a group in ``config.either_type`` count as one, and a mention keeps its own among them: a capital is a
    place in one sentence and a government in the next.
    """
    group_of = {name: i for i, group in enumerate(config.either_type) for name in group}
    groups = [group_of.get(name, -1 - i) for i, name in enumerate(config.entity_types)]
    surfaces = [encoded.text[slice(*mention_span(encoded, mention))] for mention in mentions]
    by_type: defaultdict[tuple[str, int], float] = defaultdict(float)
    by_group: defaultdict[str, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
    for surface, mention in zip(surfaces, mentions, strict=True):
        by_type[surface, mention.type] += mention.score
        by_group[surface][groups[mention.type]] += mention.score
    found = []
    for surface, mention in zip(surfaces, mentions, strict=True):
        best = max(by_group[surface], key=lambda group: by_group[surface][group])
        if groups[mention.type] != best:
            types = [kind for kind, group in enumerate(groups) if group == best]
            mention = replace(mention, type=max(types, key=lambda kind: by_type[surface, kind]))
        found.append(mention)
    return found
