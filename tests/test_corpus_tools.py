"""Statistics, consistency, overlap and agreement of annotated documents, and the corpus as a hub dataset."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from data import agreement, consistency, overlap, statistics
from data.corpus_hub import check_loads, stage_corpus
from data.formats import from_markup, read_documents
from data.schema import Document
from data.scoring import FACTUAL, REL_PLUS

TEXT = """# id: {id}
# date: 2016-01-01
# style: agency
# brief: a test
S1| هاجم [1:ARM مسلحو الجبهة] [2:LOC قرية الصفا] صباح [3:DATE الجمعة].
ATTACK 1>2 on=3
S2| وقتل [4:ARM المسلحون] في الهجوم [5:NUM ثلاثة] [6:GRP مزارعين].
KILL 4>6 at=2
KILL 1>6 ~alleged
S3| ولم يصدر تعليق على ما جرى حتى مساء اليوم نفسه من أي جهة.
"""


def document(id: str = "a", **changes: str) -> Document:
    markup = TEXT.format(id=id)
    for old, new in changes.items():
        assert old in markup
        markup = markup.replace(old, new)
    return from_markup(markup)


# Statistics


def test_statistics_count_documents_sentences_words_and_labels() -> None:
    found = statistics.statistics([document(), document("b")])
    assert (found.documents, found.sentences, found.words, found.silent) == (2, 6, 2 * (7 + 6 + 13), 2)
    assert found.relations == {"ATTACK": 2, "KILL": 4}
    assert found.factuality == {"asserted": 4, "alleged": 2}
    assert found.arguments == {"on": 2, "at": 2}
    assert (found.across, found.quiet_documents) == (2, 0)
    quiet = from_markup("S1| [1:ROLE مدير] [2:ORG النادي] في [3:LOC حلب].\nMEMBER_OF 1>2\nLOCATED_IN 2>3\n")
    assert statistics.statistics([quiet]).quiet_documents == 1
    assert found.manner()["relations across sentences"] == pytest.approx(1 / 3)
    assert found.manner()["relations not asserted"] == pytest.approx(1 / 3)
    assert found.manner()["sentences without a relation"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("later", "nominal"),
    [("ARM المسلحون", True), ("ROLE متحدث", True), ("ARM رجالها", True), ("GRP مزارعين", False), ("PER الزيدان", False)],
)
def test_a_nominal_pick_up_is_a_role_a_definite_or_a_possessed_noun(later: str, nominal: bool) -> None:
    markup = f"S1| دخلت [1:ARM الجبهة] البلدة.\nS2| ثم هاجم [2:{later}] المكان.\nMEMBER_OF 2>1\n"
    if later.startswith("PER"):
        markup = markup.replace("MEMBER_OF 2>1", "DETAIN 1>2")
    found = from_markup(markup)
    assert statistics.picks_up(found, found.relations[0]) is nominal


def test_the_statistics_of_a_folder_are_printed(gold_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert statistics.main([str(gold_folder)]) == 0
    printed = capsys.readouterr().out
    found = statistics.statistics([d for d in read_documents(gold_folder) if isinstance(d, Document)])
    assert f"| {gold_folder.name} | {found.documents} |" in printed
    assert "| words a sentence |" in printed
    assert f"| LOC | {found.entities['LOC']} |" in printed


# Consistency


def keys(check: Callable[..., object], *documents: Document) -> list[str]:
    return [finding.key for finding in check(list(documents))]  # type: ignore[attr-defined]


def test_sentences_of_eight_words_that_occur_twice_are_found_whatever_their_spelling() -> None:
    other = document("b", **{"ولم يصدر تعليق على": "ولم  يصدرْ تعليق علي"})
    (finding,) = [f for f in consistency.repeated_sentences([document(), other]) if "تعليق" in f.key]
    assert finding.places == ("a:S3", "b:S3")
    short = [from_markup(f"# id: {i}\nS1| قال إنه لا يعلم شيئا عن ذلك.\n") for i in "ab"]
    assert keys(consistency.repeated_sentences, *short) == []


def test_near_documents_are_found() -> None:
    far = from_markup("# id: c\nS1| فاز النادي بكأس البلاد بعد مباراة طويلة شهدت ثلاثة أهداف في شوطها الثاني.\n")
    near = document("b", **{"قرية الصفا": "قرية المروة"})
    assert keys(consistency.near_documents, document(), near, far) == ["a b"]
    assert keys(consistency.near_documents, document(), far) == []


def test_a_string_with_two_types_is_found_with_its_places() -> None:
    other = document("b", **{"ARM المسلحون": "GRP المسلّحون"})
    (finding,) = consistency.types([document(), document("c"), other])
    assert finding.key == "المسلحون: ARM GRP"
    assert finding.places == ("GRP 1: b:4", "ARM 2: a:4 c:4")
    assert keys(consistency.types, document(), document("c")) == []


@pytest.mark.parametrize("verb", ["قصف", "وقصفت", "تقصف", "فقصفوا"])
def test_a_cue_without_its_relation_is_found_and_one_with_it_is_not(verb: str) -> None:
    silent = from_markup(f"# id: a\nS1| {verb} [1:ARM القوات] [2:LOC حلب].\nLOCATED_IN 1>2\n")
    assert keys(consistency.silent_cues, silent) == ["a:S1 ATTACK قصف"]
    said = from_markup(f"# id: a\nS1| {verb} [1:ARM القوات] [2:LOC حلب].\nATTACK 1>2\n")
    assert keys(consistency.silent_cues, said) == []


def test_a_relation_across_sentences_answers_a_cue_in_either() -> None:
    across = from_markup("# id: a\nS1| دخلت [1:ARM الفرقة] البلدة.\nS2| ثم اعتقلت [2:GRP شبانا].\nDETAIN 1>2\n")
    assert keys(consistency.silent_cues, across) == []


def test_names_in_more_than_three_documents_are_found() -> None:
    four = [document(i) for i in "abcd"]
    assert keys(consistency.names, *four) == ["LOC قريه الصفا"]
    assert keys(consistency.names, *four[:3]) == []


def test_reviewed_findings_pass_new_and_stale_ones_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    silent = "# id: a\nS1| قصف [1:ARM لاعبو الفريق] مرمى [2:LOC حلب].\n"
    (tmp_path / "a.txt").write_text(silent, encoding="utf-8")
    reviewed = tmp_path / consistency.REVIEWED
    reviewed.write_text("", encoding="utf-8")
    assert consistency.main(str(tmp_path)) == 1
    assert "cue\ta:S1 ATTACK قصف" in capsys.readouterr().out
    reviewed.write_text("cue\ta:S1 ATTACK قصف\tfootball\n", encoding="utf-8")
    assert consistency.main(str(tmp_path)) == 0
    reviewed.write_text("cue\ta:S1 ATTACK قصف\tfootball\ncue\ta:S9 KILL قتل\tgone\n", encoding="utf-8")
    assert consistency.main(str(tmp_path)) == 1
    assert "stale\tcue\ta:S9 KILL قتل" in capsys.readouterr().out


@pytest.mark.parametrize("line", ["cue\ta:S1", "cue\ta:S1\t", "cue\ta\tb\ncue\ta\tc"])
def test_a_reviewed_list_that_is_not_in_order_is_an_error(tmp_path: Path, line: str) -> None:
    (tmp_path / "reviewed.tsv").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"reviewed\.tsv:\d"):
        consistency.read_reviewed(tmp_path / "reviewed.tsv")


# Overlap


def test_ten_words_in_common_are_found_whatever_their_spelling_and_punctuation(tmp_path: Path) -> None:
    copied = "ولم يصدر، تعليقٌ على ما جري حتى مساء اليوم نفسه"
    with lzma.open(tmp_path / "news.jsonl.xz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"id": 1, "title": None, "text": f"قيل {copied} هنا."}) + "\n")
        file.write(json.dumps({"id": 2, "title": "عنوان", "text": "خبر آخر لا شأن له بما مضى من الكلام في هذا الباب"}) + "\n")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "r.txt").write_text(f"# id: r\nS1| {copied}.\n", encoding="utf-8")
    found = list(overlap.overlaps([document()], overlap.read_sources([str(tmp_path)])))
    assert {(o.document, o.source) for o in found} == {("a", "news.jsonl.xz:1"), ("a", "r")}
    assert not list(overlap.overlaps([document()], [("s", "ولم يصدر تعليق على ما جرى حتى مساء اليوم")]))


def test_sources_that_cannot_be_read_and_no_sources_are_errors(tmp_path: Path, gold_folder: Path) -> None:
    (tmp_path / "r.txt").write_text("# id: r\nS1| [1:LOC حلب\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"r\.txt"):
        overlap.main(str(gold_folder), [str(tmp_path)])
    with pytest.raises(ValueError, match="nothing to compare"):
        overlap.main(str(gold_folder), [])


# Agreement


def test_agreement_counts_what_both_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = document("b", **{"KILL 1>6 ~alleged\n": "", "ATTACK 1>2": "ATTACK 1>2 ~planned"})
    scores = agreement.agreement([document("b")], [other])
    assert scores.total(REL_PLUS).f1 == pytest.approx(2 * 2 / (3 + 2))
    assert scores.total(FACTUAL).f1 == pytest.approx(2 * 1 / (3 + 2))
    assert scores.factuality_accuracy == 0.5
    with pytest.raises(ValueError, match="only one of the two has a"):
        agreement.agreement([document(), document("b")], [other])
    for name, text in (("first", TEXT.format(id="a")), ("second", TEXT.format(id="a").replace("KILL 1>6 ~alleged\n", ""))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(text, encoding="utf-8")
    assert agreement.main(str(tmp_path / "first"), str(tmp_path / "second")) == 0
    assert "| Rel+ | 0.800 " in capsys.readouterr().out


def test_annotations_of_different_texts_are_no_agreement() -> None:
    with pytest.raises(ValueError, match="different texts"):
        agreement.agreement([document()], [document("a", **{"صباح": "مساء"})])


# The corpus on the hub


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder like ``data``, with three documents."""
    folder = tmp_path / "data"
    for i, split in enumerate(("train", "dev", "test")):
        (folder / "corpus" / split).mkdir(parents=True)
        (folder / "corpus" / split / "x.txt").write_text(TEXT.format(id=f"d{i}"), encoding="utf-8")
    (folder / "corpus" / "LICENSE").write_text("CC BY 4.0")
    for name in ("README.md", "GUIDELINES.md", "learning_curve.svg"):
        (folder / name).write_text(f"# {name}\n")
    return folder


def test_the_staged_corpus_has_a_hub_header_and_loads(source: Path, tmp_path: Path) -> None:
    names = stage_corpus(tmp_path / "stage", repo_id="me/corpus", source=source)
    assert names == sorted(
        ["README.md", "GUIDELINES.md", "LICENSE", "learning_curve.svg", "train.jsonl", "validation.jsonl", "test.jsonl"]
    )
    _, header, body = (tmp_path / "stage" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(header)["configs"][0]["data_files"] == [
        {"split": split, "path": f"{split}.jsonl"} for split in ("train", "validation", "test")
    ]
    assert 'load_dataset("me/corpus")' in body
    assert "# README.md" in body


def test_a_record_that_comes_back_changed_is_an_error(source: Path, tmp_path: Path) -> None:
    stage_corpus(tmp_path / "stage", repo_id="me/corpus", source=source)
    wrong = replace(document("d0"), fields={"style": "daily", "brief": "a test"})
    with pytest.raises(ValueError, match="d0 comes back changed"):
        check_loads(tmp_path / "stage", {"train": [wrong]})


def test_an_unsound_document_stops_the_staging(source: Path, tmp_path: Path) -> None:
    (source / "corpus" / "dev" / "y.txt").write_text("# id: y\nS1| [1:LOC حلب]\nATTACK 1>1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"y\.txt"):
        stage_corpus(tmp_path / "stage", repo_id="me/corpus", source=source)
