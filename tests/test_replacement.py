"""Mention replacement: what changes, and that nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.formats import from_markup, sound_documents
from data.replacement import PERSONS, Person, read_persons, replace_persons

TEXT = """# id: t
# date: 2016-01-01
S1| قال [1:ROLE النائب] [2:PER سالم بن رجب] إن [3:PER رجب] ليس اسمه، ورفض [4:ORG الحزب] ذلك.
S2| وأضاف [5:PER بن رجب] ل[6:ORG وكالة محلية] أن [7:ROLE النائبة] [8:PER هدى المرزوقي] اتهمت [9:ORG الحزب]، ومعها [10:PER سالم].
ACCUSE 8>9 src=5
"""
PEOPLE = [Person("باراك أوباما", "أوباما", False), Person("أنجيلا ميركل", "ميركل", True)]


def test_every_mention_of_a_person_changes_alike_and_offsets_follow() -> None:
    document = from_markup(TEXT, id="t")
    changed = replace_persons(document, PEOPLE, share=1.0, seed=1)
    surfaces = {m.id: changed.surface(m) for m in changed.mentions}
    assert surfaces == {
        1: "النائب", 2: "باراك أوباما", 3: "أوباما", 4: "الحزب", 5: "أوباما", 6: "وكالة محلية", 7: "النائبة",
        8: "أنجيلا ميركل", 9: "الحزب", 10: "باراك",
    }  # fmt: skip
    assert changed.validate() == []
    assert changed.relations == document.relations
    assert [changed.text[s.start : s.end] for s in changed.sentences] == [
        "قال النائب باراك أوباما إن أوباما ليس اسمه، ورفض الحزب ذلك.",
        "وأضاف أوباما لوكالة محلية أن النائبة أنجيلا ميركل اتهمت الحزب، ومعها باراك.",
    ]


def test_no_share_changes_nothing() -> None:
    document = from_markup(TEXT, id="t")
    assert replace_persons(document, PEOPLE, share=0.0, seed=1) == document


def test_the_choice_depends_on_seed_and_id_alone() -> None:
    document = from_markup(TEXT, id="t")
    people = read_persons()
    texts = {replace_persons(document, people, share=0.5, seed=seed).text for seed in range(20)}
    assert len(texts) > 5
    assert replace_persons(document, people, share=0.5, seed=3) == replace_persons(document, people, share=0.5, seed=3)


def test_a_name_that_melts_with_the_preposition_before_it_is_not_drawn() -> None:
    document = from_markup("# id: t\nS1| سُلمت الرسالة ل[1:PER سالم بن رجب] أمس.\n", id="t")
    people = [Person("الباجي قائد السبسي", "السبسي", False), Person("خليفة حفتر", "حفتر", False)]
    assert {replace_persons(document, people, share=1.0, seed=s).text for s in range(9)} == {"سُلمت الرسالة لخليفة حفتر أمس."}
    assert replace_persons(document, people[:1], share=1.0, seed=1) == document


def test_the_corpus_stays_sound(tmp_path: Path) -> None:
    people = read_persons()
    documents = sound_documents(Path(__file__).parents[1] / "data" / "corpus" / "dev")
    changed = [replace_persons(document, people, share=1.0, seed=1) for document in documents]
    assert [problem for document in changed for problem in document.validate()] == []
    for old, new in zip(documents, changed, strict=True):
        others = [(old.surface(m), new.surface(new.mention(m.id))) for m in old.mentions if m.type != "PER"]
        assert all(a == b for a, b in others)
        assert len(new.mentions) == len(old.mentions)


def test_the_list_names_each_person_once_and_bad_lines_are_named(tmp_path: Path) -> None:
    people = read_persons()
    assert len({p.full for p in people}) == len(people) >= 400
    assert sum(p.feminine for p in people) >= 40
    assert PERSONS.name == "persons.txt"
    bad = tmp_path / "names.txt"
    bad.write_text("باراك أوباما\tأوباما\tm\nأنجيلا ميركل\tميركل\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"names.txt, line 2: .* must be a full name"):
        read_persons(bad)
