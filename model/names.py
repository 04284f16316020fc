"""The clean surface of a mention: the name as one would write it alone."""

from __future__ import annotations

import re
import unicodedata

from .text import is_ignorable

LAM_NAMES = frozenset(
    """
    لبنان لبناني لبنانية ليبيا ليبي ليبية لندن لاهاي لوكسمبورغ ليتوانيا لاتفيا ليبيريا لاوس لوزان لشبونة ليون ليل لايبزيغ
    لحج لودر لافروف لودريان لوكاشينكو لولا لوبان لاريجاني لحود ليبرمان لابيد ليفني لقمان لطفي لطيف لطيفة لؤي ليلى لينا لمى
    لارا لويس لوران لوكا لوس لوغانسك لاعبي لاجئي لجنتي لوائي
    """.split()
)
"""Names and construct forms whose first lam is their own and that take no article."""

LAM_NOUNS = frozenset("لجنة لجان لواء لاجئ لاجئة لاجئات لاعب لقاء لوبي لغم لوحة لصوص لفيف".split())
"""Nouns whose first lam is their own: alone they have the article behind لل, before another word they are a construct."""

LAM_DEFINITE = re.compile(r"لاذقية|(?:لبناني|ليبي|ليبرالي|لاجئ|لاعب)(?:ين|ون)")
"""Words whose first lam is their own and that have the article behind لل: لليبراليين is الليبراليين."""


def clean_name(text: str, start: int, end: int) -> str:
    """The mention ``text[start:end]`` as a name: للولايات المتحدة gives الولايات المتحدة, لليبيا gives ليبيا.

    Marks, tatweel and format characters are dropped, presentation forms folded, white space becomes one space, and quotes
    and brackets that have lost their other half go.
    Where the span begins at the second lam of لل, the alif of the article that Arabic drops there comes back; of words whose
    first lam is their own, what comes back is the whole article or nothing.
    """
    surface = " ".join("".join(_fold(c) for c in text[start:end]).split())
    for left, right in ("«»", "“”", '""', "()"):
        if surface.count(left) % 2 if left == right else surface.count(left) != surface.count(right):
            surface = " ".join(surface.replace(left, "").replace(right, "").split())
    before = _letter_before(text, start)
    first, _, rest = surface.partition(" ")
    if before != "ل" or not first.startswith("ل") or len(first) < 3 or first in LAM_NAMES:
        return surface
    if LAM_DEFINITE.fullmatch(first) or (first in LAM_NOUNS and not rest):
        return "ال" + surface
    return surface if first in LAM_NOUNS else "ا" + surface


def _fold(char: str) -> str:
    if "\ufb50" <= char <= "\ufdff" or "\ufe70" <= char <= "\ufefc":
        char = unicodedata.normalize("NFKC", char)
    return "".join(c for c in char if not is_ignorable(c))


def _letter_before(text: str, start: int) -> str:
    while start > 0 and is_ignorable(text[start - 1]):
        # A tatweel after the preposition (لـ"لجنة") parts it from the name, so no article is fused.
        if text[start - 1] == "ـ":
            return ""
        start -= 1
    return _fold(text[start - 1])[-1:] if start else ""
