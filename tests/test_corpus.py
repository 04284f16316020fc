"""The whole corpus: sound, of the promised size, consistent, in the manner of real news, and its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from data import agreement, consistency, overlap
from data.formats import Problem, read_documents
from data.schema import Document
from data.statistics import REAL_MANNER, Statistics, manner_table, size_table, statistics

DATA = Path(__file__).parent.parent / "data"
CORPUS = DATA / "corpus"
ANNOTATIONS = DATA / "annotations"
SPLITS = ("train", "dev", "test")
SHARED = DATA.parent.parent / "shared"


def read(folder: Path) -> list[Document]:
    found = list(read_documents(folder))
    assert [str(d) for d in found if isinstance(d, Problem)] == []
    return [d for d in found if isinstance(d, Document)]


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Document]]:
    return {split: read(CORPUS / split) for split in SPLITS}


@pytest.fixture(scope="module")
def documents(splits: dict[str, list[Document]]) -> list[Document]:
    return [document for split in splits.values() for document in split]


@pytest.fixture(scope="module")
def counts(documents: list[Document]) -> Statistics:
    return statistics(documents)


def test_every_document_says_its_date_manner_and_brief(documents: list[Document]) -> None:
    for document in documents:
        assert all((document.date, document.fields.get("style"), document.fields.get("brief"))), document.id
        assert document.sentences
        assert [document.text[s.start : s.end] for s in document.sentences] == document.text.split("\n")


def test_the_corpus_has_its_size(counts: Statistics) -> None:
    assert counts.documents >= 1000
    assert counts.sentences >= 8000
    assert counts.entities.total() >= 36_000
    assert counts.relations.total() >= 16_000
    assert min(counts.relations.values()) >= 350, counts.relations
    assert min(counts.factuality[value] for value in ("negated", "planned", "alleged")) >= 700, counts.factuality
    assert counts.across >= 1500
    assert counts.picked_up >= counts.across / 3
    assert counts.arguments.total() >= 5000
    assert counts.quiet_documents >= counts.documents / 10


def test_the_splits_are_eighty_ten_ten_and_share_no_id(splits: dict[str, list[Document]], documents: list[Document]) -> None:
    assert len({document.id for document in documents}) == len(documents)
    assert 0.75 <= len(splits["train"]) / len(documents) <= 0.85
    for split in ("dev", "test"):
        assert 0.08 <= len(splits[split]) / len(documents) <= 0.12


def test_dev_and_test_have_years_and_outlets_that_train_has_not(splits: dict[str, list[Document]]) -> None:
    def values(split: str, key: str) -> set[str]:
        return {(d.date or "")[:4] if key == "year" else d.fields["style"] for d in splits[split]}

    assert "2005" in values("dev", "year") - values("train", "year")
    assert "2003" in values("test", "year") - values("train", "year")
    for split in ("dev", "test"):
        assert len(values(split, "style") - values("train", "style")) >= 2


def test_nothing_unreviewed_repeats_conflicts_or_stays_unlabelled(documents: list[Document]) -> None:
    reviewed = consistency.read_reviewed(CORPUS / consistency.REVIEWED)
    assert not {check for check, _ in reviewed} & {"sentence", "near"}  # these have no excuse
    new, stale = consistency.unreviewed(consistency.findings(documents), reviewed)
    assert [str(finding) for finding in new] == []
    assert stale == []


def test_the_manner_is_that_of_real_news(counts: Statistics) -> None:
    manner = counts.manner()
    for name, tolerance in (
        ("words a sentence", 3.0),
        ("sentences without a relation", 0.04),
        ("relations across sentences", 0.03),
        ("relations not asserted", 0.04),
    ):
        assert manner[name] == pytest.approx(REAL_MANNER[name], abs=tolerance), name


def test_the_datasheet_shows_the_corpus_as_it_is(splits: dict[str, list[Document]], counts: Statistics) -> None:
    datasheet = (DATA / "README.md").read_text(encoding="utf-8")
    assert "fictional" in datasheet.split("\n")[2]
    columns = {**{name: statistics(documents) for name, documents in splits.items()}, "all": counts}
    for table in (size_table(columns), manner_table(columns)):
        assert table in datasheet


def test_second_annotations_are_of_the_corpus_and_their_agreement_is_published(splits: dict[str, list[Document]]) -> None:
    columns = {}
    for split, documents in splits.items():
        first, second = (read(ANNOTATIONS / which / split) for which in ("first", "second"))
        known = {document.id for document in documents}
        assert {d.id for d in second} <= known
        assert len(second) >= (len(known) / 10 if split == "train" else len(known))
        columns[split] = agreement.agreement(first, second)
    assert agreement.agreement_table(columns) in (DATA / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not (SHARED / "news").is_dir(), reason="the news is not part of the project")
def test_no_ten_words_are_taken_from_real_news(documents: list[Document]) -> None:
    found = overlap.overlaps(documents, overlap.read_sources([str(SHARED / "news"), str(SHARED / "real_dev")]))
    assert [f"{o.document} {o.source}: {o.words}" for o in found] == []
