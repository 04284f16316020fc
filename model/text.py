"""Words, sentences and normalisation of Arabic text. Offsets are code points into the untouched text.

Normalisation works on one word at a time and only its result is fed to a tokenizer; where a word stands in the text
is kept beside it, so that no offset ever moves.
"""

from __future__ import annotations

import re
import unicodedata

Span = tuple[int, int]
"""Half-open code-point offsets."""

MAX_WORD = 64
"""A run of letters longer than this many characters is cut into words of this length (no real word is)."""

PROCLITICS = frozenset("وفبلكس")
TATWEEL = "ـ"
TERMINATORS = ".!?؟"
OPENERS = "\"'«»“”()[]{}"
CLOSERS = "\"'»”’)]}"
ABBREVIATIONS = frozenset("د أ م ا ص ب ت ج ه هـ س ق ط ع ك ش ف ن و ل ر ي أ.د د.أ ق.م ب.م".split())

_LETTERS = frozenset("LMN")


def _is_letter(char: str) -> bool:
    return unicodedata.category(char)[0] in _LETTERS


def is_ignorable(char: str) -> bool:
    """Whether a character is a mark, tatweel or format character (bidi marks, ZWNJ): written, but not a letter."""
    return char == TATWEEL or unicodedata.category(char) in ("Mn", "Me", "Cf")


def words(text: str) -> list[Span]:
    """Spans of words: a maximal run of letters, marks and digits, or one other character that is not white space."""
    spans: list[Span] = []
    start = -1
    for i, char in enumerate(text):
        if _is_letter(char):
            if start < 0:
                start = i
            elif i - start == MAX_WORD:
                spans.append((start, i))
                start = i
            continue
        if start >= 0:
            spans.append((start, i))
            start = -1
        if not char.isspace():
            spans.append((i, i + 1))
    if start >= 0:
        spans.append((start, len(text)))
    return spans


_QUOTES = str.maketrans(dict.fromkeys("«»“”„‟″", '"') | dict.fromkeys("‘’‚‛′", "'") | dict.fromkeys("–—−‐‑", "-"))


def normalise(word: str) -> str:
    """A word as the tokenizer sees it: compatibility forms folded, marks, tatweel and format characters dropped,
    digits in ASCII, quotes and dashes plain. May be empty.
    """
    word = unicodedata.normalize("NFKC", word)
    chars = [c for c in word if not is_ignorable(c)]
    return "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in chars).translate(_QUOTES)


def proclitic_letters(word: str) -> int:
    """How many leading letters of a word are among و ف ب ل ك س, at most three, leaving at least one letter."""
    letters = [c for c in word if not is_ignorable(c)]
    count = 0
    while count < min(3, len(letters) - 1) and letters[count] in PROCLITICS:
        count += 1
    return count


def skip_letters(text: str, start: int, count: int) -> int:
    """The offset after ``count`` letters from ``start``, and after the marks and tatweel that follow them."""
    while count > 0:
        while is_ignorable(text[start]):
            start += 1
        start += 1
        count -= 1
        while start < len(text) and is_ignorable(text[start]):
            start += 1
    return start


def split_sentences(text: str) -> list[Span]:
    """Spans of sentences, without the white space around them.

    Paragraph ends and . ! ? ؟ are boundaries; و and ، are not. Closing quotes and brackets stay with the sentence.
    A dot is no boundary after an abbreviation or a single letter, within a number, before a Latin letter or a digit,
    or before a lower mark of punctuation.
    """
    spans: list[Span] = []
    for line in re.finditer(r"[^\n\r\u2028\u2029]+", text):
        start = line.start()
        for found in re.finditer(rf"[{re.escape(TERMINATORS)}…]+[{re.escape(CLOSERS)}]*", line.group()):
            end = line.start() + found.end()
            if _is_boundary(text, line.start(), line.start() + found.start(), end, line.end()):
                _append(spans, text, start, end)
                start = end
        _append(spans, text, start, line.end())
    return spans


def _append(spans: list[Span], text: str, start: int, end: int) -> None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))


def _is_boundary(text: str, line_start: int, mark: int, end: int, line_end: int) -> bool:
    following = end
    while following < line_end and text[following].isspace():
        following += 1
    if following == line_end:
        return True
    if text[following] in "،؛,;:-–—":
        return False
    marks = text[mark:end].rstrip(CLOSERS)
    if marks in ("…", "..", "...") and following == end:
        return False
    if marks != ".":
        return True
    before = mark
    while before > max(line_start, mark - 16) and not text[before - 1].isspace() and text[before - 1] not in OPENERS:
        before -= 1
    bare = "".join(c for c in text[before:mark] if not is_ignorable(c))
    initials = "." in bare and all(len(part) <= 2 and part.isalpha() for part in bare.split("."))
    if bare.removeprefix("و") in ABBREVIATIONS or initials or (len(bare) == 1 and bare.isalpha()):
        return False
    if following > end:
        return True
    # No space follows: a missing space after a sentence, or a dot inside a number, an address or an abbreviation.
    return len(bare) > 2 and "\u0621" <= bare[-1] <= "\u064a" and "\u0621" <= text[end] <= "\u064a"
