"""brat, Label Studio, doccano and CoNLL-2003, in and out, and the command line of data.formats."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.formats import FORMATS, FormatError, Problem, from_markup, read_documents, to_json, write_documents
from data.formats.__main__ import main
from data.formats.brat import from_brat, to_brat
from data.formats.conll import from_conll, split_documents, to_conll
from data.formats.doccano import from_doccano, to_doccano
from data.formats.label_studio import from_task, to_task
from data.schema import Document, Mention, Sentence

MARKUP = """# id: a1
# date: 2016-02-03
# style: وكالة
S1| نفى [1:ROLE متحدث] باسم [2:ARM الجيش] أن تكون [3:ARM قواته] قصفت 😀 [4:LOC بلدة الوادي] ب[5:WPN صواريخ] [6:DATE أمس].
MEMBER_OF 1>2
MEMBER_OF 3>2
ATTACK 3>4 ~negated on=6 with=5 src=1
S2| واتهم [7:ARM المسلحين] و[8:GPE تركيا].
ACCUSE 1>7
ACCUSE 1>8
"""
WHOLE = from_markup(MARKUP)


def without(document: Document, *parts: str) -> Document:
    """The document without header, arguments or factuality."""
    if "header" in parts:
        document = replace(document, date=None, fields={})
    if "arguments" in parts:
        document = replace(document, relations=tuple(replace(r, arguments={}) for r in document.relations))
    return document


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs ``python -m data.formats`` in this process: exit status and standard error."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["formats", *map(str, arguments)])
        monkeypatch.setattr("logging.root.handlers", [])
        code = main()
        return code, capsys.readouterr().err

    return run


# One format after the other ------------------------------------------------------------------------------------------


def test_brat_holds_spans_relations_factuality_and_arguments() -> None:
    document = without(WHOLE, "header")
    standoff = to_brat(document)
    assert from_brat(WHOLE.text, standoff, id="a1") == document
    lines = standoff.splitlines()
    assert lines[0] == "T1\tROLE 4 9\tمتحدث"
    assert "R3\tATTACK Arg1:T3 Arg2:T4\t" in lines
    assert "#1\tAnnotatorNotes R3\t~negated on=T6 with=T5 src=T1" in lines


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("T1\tLOC 0 3\tعدن", "is not the text"),
        ("T1\tLOC 0 2;3 4\tعدن", "not understood"),
        ("E1\tATTACK:T1 Arg:T2", "not understood"),
        ("#1\tAnnotatorNotes R7\t~planned", "not there"),
        ("R1\tATTACK Arg1:T5 Arg2:T5\t\nR1\tKILL Arg1:T5 Arg2:T5\t", "occurs twice"),
    ],
)
def test_brat_lines_that_cannot_be_read_are_named(line: str, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        from_brat("حلب", "T5\tLOC 0 3\tحلب\n" + line)
    assert caught.value.line == 2 + line.count("\n")


def test_a_note_of_an_annotator_that_is_no_argument_is_an_error_with_its_line() -> None:
    standoff = "T1\tARM 0 4\tجيشا\nT2\tLOC 5 8\tحلب\nR1\tATTACK Arg1:T1 Arg2:T2\t\n#1\tAnnotatorNotes R1\tsure?"
    with pytest.raises(FormatError, match="sure") as caught:
        from_brat("جيشا حلب", standoff)
    assert caught.value.line == 4


def test_label_studio_holds_all_but_arguments() -> None:
    task = to_task(WHOLE)
    assert from_task(json.loads(json.dumps(task))) == without(WHOLE, "arguments")
    relation = next(r for r in task["annotations"][0]["result"] if r.get("labels") == ["ATTACK", "negated"])
    assert (relation["from_id"], relation["to_id"], relation["direction"]) == ("e3", "e4", "right")
    assert task["data"]["document_id"] == "a1"


def test_label_studio_gives_predictions_as_predictions() -> None:
    predicted = Document("p", "في حلب", (Sentence(0, 6),), (Mention(1, "LOC", 3, 6, None, 0.5),))
    task = to_task(predicted)
    assert "annotations" not in task
    assert task["predictions"][0]["result"][0]["score"] == 0.5
    assert from_task(task) == predicted


def test_label_studio_regions_of_its_own_and_reversed_arrows_are_read() -> None:
    results: list[dict[str, Any]] = [
        {"id": "Zx9", "type": "labels", "value": {"start": 0, "end": 3, "text": "جيش", "labels": ["ARM"]}},
        {"id": "e4", "type": "labels", "value": {"start": 4, "end": 7, "labels": ["LOC"]}},
        {"type": "relation", "from_id": "e4", "to_id": "Zx9", "direction": "left", "labels": ["CONTROL"]},
    ]
    cancelled = {"was_cancelled": True, "result": []}
    document = from_task({"id": 7, "data": {"text": "جيش حلب"}, "annotations": [cancelled, {"result": results}]})
    assert document.id == "7"
    assert [(m.id, m.type, document.surface(m)) for m in document.mentions] == [(5, "ARM", "جيش"), (4, "LOC", "حلب")]
    assert [(r.type, r.head, r.tail) for r in document.relations] == [("CONTROL", 5, 4)]


@pytest.mark.parametrize(
    "task",
    [
        [],
        {"data": {"image": "a.png"}},
        {"data": {"text": "حلب"}, "annotations": [12]},
        {"data": {"text": "حلب"}, "annotations": [{"result": []}, {"result": []}]},
        {"data": {"text": "حلب"}, "annotations": [{"result": [{"type": "choices", "value": {}}]}]},
        {"data": {"text": "حلب"}, "annotations": [{"result": [{"id": "a", "type": "labels", "value": {"start": 0}}]}]},
        {"data": {"text": "حلب"}, "annotations": [{"result": [{"type": "relation", "from_id": "a", "to_id": "b"}]}]},
    ],
)
def test_label_studio_tasks_of_another_kind_are_errors(task: Any) -> None:
    with pytest.raises(FormatError):
        from_task(task)


def test_doccano_counts_like_javascript_and_holds_factuality_in_the_type() -> None:
    line = to_doccano(WHOLE)
    place = next(e for e in line["entities"] if e["id"] == 4)
    mention = WHOLE.mention(4)
    assert (place["start_offset"], place["end_offset"]) == (mention.start + 1, mention.end + 1)  # an emoji stands before it
    assert [r["type"] for r in line["relations"]].count("ATTACK~negated") == 1
    # doccano gives documents, entities and relations numbers of its own
    exported = {**json.loads(json.dumps(line)), "id": 812, "Comments": []}
    assert from_doccano(exported) == without(WHOLE, "arguments")


def test_doccanos_plain_sequence_labelling_is_read() -> None:
    document = from_doccano({"id": 3, "text": "قصف حلب أمس", "label": [[4, 7, "LOC"], [8, 11, "DATE"]]})
    assert [(m.type, document.surface(m)) for m in document.mentions] == [("LOC", "حلب"), ("DATE", "أمس")]
    assert document.id == "3"


@pytest.mark.parametrize(
    "record",
    [
        {"text": "حلب", "entities": [{"id": 1, "label": "LOC", "start_offset": 0}]},
        {"text": "😀", "label": [[0, 1, "LOC"]]},
        {"text": "حلب", "label": [[0, 9, "LOC"]]},
        {"text": "حلب", "label": [["LOC"]]},
        {"data": 1},
    ],
)
def test_doccano_lines_of_another_kind_are_errors(record: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        from_doccano(record)


def test_conll_holds_entities_and_cuts_tokens_at_them() -> None:
    columns = to_conll(WHOLE)
    rows = [line.split() for line in columns.splitlines()]
    assert rows[0] == ["-DOCSTART-", "-X-", "-X-", "O"]
    assert ["ب", "-X-", "-X-", "O"] in rows
    assert ["صواريخ", "-X-", "-X-", "B-WPN"] in rows
    assert ["الوادي", "-X-", "-X-", "I-LOC"] in rows
    ((line, lines),) = split_documents(columns)
    back = from_conll(lines, id="x")
    assert line == 1
    assert [(m.type, back.surface(m)) for m in back.mentions] == [(m.type, WHOLE.surface(m)) for m in WHOLE.mentions]
    assert len(back.sentences) == 2


def test_conll_reads_other_columns_and_tag_schemes() -> None:
    columns = "قال\tO\nماهر\tI-PER\nالسعد\tI-PER\n\nفي O\nحلب S-LOC\nعدن S-LOC\nدير B-LOC\nالزور E-LOC\nهنا I-LOC\n"
    document = from_conll(columns.split("\n"), id="f")
    assert document.text == "قال ماهر السعد\nفي حلب عدن دير الزور هنا"
    assert [(m.type, document.surface(m)) for m in document.mentions] == [
        ("PER", "ماهر السعد"), ("LOC", "حلب"), ("LOC", "عدن"), ("LOC", "دير الزور"), ("LOC", "هنا"),
    ]  # fmt: skip
    assert document.validate() == []


def test_conll_iob1_starts_a_mention_beside_another_with_b() -> None:
    document = from_conll(["حلب I-LOC", "عدن B-LOC", "تعز I-PER"])
    assert [(m.type, document.surface(m)) for m in document.mentions] == [("LOC", "حلب"), ("LOC", "عدن"), ("PER", "تعز")]


@pytest.mark.parametrize(("columns", "line"), [("حلب LOC\n", 1), ("حلب O\n\nعدن\n", 3), ("حلب B-\n", 1)])
def test_conll_lines_that_cannot_be_read_are_named(columns: str, line: int) -> None:
    with pytest.raises(FormatError) as caught:
        from_conll(columns.split("\n"))
    assert caught.value.line == line


# Files and the command line -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_survives_its_files_with_what_it_can_hold(name: str, tmp_path: Path) -> None:
    form = FORMATS[name]
    target = tmp_path / ("folder" if form.folder else f"file{form.suffix}")
    left_out, losses = write_documents([WHOLE], target, format=name, lossy=True)
    assert left_out == []
    (back,) = read_documents(target, format=name)
    assert isinstance(back, Document)
    assert bool(losses) == (back != WHOLE)
    if name != "conll":
        assert (back.text, back.mentions, back.sentences) == (WHOLE.text, WHOLE.mentions, WHOLE.sentences)
        assert [replace(r, arguments={}) for r in back.relations] == [replace(r, arguments={}) for r in WHOLE.relations]
    again = tmp_path / ("again" if form.folder else f"again{form.suffix}")
    left_out, losses = write_documents([back], again, format=name)
    assert losses == []
    assert (left_out == []) == (name != "conll")


@pytest.mark.parametrize("name", ["brat", "label-studio", "doccano", "conll"])
def test_what_a_format_cannot_hold_is_said_and_nothing_is_written_without_leave(name: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    (problem,), _ = write_documents([WHOLE], target, format=name)
    assert problem.id == "a1"
    lost = {"brat": "2 header fields", "label-studio": "3 arguments", "doccano": "3 arguments", "conll": "5 relations"}
    assert lost[name] in str(problem)
    assert "--lossy" in str(problem)
    assert not target.exists()


def test_sentences_that_are_no_lines_are_a_loss_where_a_format_takes_lines_for_sentences(tmp_path: Path) -> None:
    document = Document("a", "قال. ذهب.", (Sentence(0, 4), Sentence(5, 9)))
    (problem,), _ = write_documents([document], tmp_path / "out", format="brat")
    assert "2 sentence boundaries" in str(problem)


def test_convert_guesses_formats_and_reports_bad_input_by_file_line_and_id(
    tmp_path: Path, command: Callable[..., tuple[int, str]]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a1.txt").write_text(MARKUP, encoding="utf-8")
    (folder / "b.txt").write_text("# id: b\nS1| [1:LOC حلب]\nATTACK 1-2\n", encoding="utf-8")
    (folder / "c.txt").write_text("# id: c\nS1| [1:LOC حلب] و[2:DATE أمس]\nATTACK 1>2\n", encoding="utf-8")
    code, said = command("convert", folder, tmp_path / "out.jsonl")
    assert code == 1
    assert f"{folder / 'b.txt'}:3: " in said
    assert f"{folder / 'c.txt'}:3: [c] relation ATTACK 1>2: ATTACK cannot link LOC to DATE" in said
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert records == [to_json(WHOLE)]
    code, said = command("validate", folder)
    assert (code, said.splitlines()[-1]) == (1, "1 sound documents, 2 problems")
    code, _ = command("convert", tmp_path / "out.jsonl", tmp_path / "back")
    assert code == 0
    assert (tmp_path / "back" / "a1.txt").read_text(encoding="utf-8") == MARKUP


def test_convert_needs_leave_to_lose_something(tmp_path: Path, command: Callable[..., tuple[int, str]]) -> None:
    (tmp_path / "a1.txt").write_text(MARKUP, encoding="utf-8")
    code, said = command("convert", tmp_path / "a1.txt", tmp_path / "brat", "--to", "brat")
    assert code == 1
    assert "[a1] brat cannot hold 2 header fields" in said
    code, said = command("convert", tmp_path / "a1.txt", tmp_path / "brat", "--to", "brat", "--lossy")
    assert code == 0
    assert "the rest was written" in said
    (document,) = read_documents(tmp_path / "brat")
    assert document == without(WHOLE, "header")
    assert "[relations]" in (tmp_path / "brat" / "annotation.conf").read_text(encoding="utf-8")


def test_nothing_is_overwritten(tmp_path: Path, command: Callable[..., tuple[int, str]]) -> None:
    (tmp_path / "a1.txt").write_text(MARKUP, encoding="utf-8")
    (tmp_path / "out.jsonl").write_text("mine", encoding="utf-8")
    code, said = command("convert", tmp_path / "a1.txt", tmp_path / "out.jsonl")
    assert code == 1
    assert "exists already" in said
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("arguments", [("validate", "nowhere"), ("convert", "a1.txt", "out.xyz")])
def test_paths_that_say_nothing_are_clear_errors(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a1.txt").write_text(MARKUP, encoding="utf-8")
    code, said = command(*arguments)
    assert code == 1
    assert arguments[-1] in said


@pytest.mark.parametrize("id", ["../b", "/b", "", "a\0b", "ب" * 200, "a1.txt", "a1//"])
def test_an_id_that_is_no_file_of_its_own_leaves_its_document_out_and_no_other(id: str, tmp_path: Path) -> None:
    other = replace(WHOLE, id="c")
    left_out, _ = write_documents([WHOLE, replace(WHOLE, id=id), other], tmp_path / "out", format="markup")
    assert [problem.id for problem in left_out] == [id]
    assert "another id" in str(left_out[0]) or "give it another" in str(left_out[0])
    assert sorted(path.name for path in tmp_path.rglob("*.txt")) == ["a1.txt", "c.txt"]


def test_documents_without_sentences_take_their_lines_where_a_format_needs_them(tmp_path: Path) -> None:
    plain = from_doccano({"id": 1, "text": "قصف حلب\nأمس", "label": [[4, 7, "LOC"]]})
    broken = from_doccano({"id": 2, "text": "قصف حلب\nأمس", "label": [[4, 11, "LOC"]]})
    for name in ("markup", "brat", "conll"):
        left_out, _ = write_documents([plain, broken], tmp_path / name, format=name, lossy=True)
        assert [problem.id for problem in left_out] == ["2"]
        assert "does not lie within one sentence" in str(left_out[0])
        (back,) = read_documents(tmp_path / name, format=name)
        assert isinstance(back, Document)
        assert [back.surface(m) for m in back.mentions] == ["حلب"]


def test_a_bad_conll_document_leaves_the_others(tmp_path: Path) -> None:
    rows = "-DOCSTART- -X- O\n\nحلب B-LOC\n\n-DOCSTART- -X- O\n\nعدن\n\n-DOCSTART- -X- O\n\nتعز B-LOC\n"
    (tmp_path / "a.conll").write_text(rows, encoding="utf-8")
    found = list(read_documents(tmp_path / "a.conll"))
    assert [d.id for d in found if isinstance(d, Document)] == ["a.conll:1", "a.conll:9"]
    (problem,) = [p for p in found if isinstance(p, Problem)]
    assert (problem.line, problem.id) == (7, "a.conll:5")


def test_files_that_stand_beside_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.xml").write_text("mine")
    with pytest.raises(FileExistsError, match=r"out\.xml"):
        write_documents([WHOLE], tmp_path / "out.json", lossy=True)
    assert (tmp_path / "out.xml").read_text() == "mine"


@pytest.mark.parametrize(("name", "field"), [("doccano", "Comments"), ("doccano", "document_id"), ("label-studio", "id")])
def test_header_fields_that_a_tool_needs_are_not_lost_silently(name: str, field: str, tmp_path: Path) -> None:
    document = replace(WHOLE, fields={field: "x"})
    (problem,), _ = write_documents([document], tmp_path / "out", format=name, lossy=True)
    assert repr(field) in str(problem)


def test_doccanos_plain_labels_are_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "قصف حلب", "label": [[4, 7, "LOC"]]}\n', encoding="utf-8")
    (problem,) = read_documents(tmp_path / "a.jsonl")
    assert "--from doccano" in str(problem)
    (document,) = read_documents(tmp_path / "a.jsonl", format="doccano")
    assert isinstance(document, Document)
    assert [m.type for m in document.mentions] == ["LOC"]


def test_violations_of_the_schema_have_their_line_in_brat_too(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("حلب أمس", encoding="utf-8")
    (tmp_path / "a.ann").write_text("T1\tLOC 0 3\tحلب\nT2\tWHEN 4 7\tأمس\nR1\tATTACK Arg1:T1 Arg2:T2\t\n", encoding="utf-8")
    found = [str(problem) for problem in read_documents(tmp_path)]
    assert found[0].startswith(f"{tmp_path / 'a.ann'}:2: [a] entity 2: unknown type 'WHEN'")
    assert found[1].startswith(f"{tmp_path / 'a.ann'}:3: [a] relation ATTACK 1>2: ")


def test_the_text_of_a_brat_document_may_be_named(tmp_path: Path) -> None:
    write_documents([WHOLE], tmp_path / "brat", format="brat", lossy=True)
    (document,) = read_documents(tmp_path / "brat" / "a1.txt")
    assert document == without(WHOLE, "header")


def test_broken_json_and_missing_texts_are_problems_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[{]", encoding="utf-8")
    (tmp_path / "b.ann").write_text("", encoding="utf-8")
    (tmp_path / "c.json").write_text('[{"data": {}}, {"data": {"text": "حلب"}}]', encoding="utf-8")
    found = list(read_documents(tmp_path))
    problems = [str(p) for p in found if isinstance(p, Problem)]
    assert [d.id for d in found if isinstance(d, Document)] == ["c.json:2"]
    assert "a.json:1: broken JSON" in problems[0]
    assert "there is no b.txt" in problems[1]
    assert "task 1" in problems[2]
