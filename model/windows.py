"""From a text to the windows that the encoder reads.

Text → sentences → units (sentences, or parts of one that is too long for two of its kind to share a window) → windows of
as many units as fit, each beginning with the last unit of the one before, so that every pair of adjacent units stands
together in one window. A unit, and a pair of units, is decided in the window that gives it most context.
"""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from .text import Span, normalise, split_sentences, words

MAX_PIECES = 32
"""Of a word with more pieces than this only the first and last halves of as many are fed; the word keeps its label."""

MIN_WINDOW = 2 * MAX_PIECES + 2
"""Two longest words and two special tokens."""


@dataclass(frozen=True)
class Unit:
    """A sentence or a part of one: half-open ranges of words and of pieces."""

    first_word: int
    end_word: int
    first_piece: int
    end_piece: int

    @property
    def pieces(self) -> int:
        """Its length in pieces."""
        return self.end_piece - self.first_piece


@dataclass(frozen=True)
class EncodedText:
    """A text cut into words, pieces, units and windows.

    Attributes:
        text: The untouched text.
        sentences: Spans of its sentences.
        words: Spans of its words.
        pieces: Ids of the pieces of all words, without special tokens.
        word_pieces: For each word its first and last piece.
        units: Sentences or parts of sentences, in order.
        windows: Half-open ranges of units.
        unit_window: For each unit the window that decides it.
        pair_window: For each unit but the last, the window that decides its pairs with the next.
    """

    text: str
    sentences: list[Span]
    words: list[Span]
    pieces: list[int]
    word_pieces: list[Span]
    units: list[Unit]
    windows: list[Span]
    unit_window: list[int]
    pair_window: list[int]

    def window_pieces(self, window: int) -> Span:
        """Half-open range of the pieces in a window."""
        first, end = self.windows[window]
        return self.units[first].first_piece, self.units[end - 1].end_piece

    def window_words(self, window: int) -> Span:
        """Half-open range of the words in a window."""
        first, end = self.windows[window]
        return self.units[first].first_word, self.units[end - 1].end_word


def encode_text(text: str, tokenizer: PreTrainedTokenizerBase, *, window: int) -> EncodedText:
    """Cuts ``text`` into windows of at most ``window`` pieces, two of them special tokens.

    Raises:
        ValueError: The window is too small for two words.
    """
    if window < MIN_WINDOW:
        raise ValueError(f"a window of {window} pieces is too small; it needs at least {MIN_WINDOW}")
    spans = words(text)
    sentences = split_sentences(text)
    pieces, word_pieces, sentence_words = _pieces(text, spans, sentences, tokenizer)
    capacity = window - 2
    units = []
    for first, end in sentence_words:
        units += _cut(text, spans, word_pieces, first, end, limit=capacity // 2)
    windows = _windows([unit.pieces for unit in units], capacity)
    size = [units[end - 1].end_piece - units[first].first_piece for first, end in windows]
    unit_window = [-1] * len(units)
    pair_window = [-1] * max(len(units) - 1, 0)
    for i, (first, end) in enumerate(windows):
        for unit in range(first, end):
            if unit_window[unit] < 0 or size[i] > size[unit_window[unit]]:
                unit_window[unit] = i
            if unit + 1 < end and (pair_window[unit] < 0 or size[i] > size[pair_window[unit]]):
                pair_window[unit] = i
    return EncodedText(text, sentences, spans, pieces, word_pieces, units, windows, unit_window, pair_window)


def _pieces(
    text: str, spans: list[Span], sentences: list[Span], tokenizer: PreTrainedTokenizerBase
) -> tuple[list[int], list[Span], list[Span]]:
    """Pieces of the text, the first and last piece of each word, and the half-open range of words of each sentence."""
    normal: list[str] = []
    normal_spans: list[list[Span]] = []
    sentence_words: list[Span] = []
    word = 0
    for _, end in sentences:
        parts: list[str] = []
        placed: list[Span] = []
        length = 0
        first = word
        while word < len(spans) and spans[word][0] < end:
            start, stop = spans[word]
            if word > first and spans[word - 1][1] < start:
                parts.append(" ")
                length += 1
            parts.append(normalise(text[start:stop]))
            placed.append((length, length + len(parts[-1])))
            length += len(parts[-1])
            word += 1
        normal.append("".join(parts))
        normal_spans.append(placed)
        sentence_words.append((first, word))
    pieces: list[int] = []
    word_pieces: list[Span] = []
    encoded = tokenizer(normal, add_special_tokens=False, return_offsets_mapping=True, verbose=False) if normal else {}
    for i, placed in enumerate(normal_spans):
        _align(encoded["input_ids"][i], encoded["offset_mapping"][i], placed, pieces, word_pieces, tokenizer.unk_token_id)
    return pieces, word_pieces, sentence_words


def _align(
    ids: list[int], offsets: list[Span], placed: list[Span], pieces: list[int], word_pieces: list[Span], unknown: int
) -> None:
    """Appends one sentence's pieces, and for each of its words the first and last piece that overlap it.

    A word that normalises to nothing, or that the tokenizer drops, gets an unknown piece of its own; a piece that
    covers two words (a closing quote and a dot) serves both.
    """
    cursor = 0
    base = -1  # the last of ``ids`` that was appended
    for start, end in placed:
        while cursor < len(ids) and offsets[cursor][1] <= start:
            cursor += 1
        last = cursor
        while last < len(ids) and offsets[last][0] < end:
            last += 1
        if start == end or last == cursor:
            pieces.append(unknown)
            word_pieces.append((len(pieces) - 1, len(pieces) - 1))
            continue
        own = list(range(cursor, last))
        shared = own[0] <= base
        if shared:
            own = own[1:]
        if len(own) > MAX_PIECES:
            own = own[: MAX_PIECES // 2] + own[-MAX_PIECES // 2 :]
        first = len(pieces) - 1 if shared else len(pieces)
        pieces.extend(ids[piece] for piece in own)
        word_pieces.append((first, len(pieces) - 1))
        base = last - 1
        cursor = last - 1


def _cut(text: str, spans: list[Span], word_pieces: list[Span], first: int, end: int, *, limit: int) -> list[Unit]:
    """A sentence as units of at most ``limit`` pieces, cut after a ، or else at a space, as late as possible."""
    units: list[Unit] = []
    while first < end:
        start_piece = word_pieces[first][0] if not units else units[-1].end_piece
        stop = first + 1
        while stop < end and word_pieces[stop][1] + 1 - start_piece <= limit:
            stop += 1
        if stop < end:
            earliest = first + (stop - first) // 2
            comma = next((i for i in range(stop, earliest, -1) if text[spans[i - 1][0]] in "،؛,"), None)
            space = next((i for i in range(stop, earliest, -1) if spans[i - 1][1] < spans[i][0]), None)
            stop = comma or space or stop
            while stop > first + 1 and word_pieces[stop][0] == word_pieces[stop - 1][1]:
                stop -= 1  # these two words share a piece
        units.append(Unit(first, stop, start_piece, word_pieces[stop - 1][1] + 1))
        first = stop
    return units


def _windows(lengths: list[int], capacity: int) -> list[Span]:
    windows = []
    first = 0
    while first < len(lengths):
        end = first
        total = 0
        while end < len(lengths) and total + lengths[end] <= capacity:
            total += lengths[end]
            end += 1
        windows.append((first, end))
        if end == len(lengths):
            break
        first = end - 1
    return windows
