"""The schema: each rule of ``validate`` finds what breaks it, and the model's tables are the schema's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data.dataset import schema_config
from data.formats import from_markup
from data.schema import (
    ACTOR,
    ARGUMENTS,
    ENTITY_TYPES,
    FACTUALITY,
    NO_PLACE,
    RELATION_TYPES,
    SCHEMA_VERSION,
    SYMMETRIC,
    Document,
    Mention,
    Relation,
    Sentence,
)
from model.configuration_khabar import KhabarConfig
from model.features import allowed_table

SOUND = from_markup("""# id: doc7
S1| هاجم [1:ARM الحرس] [2:LOC الجبل] [3:DATE أمس] ب[4:WPN صاروخ].
ATTACK 1>2 on=3 with=4
S2| وقال [5:ROLE الوزير] إن [6:GPE مصر] بعيدة.
S3| وغادر [7:PER ماهر].
""")
BARE = replace(SOUND, mentions=(), relations=())


def with_mention(**change: object) -> Document:
    first, *rest = SOUND.mentions
    return replace(SOUND, mentions=(replace(first, **change), *rest), relations=())  # type: ignore[arg-type]


def with_relation(relation: Relation) -> Document:
    return replace(SOUND, relations=(relation,))


@pytest.mark.parametrize(
    ("document", "id", "rule"),
    [
        (replace(BARE, sentences=(Sentence(0, 40), Sentence(30, 50))), "sentence 1", "overlap"),
        (replace(BARE, sentences=(Sentence(0, 9999),)), "sentence 0", "leave the text"),
        (replace(BARE, sentences=(Sentence(5, 3),)), "sentence 0", "offsets 5–3"),
        (with_mention(id=2), "entity 2", "occurs twice"),
        (with_mention(type="TANK"), "entity 1", "unknown type 'TANK'"),
        (with_mention(end=5), "entity 1", "empty"),
        (with_mention(start=-1), "entity 1", "leave the text"),
        (with_mention(end=9999), "entity 1", "leave the text"),
        (with_mention(start=4), "entity 1", "white space"),
        (with_mention(end=11), "entity 1", "white space"),
        (with_mention(end=16), "entity 2", "overlaps"),
        (replace(BARE, mentions=(Mention(1, "ARM", 21, 33),)), "entity 1", "one sentence"),
        (with_relation(Relation("ATTACK", 1, 9)), "relation ATTACK 1>9", "no entity 9"),
        (with_relation(Relation("ATTACK", 1, 2, arguments={"at": 9})), "relation ATTACK 1>2", "no entity 9"),
        (with_relation(Relation("ENVY", 1, 2)), "relation ENVY 1>2", "unknown type"),
        (with_relation(Relation("ATTACK", 2, 1)), "relation ATTACK 2>1", "cannot link LOC to ARM"),
        (with_relation(Relation("ATTACK", 1, 3)), "relation ATTACK 1>3", "cannot link ARM to DATE"),
        (with_relation(Relation("ATTACK", 1, 1)), "relation ATTACK 1>1", "to itself"),
        (with_relation(Relation("ATTACK", 1, 2, "rumoured")), "relation ATTACK 1>2", "unknown factuality 'rumoured'"),
        (replace(SOUND, relations=SOUND.relations * 2), "relation ATTACK 1>2", "written twice"),
        (with_relation(Relation("SUPPORT", 1, 7)), "relation SUPPORT 1>7", "not adjacent"),
        (with_relation(Relation("ATTACK", 1, 2, arguments={"by": 4})), "relation ATTACK 1>2", "unknown argument 'by'"),
        (with_relation(Relation("ATTACK", 1, 2, arguments={"at": 3})), "relation ATTACK 1>2", "at=3 cannot be DATE"),
        (with_relation(Relation("ATTACK", 1, 2, arguments={"src": 4})), "relation ATTACK 1>2", "src=4 cannot be WPN"),
        (with_relation(Relation("MEMBER_OF", 1, 6, arguments={"at": 2})), "relation MEMBER_OF 1>6", "takes no at="),
        (with_relation(Relation("LOCATED_IN", 1, 2, arguments={"at": 2})), "relation LOCATED_IN 1>2", "takes no at="),
        (with_relation(Relation("ATTACK", 1, 2, arguments={"src": 7})), "relation ATTACK 1>2", "more than one sentence away"),
    ],
)
def test_each_rule_finds_what_breaks_it_and_names_document_and_id(document: Document, id: str, rule: str) -> None:
    (problem,) = document.validate()
    assert problem.startswith(f"document doc7: {id}: ")
    assert rule in problem


def test_a_sound_document_has_no_problem(documents: list[Document]) -> None:
    assert SOUND.validate() == []
    assert [document.validate() for document in documents] == [[] for _ in documents]


def test_the_same_relation_with_another_factuality_is_sound() -> None:
    again = replace(SOUND.relations[0], factuality="negated")
    assert replace(SOUND, relations=(*SOUND.relations, again)).validate() == []


def test_mentions_that_touch_do_not_overlap() -> None:
    mentions = (Mention(1, "ARM", 0, 3), Mention(2, "LOC", 3, 6))
    assert Document("a", "حلبعدن", (), mentions).validate() == []


def test_an_argument_may_stand_next_to_either_end() -> None:
    assert with_relation(Relation("ACCUSE", 1, 5, arguments={"src": 7})).validate() == []


def test_the_models_tables_are_the_schemas() -> None:
    config = KhabarConfig(**schema_config())
    assert len(RELATION_TYPES) == 16
    assert config.relations == list(RELATION_TYPES)
    table = allowed_table(config)
    assert table.shape == (len(ENTITY_TYPES), len(ENTITY_TYPES), 16)
    for kind, (name, (heads, tails)) in enumerate(RELATION_TYPES.items()):
        for h, head in enumerate(ENTITY_TYPES):
            for t, tail in enumerate(ENTITY_TYPES):
                possible = head in heads and tail in tails
                assert bool(table[h, t, kind]) == possible
                assert config.allowed(head, tail)[kind] == possible
                document = Document(
                    "a", "حلب عدن", (), (Mention(1, head, 0, 3), Mention(2, tail, 4, 7)), (Relation(name, 1, 2),)
                )
                assert (document.validate() == []) == possible


def test_the_models_labels_are_the_schemas() -> None:
    config = KhabarConfig(**schema_config())
    assert config.entity_types == list(ENTITY_TYPES)
    assert config.tags == ["O", *(f"{prefix}-{name}" for name in ENTITY_TYPES for prefix in ("B", "I"))]
    assert config.factuality == list(FACTUALITY)
    assert {name: tuple(types) for name, types in config.arguments.items()} == ARGUMENTS
    assert config.symmetric == list(SYMMETRIC)
    assert config.no_place == list(NO_PLACE)
    assert config.schema == SCHEMA_VERSION


def test_labels_are_known_and_symmetric_relations_link_both_ways() -> None:
    for heads, tails in RELATION_TYPES.values():
        assert {*heads, *tails} <= set(ENTITY_TYPES)
    assert all(RELATION_TYPES[name] == (ACTOR, ACTOR) for name in SYMMETRIC)
    assert {*SYMMETRIC, *NO_PLACE} <= set(RELATION_TYPES)
    assert FACTUALITY[0] == "asserted"


def test_canonical_puts_mentions_and_relations_in_the_order_of_the_text() -> None:
    shuffled = replace(
        SOUND, mentions=SOUND.mentions[::-1], relations=(Relation("SUPPORT", 5, 7), Relation("ACCUSE", 5, 1), *SOUND.relations)
    )
    canonical = shuffled.canonical()
    assert canonical.mentions == SOUND.mentions
    assert [(r.type, r.head, r.tail) for r in canonical.relations] == [("ATTACK", 1, 2), ("ACCUSE", 5, 1), ("SUPPORT", 5, 7)]


def test_sentences_of_mentions_and_relations() -> None:
    assert [SOUND.sentence_of(m) for m in SOUND.mentions] == [0, 0, 0, 0, 1, 1, 2]
    assert SOUND.relation_sentences(Relation("ACCUSE", 5, 1)) == (0, 1)
    assert SOUND.relation_sentences(SOUND.relations[0]) == (0,)
    assert SOUND.sentence_of(Mention(9, "LOC", 30, 60)) == -1
    with pytest.raises(KeyError):
        SOUND.mention(99)
