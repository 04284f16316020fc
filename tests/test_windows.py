"""From a text to windows: nothing is lost, nothing is decided twice."""

from __future__ import annotations

import signal

import pytest
from conftest import prose, texts
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from model.configuration_khabar import KhabarConfig
from model.features import window_features
from model.windows import MAX_PIECES, EncodedText, encode_text

SMALL = 2 * MAX_PIECES + 2
"""The smallest window in which the two longest words stand together."""


def check(encoded: EncodedText, tokenizer: PreTrainedTokenizerFast, window: int) -> None:
    """Everything that holds of any text."""
    # Units partition the words and the pieces.
    words = [w for unit in encoded.units for w in range(unit.first_word, unit.end_word)]
    assert words == list(range(len(encoded.words)))
    pieces = [p for unit in encoded.units for p in range(unit.first_piece, unit.end_piece)]
    assert pieces == list(range(len(encoded.pieces)))
    assert all(unit.first_word < unit.end_word for unit in encoded.units)
    # Every word has pieces inside its window, none of them a special token.
    for i in range(len(encoded.windows)):
        features = window_features(encoded, i, tokenizer)
        first, end = encoded.window_words(i)
        length = len(features["input_ids"])
        assert length <= window
        assert features["attention_mask"] == [1] * length
        assert len(features["word_first"]) == len(features["word_last"]) == len(features["word_unit"]) == end - first
        for begin, last in zip(features["word_first"], features["word_last"], strict=True):
            assert 1 <= begin <= last <= length - 2
        assert set(features["word_unit"]) == set(range(encoded.windows[i][1] - encoded.windows[i][0]))
    # Each unit is decided once, and so is each pair of adjacent units, in a window that holds it.
    assert len(encoded.unit_window) == len(encoded.units)
    assert len(encoded.pair_window) == max(len(encoded.units) - 1, 0)
    for unit, decider in enumerate(encoded.unit_window):
        first, end = encoded.windows[decider]
        assert decider >= 0
        assert first <= unit < end
    for unit, decider in enumerate(encoded.pair_window):
        first, end = encoded.windows[decider]
        assert decider >= 0
        assert first <= unit
        assert unit + 1 < end


@given(texts(max_size=300), st.sampled_from([SMALL, 90, 128]))
def test_any_text_is_cut_into_sound_windows(tokenizer: PreTrainedTokenizerFast, text: str, window: int) -> None:
    check(encode_text(text, tokenizer, window=window), tokenizer, window)


@given(st.integers(1, 60), st.integers(0, 20), st.sampled_from([SMALL, 100, 200]))
def test_prose_is_cut_into_sound_windows(tokenizer: PreTrainedTokenizerFast, count: int, sentence: int, window: int) -> None:
    check(encode_text(prose(count, sentence=sentence), tokenizer, window=window), tokenizer, window)


@pytest.mark.parametrize("text", ["", "   \n\t", "\u2028"])
def test_a_text_without_words_has_no_window(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    encoded = encode_text(text, tokenizer, window=SMALL)
    assert (encoded.windows, encoded.units, encoded.words, encoded.pieces) == ([], [], [], [])


def test_a_short_text_is_one_window_of_its_sentences(tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encode_text("وصل الوفد. غادر الوزير.", tokenizer, window=128)
    assert encoded.windows == [(0, 2)]
    assert [(unit.first_word, unit.end_word) for unit in encoded.units] == [(0, 3), (3, 6)]
    features = window_features(encoded, 0, tokenizer)
    assert features["word_unit"] == [0, 0, 0, 1, 1, 1]
    assert features["input_ids"][0] == tokenizer.cls_token_id
    assert features["input_ids"][-1] == tokenizer.sep_token_id


def test_word_pieces_are_those_of_their_word(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "وَصَلَ الوفـد، إلى ٣ قرى."
    encoded = encode_text(text, tokenizer, window=128)
    shown = [
        "".join(tokenizer.convert_ids_to_tokens(encoded.pieces[first : last + 1])).strip("▁")
        for first, last in encoded.word_pieces
    ]
    assert shown == ["وصل", "الوفد", "،", "إلى", "3", "قرى", "."]


def test_words_that_normalise_to_nothing_keep_a_piece_of_their_own(tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encode_text("\u200fحلب \u0651 ـ \u200c", tokenizer, window=128)
    assert len(encoded.words) == 5
    own = [encoded.word_pieces[i] for i in (0, 2, 3, 4)]
    assert [encoded.pieces[first] for first, _ in own] == [tokenizer.unk_token_id] * 4
    assert len({first for first, _ in own}) == 4


def test_a_sentence_longer_than_half_a_window_is_cut_at_commas_or_spaces(tokenizer: PreTrainedTokenizerFast) -> None:
    window = 102
    text = prose(120)
    encoded = encode_text(text, tokenizer, window=window)
    assert len(encoded.sentences) == 1
    assert len(encoded.units) > 5
    assert all(unit.pieces <= (window - 2) // 2 for unit in encoded.units)
    check(encoded, tokenizer, window)
    with_commas = "، ".join(text.split(" ")[i] + " " + text.split(" ")[i + 1] for i in range(0, 120, 2))
    encoded = encode_text(with_commas, tokenizer, window=window)
    assert len(encoded.sentences) == 1
    for unit in encoded.units[:-1]:
        start, end = encoded.words[unit.end_word - 1]
        assert with_commas[start:end] == "،"


def test_a_sentence_of_half_a_window_is_left_whole(tokenizer: PreTrainedTokenizerFast) -> None:
    text = " ".join(["حلب"] * 12) + "."
    encoded = encode_text(text, tokenizer, window=128)
    assert len(encoded.pieces) == 37
    assert len(encode_text(text, tokenizer, window=2 * 37 + 2).units) == 1
    assert len(encode_text(text, tokenizer, window=2 * 37 + 1).units) == 2


@pytest.mark.parametrize("window", [SMALL, 384])
def test_five_thousand_words_without_punctuation(tokenizer: PreTrainedTokenizerFast, window: int) -> None:
    encoded = encode_text(prose(5000), tokenizer, window=window)
    assert len(encoded.words) == 5000
    check(encoded, tokenizer, window)


@pytest.mark.parametrize("window", [SMALL, 384])
def test_five_thousand_words_without_spaces(tokenizer: PreTrainedTokenizerFast, window: int) -> None:
    text = prose(5000).replace(" ", "")
    encoded = encode_text(text, tokenizer, window=window)
    assert encoded.words[-1][1] == len(text)
    check(encoded, tokenizer, window)
    text = prose(5000).replace(" ", "،")
    encoded = encode_text(text, tokenizer, window=window)
    assert len(encoded.words) == 9999
    check(encoded, tokenizer, window)


def test_a_word_of_many_pieces_is_fed_in_part_and_keeps_its_place(tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encode_text("وصل " + "ب" * 60 + " أمس", tokenizer, window=SMALL)
    assert [last - first + 1 for first, last in encoded.word_pieces] == [3, MAX_PIECES, 3]
    check(encoded, tokenizer, SMALL)


def test_a_word_that_begins_in_a_piece_of_the_word_before_never_points_out_of_its_window(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    # Two characters that the vocabulary lacks are one unknown piece, though they belong to two words.
    check(encode_text("😀ڤب" * 100, tokenizer, window=SMALL), tokenizer, SMALL)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an alarm clock")
@pytest.mark.parametrize(("length", "window"), [(40, SMALL // 2), (20, 32)])
def test_a_window_too_small_for_two_long_words_is_refused_rather_than_read_for_ever(
    tokenizer: PreTrainedTokenizerFast, length: int, window: int
) -> None:
    def ring(*_: object) -> None:
        raise TimeoutError("encode_text does not end")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(ValueError, match="window"):
            encode_text("ب" * length + " " + "ت" * length, tokenizer, window=KhabarConfig(window=window).window)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("length", [25, 32, 40])
def test_a_unit_of_news_stands_in_at_most_one_window_and_a_half(tokenizer: PreTrainedTokenizerFast, length: int) -> None:
    encoded = encode_text(prose(1200, sentence=length), tokenizer, window=1024)
    assert len(encoded.units) == len(encoded.sentences) == -(-1200 // length)
    assert len(encoded.windows) > 3
    assert sum(end - first for first, end in encoded.windows) / len(encoded.units) <= 1.5


def test_a_unit_in_two_windows_is_decided_in_the_longer_one(tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = encode_text(prose(400, sentence=7), tokenizer, window=160)
    sizes = [end - first for first, end in map(encoded.window_pieces, range(len(encoded.windows)))]
    shared = 0
    for unit, decider in enumerate(encoded.unit_window):
        holders = [i for i, (first, end) in enumerate(encoded.windows) if first <= unit < end]
        shared += len(holders) > 1
        assert sizes[decider] == max(sizes[i] for i in holders)
    assert shared > 5
