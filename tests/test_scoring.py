"""Scores of predictions, against counts by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from data.formats import from_markup
from data.schema import Document, Mention, Relation
from data.scoring import (
    ARGUMENT,
    CROSS,
    ENTITIES,
    FACTUAL,
    METRICS,
    REL,
    REL_PLUS,
    Counts,
    Scores,
    calibration,
    interval,
    score,
    table,
    type_table,
    word_tags,
)

GOLD = from_markup("""# id: a
S1| هاجم [1:ARM الحرس] [2:LOC الجبل] [3:DATE أمس] ب[4:WPN صاروخ].
ATTACK 1>2 on=3 with=4
S2| وقال [5:ROLE الوزير] إن [6:GPE مصر] تدعم [7:ORG الاتحاد].
SUPPORT 6>7 ~alleged src=5
ACCUSE 5>1
""")
ATTACK, SUPPORT, ACCUSE = sorted(GOLD.relations, key=lambda r: ("ATTACK", "SUPPORT", "ACCUSE").index(r.type))


def guess(
    *, without: Sequence[int] = (), types: dict[int, str] | None = None, relations: Sequence[Relation] = GOLD.relations
) -> Document:
    """The gold document with some mentions missing or of another type, and these relations."""
    mentions = [replace(m, type=(types or {}).get(m.id, m.type)) for m in GOLD.mentions if m.id not in without]
    return replace(GOLD, mentions=tuple(mentions), relations=tuple(relations))


def scored(*predicted: Document, gold: Sequence[Document] = (GOLD,)) -> Scores:
    return score(gold, predicted, bootstrap=0)


def counts(scores: Scores, metric: str) -> tuple[int, int, int]:
    total = scores.total(metric)
    return total.right, total.gold, total.predicted


def test_the_document_of_these_tests_is_sound() -> None:
    assert GOLD.validate() == []


def test_a_perfect_prediction_has_the_whole_of_every_score() -> None:
    scores = scored(GOLD)
    expected = {ENTITIES: 7, REL: 3, REL_PLUS: 3, FACTUAL: 3, ARGUMENT: 3, CROSS: 1}
    assert {metric: counts(scores, metric) for metric in METRICS} == {m: (n, n, n) for m, n in expected.items()}
    assert scores.word_f1 == scores.factuality_accuracy == scores.factuality_macro == 1.0
    assert scores.found == 3


def test_f1_precision_and_recall_by_hand() -> None:
    assert (Counts(2, 4, 5).precision, Counts(2, 4, 5).recall) == (0.4, 0.5)
    assert Counts(2, 4, 5).f1 == pytest.approx(4 / 9)
    empty = Counts()
    assert (empty.precision, empty.recall, empty.f1) == (0, 0, 0)
    assert Counts(1, 2, 3) + Counts(1, 1, 1) == Counts(2, 3, 4)


def test_entities_want_boundaries_and_type() -> None:
    moved = [replace(m, end=m.end - 1) if m.id == 3 else m for m in guess(types={6: "LOC"}).mentions]
    extra = Mention(8, "GRP", 5, 6)
    prediction = replace(GOLD, mentions=(*moved[1:], extra), relations=())
    scores = scored(prediction)
    assert counts(scores, ENTITIES) == (4, 7, 7)
    assert scores.total(ENTITIES).f1 == pytest.approx(8 / 14)


def test_nothing_predicted_scores_nothing() -> None:
    scores = scored(replace(GOLD, mentions=(), relations=()))
    assert counts(scores, ENTITIES) == (0, 7, 0)
    assert counts(scores, REL_PLUS) == (0, 3, 0)
    assert scores.total(REL_PLUS).f1 == scores.word_f1 == 0.0
    assert scores.found == 0
    assert scores.factuality_macro is None


def test_a_wrong_entity_type_is_right_for_rel_and_wrong_for_rel_plus() -> None:
    scores = scored(guess(types={2: "FAC"}))
    assert counts(scores, REL) == (3, 3, 3)
    assert counts(scores, REL_PLUS) == (2, 3, 3)
    assert counts(scores, FACTUAL) == (2, 3, 3)
    assert counts(scores, ARGUMENT) == (1, 3, 3)
    assert counts(scores, CROSS) == (1, 1, 1)


def test_direction_and_relation_type_count() -> None:
    swapped = replace(ACCUSE, head=1, tail=5)
    scores = scored(guess(relations=[swapped, replace(SUPPORT, type="DEMAND"), ATTACK]))
    assert counts(scores, REL) == counts(scores, REL_PLUS) == (1, 3, 3)
    assert counts(scores, CROSS) == (0, 1, 1)


def test_missed_entities_make_their_relations_missed() -> None:
    scores = scored(guess(without=[2, 5], relations=[Relation("SUPPORT", 6, 7, "alleged")]))
    assert counts(scores, ENTITIES) == (5, 7, 5)
    assert counts(scores, REL) == counts(scores, REL_PLUS) == (1, 3, 1)
    assert counts(scores, ARGUMENT) == (0, 3, 0)
    assert counts(scores, CROSS) == (0, 1, 0)
    assert scores.total(REL_PLUS).f1 == 0.5


def test_factuality_is_scored_on_found_relations_and_in_its_own_metric() -> None:
    scores = scored(guess(relations=[replace(ATTACK, factuality="planned"), SUPPORT, Relation("SUPPORT", 7, 6, "alleged")]))
    assert counts(scores, REL_PLUS) == (2, 3, 3)
    assert counts(scores, FACTUAL) == (1, 3, 3)
    assert scores.found == 2
    assert scores.factuality_accuracy == 0.5
    assert scores.factuality_macro == 1.0  # alleged alone stands in gold
    scores = scored(guess(relations=[replace(ATTACK, factuality="alleged"), SUPPORT, ACCUSE]))
    assert scores.factuality_macro == pytest.approx(2 / 3)
    assert scores.factuality_accuracy == pytest.approx(2 / 3)


def test_a_relation_with_two_factualities_in_gold_is_right_with_either() -> None:
    gold = guess(relations=[SUPPORT, replace(SUPPORT, factuality="planned", arguments={})])
    for value in ("alleged", "planned"):
        scores = scored(guess(relations=[replace(SUPPORT, factuality=value)]), gold=[gold])
        assert counts(scores, FACTUAL) == (1, 2, 1)
        assert scores.factuality_accuracy == 1.0


def test_arguments_want_relation_kind_and_filler() -> None:
    other = replace(ATTACK, arguments={"on": 3, "with": 4, "src": 5})
    wrong = replace(SUPPORT, arguments={"src": 1})
    lost = Relation("CONDEMN", 5, 1, arguments={"on": 3})
    scores = scored(guess(relations=[other, wrong, lost]))
    assert counts(scores, ARGUMENT) == (2, 3, 5)
    assert {k: (c.right, c.gold, c.predicted) for k, c in scores.per_type[ARGUMENT].items()} == {
        "on": (1, 1, 2), "with": (1, 1, 1), "src": (0, 1, 2),
    }  # fmt: skip


def test_a_symmetric_relation_swapped_is_right() -> None:
    gold = from_markup("# id: a\nS1| التقى [1:PER ماهر] [2:PER سالما].\nNEGOTIATE 1>2 src=2")
    swapped = replace(gold, relations=(Relation("NEGOTIATE", 2, 1, arguments={"src": 2}),))
    scores = scored(swapped, gold=[gold])
    assert {metric: counts(scores, metric)[0] for metric in (REL, REL_PLUS, FACTUAL, ARGUMENT)} == dict.fromkeys(
        (REL, REL_PLUS, FACTUAL, ARGUMENT), 1
    )
    both = replace(gold, relations=(*gold.relations, *swapped.relations))
    assert counts(scored(both, gold=[gold]), REL_PLUS) == (1, 1, 1)


def test_relations_across_sentences_are_counted_apart() -> None:
    wrong = Relation("CONDEMN", 5, 2)
    assert counts(scored(guess(relations=[ATTACK, ACCUSE])), CROSS) == (1, 1, 1)
    assert counts(scored(guess(relations=[ATTACK, wrong])), CROSS) == (0, 1, 1)


def test_macro_is_the_mean_over_the_types_of_gold() -> None:
    scores = scored(guess(types={3: "NUM", 6: "LOC"}, relations=[ATTACK, Relation("SUPPORT", 5, 7), Relation("DEMAND", 5, 7)]))
    # ARM, WPN, ROLE, ORG 1; LOC 2/3 (one right of two predicted); DATE, GPE 0; NUM is not in gold.
    assert scores.macro(ENTITIES) == pytest.approx((4 + 2 / 3) / 7)
    assert scores.macro(REL_PLUS) == pytest.approx(1 / 3)
    assert scores.macro(CROSS) == 0.0
    assert scored(replace(GOLD, mentions=(), relations=()), gold=[replace(GOLD, mentions=(), relations=())]).macro(REL) == 0.0


def test_scores_add_up_over_documents() -> None:
    second = replace(GOLD, id="b")
    scores = scored(guess(relations=[ATTACK]), replace(second, relations=()), gold=[GOLD, second])
    assert scores.per_document[REL] == [Counts(1, 3, 1), Counts(0, 3, 0)]
    assert counts(scores, REL) == (1, 6, 1)
    assert scores.per_type[REL]["ATTACK"] == Counts(1, 2, 1)


def test_word_f1_of_adjacent_mentions_of_one_type() -> None:
    text = "زار ماهر الحلبي سالم النابلسي عدن"
    first, second, place = text.index("ماهر"), text.index("سالم"), text.index("عدن")
    gold = Document("a", text, (), (
        Mention(1, "PER", first, second - 1), Mention(2, "PER", second, place - 1), Mention(3, "LOC", place, place + 3),
    ))  # fmt: skip
    assert word_tags(gold) == ["O", "B-PER", "I-PER", "B-PER", "I-PER", "B-LOC"]
    joined = replace(gold, mentions=(Mention(1, "PER", first, place - 1), gold.mentions[2]))
    assert word_tags(joined) == ["O", "B-PER", "I-PER", "I-PER", "I-PER", "B-LOC"]
    # One of two predicted is right, of three in gold.
    assert scored(joined, gold=[gold]).word_f1 == pytest.approx(2 / 5)
    assert scored(gold, gold=[gold]).word_f1 == 1.0
    cut = replace(gold, mentions=(replace(gold.mentions[0], end=first + 4), *gold.mentions[1:]))
    assert scored(cut, gold=[gold]).word_f1 == pytest.approx(4 / 6)


def test_at_word_level_a_proclitic_belongs_to_its_word() -> None:
    gold = from_markup("# id: a\nS1| وصل ب[1:LOC حلب] وغادر")
    assert word_tags(gold) == ["O", "B-LOC", "O"]
    whole = replace(gold, mentions=(Mention(1, "LOC", 4, 8),))
    scores = scored(whole, gold=[gold])
    assert scores.word_f1 == 1.0
    assert counts(scores, ENTITIES) == (0, 1, 1)


def several() -> tuple[list[Document], list[Document]]:
    gold = [replace(GOLD, id=f"d{i}") for i in range(12)]
    predicted = [replace(d, relations=d.relations[: i % 4]) for i, d in enumerate(gold)]
    return gold, predicted


def test_the_bootstrap_interval_holds_the_point_and_is_the_same_each_time() -> None:
    gold, predicted = several()
    first, again = (score(gold, predicted, bootstrap=300) for _ in range(2))
    assert first.intervals == again.intervals
    for metric in METRICS:
        low, high = first.intervals[metric]
        assert low <= first.total(metric).f1 <= high
    low, high = first.intervals[REL_PLUS]
    assert 0 < low < high < 1
    assert score(gold, predicted, bootstrap=300, seed=5).intervals != first.intervals
    assert score(gold, predicted, bootstrap=0).intervals == dict.fromkeys(METRICS, (0.0, 0.0))


def test_the_interval_resamples_documents() -> None:
    assert interval([Counts(1, 2, 2)] * 9, samples=50, seed=0) == (0.5, 0.5)
    low, high = interval([Counts(1, 1, 1), Counts(0, 1, 1)], samples=500, seed=0)
    assert (low, high) == (0.0, 1.0)
    assert interval([], samples=50, seed=0) == (0.0, 0.0)


def test_calibration_error_by_hand() -> None:
    # Bins 0.6–0.7: |1 − (0.62 + 0.68)| / 4; 0.9–1: |1 − 0.9| / 4; 0–0.1: |0 − 0.05| / 4.
    error, floor = calibration([(0.62, True), (0.68, False), (0.9, True), (0.05, False)])
    assert error == pytest.approx((0.3 + 0.1 + 0.05) / 4)
    assert 0 < floor < 1
    assert calibration([(1.0, True), (1.0, True), (0.0, False)]) == (0.0, 0.0)
    assert calibration([(1.0, False)]) == (1.0, 0.0)
    assert calibration([]) == (0.0, 0.0)
    assert calibration([(0.5, True), (0.5, False)])[0] == 0.0


def test_calibration_reads_the_scores_of_relations() -> None:
    relations = [replace(ATTACK, score=0.9), replace(SUPPORT, score=0.7), Relation("DEMAND", 5, 7, score=0.2)]
    scores = scored(guess(relations=relations))
    assert scores.calibration_error == pytest.approx((0.1 + 0.3 + 0.2) / 3)


def test_other_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="document a"):
        scored(replace(GOLD, text=GOLD.text + "!"))
    with pytest.raises(ValueError, match="document a"):
        scored(replace(GOLD, text=GOLD.text.replace("مصر", "قطر")))
    with pytest.raises(ValueError, match="zip"):
        scored(gold=[GOLD])


def test_tables_show_every_metric_and_type() -> None:
    gold, predicted = several()
    scores = score(gold, predicted, bootstrap=20)
    shown = table({"dev": scores, "test": scores})
    assert all(metric in shown for metric in METRICS)
    assert f"{scores.total(REL_PLUS).f1:.3f}" in shown
    assert all(name in type_table(scores) for name in ("ATTACK", "SUPPORT", "ACCUSE", "ARM", "WPN"))
    record = scores.to_json()
    assert record["documents"] == 12
    assert record[REL]["gold"] == 36
    assert record[REL]["types"]["ATTACK"]["gold"] == 12
