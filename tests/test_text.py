"""Words, sentences and normalisation."""

from __future__ import annotations

import time
import unicodedata
from random import Random

import pytest
from conftest import ARABIC, texts
from hypothesis import given
from hypothesis import strategies as st

from model.text import MAX_WORD, normalise, proclitic_letters, skip_letters, split_sentences, words


def surfaces(text: str) -> list[str]:
    return [text[start:end] for start, end in words(text)]


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("وصل الوفد إلى عدن.", ["وصل", "الوفد", "إلى", "عدن", "."]),
        ("كَتَبَ العَقِيدُ", ["كَتَبَ", "العَقِيدُ"]),
        ("مـــأرب", ["مـــأرب"]),
        ("قتل 12 و٣٤ جنديا", ["قتل", "12", "و٣٤", "جنديا"]),
        ("لواء2 إف16", ["لواء2", "إف16"]),
        ('بـ"النور"', ["بـ", '"', "النور", '"']),
        ("3.5", ["3", ".", "5"]),
        ("!؟..", ["!", "؟", ".", "."]),
        ("\u0651", ["\u0651"]),
        ("ـ", ["ـ"]),
        ("مي\u200cخواهد", ["مي", "\u200c", "خواهد"]),
        ("\u200c", ["\u200c"]),
        ("\u200fحلب\u200f", ["\u200f", "حلب", "\u200f"]),
        ("😀😀", ["😀", "😀"]),
        ("سلام😀سلام", ["سلام", "😀", "سلام"]),
        ("ﺣﻠﺐ ﻻ", ["ﺣﻠﺐ", "ﻻ"]),
        ("news عربي", ["news", "عربي"]),
        ("", []),
        (" \t\n\u00a0\u2028\u3000", []),
    ],
)
def test_a_word_is_a_run_of_letters_marks_and_digits_or_one_other_character(text: str, expected: list[str]) -> None:
    assert surfaces(text) == expected


def test_a_very_long_run_is_cut_into_words_of_the_greatest_length() -> None:
    text = "ب" * (2 * MAX_WORD + 3) + " " + "ت" * MAX_WORD
    assert [len(word) for word in surfaces(text)] == [MAX_WORD, MAX_WORD, 3, MAX_WORD]


def check_words(text: str) -> None:
    cover = [0] * len(text)
    for start, end in words(text):
        assert start < end
        for i in range(start, end):
            cover[i] += 1
    assert cover == [0 if char.isspace() else 1 for char in text]
    assert words(text) == sorted(words(text))


@given(texts())
def test_every_character_but_white_space_lies_in_exactly_one_word(text: str) -> None:
    check_words(text)


@given(st.text())
def test_every_character_of_any_script_lies_in_exactly_one_word(text: str) -> None:
    check_words(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("وصل الوفد. غادر الوزير.", ["وصل الوفد.", "غادر الوزير."]),
        ("هل وصل؟ نعم! وصل.", ["هل وصل؟", "نعم!", "وصل."]),
        ("هل وصل? نعم", ["هل وصل?", "نعم"]),
        ("عنوان الخبر\nوصل الوفد", ["عنوان الخبر", "وصل الوفد"]),
        ("عنوان\r\n\r\nوصل", ["عنوان", "وصل"]),
        ("عنوان\u2029وصل", ["عنوان", "وصل"]),
        ("ماذا؟! لا شيء", ["ماذا؟!", "لا شيء"]),
        ("انتظر... ثم غادر", ["انتظر...", "ثم غادر"]),
        ("في عام 2014. وقال الوزير", ["في عام 2014.", "وقال الوزير"]),
        ("وصل الوفد.وغادر الوزير", ["وصل الوفد.", "وغادر الوزير"]),
        ("", []),
        (" \n \t ", []),
        ("وصل", ["وصل"]),
    ],
)
def test_terminators_and_paragraph_ends_split(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "وصل الوفد وغادر الوزير وبقي المبعوث",
        "وصل الوفد، وغادر الوزير، وبقي المبعوث",
        "وصل الوفد؛ ثم غادر",
        "قال الوزير: سنعود",
        "وصل د. سالم إلى عدن",
        "أعلن م. نادر و أ.د. ماهر المشروع",
        "نقلت أ.ف.ب عن مصدر",
        "نقلت أ.ف.ب. عن مصدر",
        "قالت (أ.ف.ب) إن الوفد وصل",
        "بلغت النسبة 3.5 في المئة",
        "بلغت النسبة ٣.٥ في المئة",
        "نشر موقع news.example.com الخبر",
        'قال "هل وصلوا؟"، ثم غادر',
    ],
)
def test_conjunctions_commas_abbreviations_and_numbers_do_not_split(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('قال "انتهى الأمر." ثم غادر', ['قال "انتهى الأمر."', "ثم غادر"]),
        ("قال «انتهى الأمر!» ثم غادر", ["قال «انتهى الأمر!»", "ثم غادر"]),
        ("(وصل الوفد.) وغادر", ["(وصل الوفد.)", "وغادر"]),
        ("سأل “متى؟” ثم غادر", ["سأل “متى؟”", "ثم غادر"]),
    ],
)
def test_closing_quotes_and_brackets_stay_with_their_sentence(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_decimal_at_the_end_of_a_sentence_ends_it() -> None:
    assert sentences("بلغت النسبة 3.5. وقال الوزير إنه راض.") == ["بلغت النسبة 3.5.", "وقال الوزير إنه راض."]


def test_an_abbreviation_after_a_proclitic_is_still_one() -> None:
    text = "وصل سالم ود. ماهر إلى عدن"
    assert sentences(text) == [text]


def check_sentences(text: str) -> None:
    cover = [0] * len(text)
    found = split_sentences(text)
    for start, end in found:
        assert start < end
        assert text[start:end] == text[start:end].strip()
        for i in range(start, end):
            cover[i] += 1
    assert max(cover, default=0) <= 1
    assert all(n for n, char in zip(cover, text, strict=True) if not char.isspace())
    assert found == sorted(found)


@given(texts())
def test_sentences_cover_every_character_but_white_space_once(text: str) -> None:
    check_sentences(text)


@given(st.lists(st.sampled_from([*'بد.؟!…،»") \n3a', "أ.ف.ب", "..."]), max_size=20).map("".join))
def test_sentences_cover_texts_that_are_mostly_punctuation(text: str) -> None:
    check_sentences(text)


@given(texts())
def test_no_word_crosses_a_sentence_boundary(text: str) -> None:
    found = split_sentences(text)
    for start, end in words(text):
        assert sum(first <= start and end <= last for first, last in found) == 1


@pytest.mark.parametrize("text", [("ب" * 3000 + '".') * 10 + " ب. ب", "بلدة." * 1000, "ab1." * 1000])
def test_a_text_with_many_dots_and_no_space_is_split_in_reasonable_time(text: str) -> None:
    begin = time.process_time()
    split_sentences(text)
    assert time.process_time() - begin < 0.5


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("العَقِيدُ", "العقيد"),
        ("مُحَمَّدٌ", "محمد"),
        ("الرحمٰن", "الرحمن"),
        ("مـــأرب", "مأرب"),
        ("ـ", ""),
        ("\u0651", ""),
        ("\u200f", ""),
        ("\u200c", ""),
        ("\ufeff", ""),
        ("\u2067حلب\u2069", "حلب"),
        ("ﻻ", "لا"),
        ("ﻷ", "لأ"),
        ("ﺣﻠﺐ", "حلب"),
        ("٢٠١٤", "2014"),
        ("۲۰۱۴", "2014"),
        ("2014", "2014"),
        ("²", "2"),
        ("«", '"'),
        ("”", '"'),
        ("’", "'"),
        ("–", "-"),
        ("؟", "؟"),
        ("،", "،"),
        ("أإآؤئءىة", "أإآؤئءىة"),
    ],
)
def test_normalise(word: str, expected: str) -> None:
    assert normalise(word) == expected


@given(st.one_of(texts(), st.text()))
def test_normalise_never_raises_and_leaves_no_marks(text: str) -> None:
    result = normalise(text)
    assert all(unicodedata.category(char) not in ("Mn", "Me", "Cf") and char != "ـ" for char in result)


@given(st.text(ARABIC, min_size=1), st.randoms(use_true_random=False))
def test_normalise_undoes_marks_and_tatweel_between_any_letters(word: str, random: Random) -> None:
    dressed = "".join(char + random.choice(["", "\u064e", "\u0651\u0650", "ـ"]) for char in word)
    assert normalise(dressed) == normalise(word) == word


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("حلب", 0), ("وحلب", 1), ("وبحلب", 2), ("فلسطين", 3), ("وكس", 2), ("كسوف", 3), ("وبسلكس", 3), ("و", 0), ("لب", 1),
        ("", 0), ("وَحلب", 1), ("وـحلب", 1), ("\u064eوحلب", 1), ("ابن", 0), ("لل", 1),
    ],
)  # fmt: skip
def test_proclitic_letters_leave_a_letter_and_are_three_at_most(word: str, count: int) -> None:
    assert proclitic_letters(word) == count


@pytest.mark.parametrize(
    ("text", "start", "count", "expected"),
    [
        ("وحلب", 0, 0, 0),
        ("وحلب", 0, 1, 1),
        ("وَحلب", 0, 1, 2),
        ("بـحلب", 0, 1, 2),
        ("وَبِـحلب", 0, 2, 5),
        ("من وبحلب", 3, 2, 5),
        ("ب", 0, 1, 1),
        ("\u064eوحلب", 0, 1, 2),
    ],
)
def test_skip_letters_skips_letters_with_the_marks_that_follow(text: str, start: int, count: int, expected: int) -> None:
    assert skip_letters(text, start, count) == expected


@given(texts())
def test_letters_that_can_be_proclitics_can_be_skipped_within_their_word(text: str) -> None:
    for start, end in words(text):
        offsets = [skip_letters(text, start, n) for n in range(proclitic_letters(text[start:end]) + 1)]
        assert offsets == sorted(set(offsets))
        assert offsets[0] == start
        assert offsets[-1] < end
