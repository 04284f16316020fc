"""The clean surface of a mention: the name as one would write it alone."""

from __future__ import annotations

import unicodedata

from .text import is_ignorable

LAM_NAMES = frozenset(
    """
    لبنان لبناني لبنانية لبنانيين لبنانيون ليبيا ليبي ليبية ليبيين ليبيون لندن لاهاي لوكسمبورغ ليتوانيا لاتفيا
    ليبيريا لاوس لوزان لشبونة ليون ليل لايبزيغ لواء لوائي لجنة لجان لقاء لحج لودر لاجئ لاجئة لاجئين لاجئون
    لاجئات لوبي لافروف لافرنتييف لودريان لوكاشينكو لولا لوبان لاريجاني لحود ليبرمان لابيد ليفني لقمان لطفي
    لطيفة لؤي ليلى لينا لمى لارا لويس لوران لوكا لاعب لاعبين لاعبون لغم لوحة لواءي لكنة لصوص ليلة لحظة لكنو
    لوس لوغانسك لفيف ليمان لاذقية
    """.split()
)
"""Words whose first lam is their own, so that لل before the rest is the preposition ل, not ل with the article."""


def clean_name(text: str, start: int, end: int) -> str:
    """The mention ``text[start:end]`` as a name: للولايات المتحدة gives الولايات المتحدة, لليبيا gives ليبيا.

    Marks, tatweel and format characters are dropped, presentation forms folded, and white space becomes one space.
    Where the span begins at the second lam of لل, the alif of the article that Arabic drops there comes back, unless the
    word is one of ``LAM_NAMES``.
    """
    surface = " ".join("".join(_fold(c) for c in text[start:end]).split())
    before = _letter_before(text, start)
    first = surface.split(" ", 1)[0]
    if before == "ل" and first.startswith("ل") and len(first) > 2 and first not in LAM_NAMES:
        return "ا" + surface
    return surface


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
