"""From tags to mentions: valid paths, tidy edges, one type for one name."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from conftest import tiny_model
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from model.features import WordMention
from model.mentions import NEVER_LAST, agreed, edges, find_mentions, partners, viterbi
from model.windows import encode_text


def valid(tags: list[int]) -> bool:
    return all(tag == 0 or tag % 2 == 1 or before in (tag - 1, tag) for before, tag in zip([0, *tags], tags, strict=False))


# Paths ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kinds", [1, 2])
def test_viterbi_equals_brute_force(seed: int, kinds: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tags = 1 + 2 * kinds
    lengths = torch.tensor([5, 1, 3, 4])
    log = (3 * torch.randn(4, 5, tags, generator=generator)).log_softmax(-1)
    paths = viterbi(log, lengths)
    for unit, length in enumerate(lengths.tolist()):
        possible = [list(p) for p in itertools.product(range(tags), repeat=length) if valid(list(p))]
        best = max(possible, key=lambda path: sum(float(log[unit, i, tag]) for i, tag in enumerate(path)))
        assert paths[unit, :length].tolist() == best


@given(st.integers(0, 10**6), st.integers(1, 11), st.integers(1, 40))
def test_viterbi_gives_valid_tags_only(seed: int, kinds: int, longest: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    log = (8 * torch.randn(3, longest, 1 + 2 * kinds, generator=generator)).log_softmax(-1)
    lengths = torch.tensor([longest, 1, (longest + 1) // 2])
    for path, length in zip(viterbi(log, lengths).tolist(), lengths.tolist(), strict=True):
        assert valid(path[:length])


def test_viterbi_prefers_a_whole_mention_to_a_forbidden_better_tag() -> None:
    log = torch.tensor([[[0.5, 0.4, 0.1], [0.1, 0.1, 0.8]]]).log()
    assert viterbi(log, torch.tensor([2])).tolist() == [[1, 2]]


# Edges ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tagged", "kept"),
    [
        ("حزب البيت )", "حزب البيت )", "حزب البيت"),
        ("( حزب البيت", "( حزب البيت", "حزب البيت"),
        ("اليوم ( الأحد ) في", "اليوم ( الأحد", "اليوم ( الأحد )"),
        ("اليوم ( الأحد ) في", "اليوم ( الأحد )", "اليوم ( الأحد )"),
        ("جماعة ( السنة", "جماعة (", "جماعة"),
        ("« حركة فجر » قالت", "« حركة فجر »", "حركة فجر"),
        ("حركة « فجر » قالت", "حركة « فجر", "حركة « فجر »"),
        ('حركة " فجر " قالت', 'حركة " فجر "', 'حركة " فجر "'),
        ('حركة فجر " قالت', 'حركة فجر "', "حركة فجر"),
        ("وزارة الدفاع ، أمس", "وزارة الدفاع ،", "وزارة الدفاع"),
        ('" حركة فجر " قالت', '" حركة فجر "', "حركة فجر"),
        ('حركة " فجر " قالت', 'حركة " فجر', 'حركة " فجر "'),
        ("« القاعدة » في « المغرب » قالت", "« القاعدة » في « المغرب »", "« القاعدة » في « المغرب »"),
        ("البند ) حزب « نداء » قال", ") حزب « نداء »", "حزب « نداء »"),
        ("حزب ( أ « ب » ) قال", "حزب ( أ « ب", "حزب ( أ « ب » )"),
        ("رشيد ب . قال", "رشيد ب .", "رشيد ب ."),
        ('تنظيم " فجر " .', 'تنظيم " فجر " .', 'تنظيم " فجر "'),
        ("بلدة حمام .", "بلدة حمام .", "بلدة حمام"),
        ("قالت « فجر » الدولية", "فجر » الدولية", "« فجر » الدولية"),
        ('قالت " فجر " الدولية', 'فجر " الدولية', '" فجر " الدولية'),
        ("قالت فجر » الدولية", "فجر » الدولية", "فجر » الدولية"),
        ("قالت « فجر » أمس", "فجر »", "فجر"),
    ],
)
def test_edges_are_tidied(text: str, tagged: str, kept: str) -> None:
    words = text.split()
    begin = next(i for i in range(len(words)) if words[i : i + len(tagged.split())] == tagged.split())
    end = begin + len(tagged.split())
    path = [1 if begin == i else 2 if begin < i < end else 0 for i in range(len(words))]
    found = edges(words, begin, end, path)
    assert found is not None
    assert " ".join(words[slice(*found)]) == kept


@pytest.mark.parametrize("text", ["،", "( )", '"', "( ) (", "« ،"])
def test_marks_alone_are_no_mention(text: str) -> None:
    words = text.split()
    assert edges(words, 0, len(words), [1] + [2] * (len(words) - 1)) is None


def test_a_closing_bracket_of_another_mention_is_left_to_it() -> None:
    assert edges(["اليوم", "(", "الأحد", ")"], 0, 3, [1, 2, 2, 3]) == (0, 3)
    assert edges(["(", "الأحد", ")", "القادم"], 1, 4, [3, 1, 2, 2]) == (1, 4)


@given(st.lists(st.sampled_from(["حزب", "الأحد", "«", "»", "(", ")", '"', "،", "."]), min_size=1, max_size=9), st.data())
def test_tidy_edges_stay_and_leave_no_lone_bracket_there(words: list[str], data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(begin + 1, len(words)))
    path = data.draw(st.lists(st.integers(0, 2), min_size=len(words), max_size=len(words)))
    found = edges(words, begin, end, path)
    assert (found is None) == (not {"حزب", "الأحد"} & set(words[begin:end]))
    if found is None:
        return
    assert found[0] < found[1]
    inside = words[slice(*found)]
    assert inside[-1] not in NEVER_LAST | {"."}
    for edge in (0, len(inside) - 1):
        assert inside[edge] not in set('«»()"') or edge in partners(inside)
    taken = [*range(found[0], begin), *range(end, found[1])]
    assert all(path[i] == 0 for i in taken), "only words tagged O are taken in"
    assert edges(words, *found, path) == found


def test_mentions_never_overlap_and_cover_words(tokenizer: PreTrainedTokenizerFast) -> None:
    config = tiny_model(tokenizer).config
    encoded = encode_text("قال ( حزب « السلام » ( اليوم ) إن ، « الوفد وصل (أمس) .", tokenizer, window=128)
    count = encoded.units[-1].end_word
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        logits = 6 * torch.randn(count, len(config.tags), generator=generator)
        end = 0
        for mention in find_mentions(encoded, [logits], [torch.zeros(count, 4)], config):
            assert end <= mention.first_word < mention.end_word <= count
            end = mention.end_word


# One name, one type ---------------------------------------------------------------------------------------------------


def types_of(tokenizer: PreTrainedTokenizerFast, *found: tuple[str, float]) -> list[str]:
    """Types that mentions of one name get in a text, from the types and scores that the tagger gave them."""
    config = tiny_model(tokenizer).config
    encoded = encode_text(" قال ".join(["دمشق"] * len(found)), tokenizer, window=128)
    mentions = [
        WordMention(2 * i, 2 * i + 1, config.entity_types.index(kind), 0, score) for i, (kind, score) in enumerate(found)
    ]
    kept = agreed(encoded, mentions, config)
    assert [replace(mention, type=0) for mention in kept] == [replace(mention, type=0) for mention in mentions]
    return [config.entity_types[mention.type] for mention in kept]


@pytest.mark.parametrize(
    ("found", "agreed_types"),
    [
        ([("PER", 0.6), ("WPN", 0.9), ("PER", 0.5)], ["PER", "PER", "PER"]),
        ([("PER", 0.1), ("WPN", 0.9), ("PER", 0.1)], ["WPN", "WPN", "WPN"]),
        ([("GPE", 0.5), ("LOC", 0.4), ("ORG", 0.6)], ["GPE", "LOC", "GPE"]),  # a place and its government count as one
        ([("GPE", 0.9), ("LOC", 0.4)], ["GPE", "LOC"]),
    ],
)
def test_a_name_takes_the_type_with_most_of_the_score(
    tokenizer: PreTrainedTokenizerFast, found: list[tuple[str, float]], agreed_types: list[str]
) -> None:
    assert types_of(tokenizer, *found) == agreed_types
