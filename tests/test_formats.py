"""Markup and JSONL: both ways without loss, and refusals that say what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ARABIC, MARKUP
from hypothesis import given
from hypothesis import strategies as st

from data.formats import (
    FormatError,
    Problem,
    from_json,
    from_markup,
    parse_line,
    read_documents,
    to_json,
    to_markup,
    write_documents,
)
from data.schema import (
    ARGUMENTS,
    ENTITY_TYPES,
    FACTUALITY,
    NO_PLACE,
    RELATION_TYPES,
    SCHEMA_VERSION,
    Document,
    Mention,
    Relation,
    Sentence,
)

LINE = st.text(
    st.sampled_from(ARABIC + '   .،:#>~=|0٣"«»aS1\u064b\u0651ـ\u200f\u200c😀\u2028\x85\t\x0b'), min_size=1, max_size=40
).filter(lambda line: bool(line.strip()))
PLAIN = st.text(st.sampled_from(ARABIC + " ab:#"), max_size=12).map(str.strip)


@st.composite
def sound_documents(draw: st.DrawFn) -> Document:
    """Documents that the schema allows and whose sentences are lines."""
    lines = draw(st.lists(LINE, max_size=5))
    text = "\n".join(lines)
    sentences, mentions = [], []
    offset = 0
    numbers = draw(st.permutations(range(1, 41)))
    for line in lines:
        sentences.append(Sentence(offset, offset + len(line)))
        cuts = sorted(draw(st.lists(st.integers(0, len(line)), max_size=8)))
        for start, end in zip(cuts[::2], cuts[1::2], strict=False):
            surface = line[start:end]
            if surface and surface == surface.strip():
                kind = draw(st.sampled_from(ENTITY_TYPES))
                mentions.append(Mention(numbers[len(mentions)], kind, offset + start, offset + end))
        offset += len(line) + 1
    document = Document("x", text, tuple(sentences), tuple(mentions))

    def near(*others: Mention) -> list[Mention]:
        places = [document.sentence_of(m) for m in others]
        return [m for m in mentions if min(abs(document.sentence_of(m) - place) for place in places) <= 1]

    relations: dict[Any, Relation] = {}
    for _ in range(draw(st.integers(0, 5)) if mentions else 0):
        head = draw(st.sampled_from(mentions))
        tail = draw(st.sampled_from(near(head)))
        kinds = [k for k, (heads, tails) in RELATION_TYPES.items() if head.type in heads and tail.type in tails]
        if not kinds or head is tail:
            continue
        kind = draw(st.sampled_from(kinds))
        arguments = {}
        for name, types in ARGUMENTS.items():
            fillers = [m.id for m in near(head, tail) if m.type in types and not (name == "at" and kind in NO_PLACE)]
            if fillers and draw(st.booleans()):
                arguments[name] = draw(st.sampled_from(fillers))
        value = draw(st.sampled_from(FACTUALITY))
        relations[kind, head.id, tail.id, value] = Relation(kind, head.id, tail.id, value, arguments)
    keys = PLAIN.filter(lambda key: ":" not in key and key not in ("", "id", "date", "text"))
    return replace(
        document,
        id=draw(PLAIN.filter(bool)),
        relations=tuple(relations.values()),
        date=draw(st.none() | PLAIN),
        fields=draw(st.dictionaries(keys, PLAIN, max_size=3)),
    ).canonical()


# Round trips ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MARKUP)
def test_markup_is_read_and_written_identically(name: str) -> None:
    document = from_markup(MARKUP[name])
    assert document.validate() == []
    assert to_markup(document) == MARKUP[name]


@given(sound_documents())
def test_documents_survive_markup(document: Document) -> None:
    assert document.validate() == []
    markup = to_markup(document)
    assert from_markup(markup) == document
    assert to_markup(from_markup(markup)) == markup


@given(sound_documents())
def test_documents_survive_json_and_markup_after_it(document: Document) -> None:
    record = to_json(document)
    again = from_json(json.loads(json.dumps(record, ensure_ascii=False)))
    assert again == document
    assert to_json(again) == record
    assert to_markup(again) == to_markup(document)


@given(st.lists(sound_documents(), max_size=3))
def test_documents_survive_a_file(tmp_path_factory: pytest.TempPathFactory, documents: list[Document]) -> None:
    documents = [replace(document, id=f"{i}-{document.id}") for i, document in enumerate(documents)]
    path = tmp_path_factory.mktemp("files") / "a.jsonl"
    write_documents(documents, path)
    assert list(read_documents(path)) == documents


def test_windows_line_ends_are_read_as_line_ends() -> None:
    assert from_markup(MARKUP["t1"].replace("\n", "\r\n")) == from_markup(MARKUP["t1"])


def test_scores_and_names_of_predictions_survive_json() -> None:
    document = Document(
        "p", "حلب عدن", (Sentence(0, 7),), (Mention(1, "LOC", 0, 3, "حلب", 0.5), Mention(2, "LOC", 4, 7, "عدن", 1.0)),
        (Relation("LOCATED_IN", 1, 2, score=0.25),), None, {"model": "m"},
    )  # fmt: skip
    assert from_json(to_json(document)) == document


def test_json_has_doccanos_form() -> None:
    record = to_json(
        from_markup("# id: a\n# date: 2015-01-02\n# title: عنوان\nS1| زار [2:PER ماهر] [1:LOC حلب].\nADVANCE 2>1 at=1")
    )
    assert record == {
        "id": "a",
        "date": "2015-01-02",
        "text": "زار ماهر حلب.",
        "sentences": [[0, 13]],
        "entities": [
            {"id": 2, "label": "PER", "start_offset": 4, "end_offset": 8, "text": "ماهر"},
            {"id": 1, "label": "LOC", "start_offset": 9, "end_offset": 12, "text": "حلب"},
        ],
        "relations": [
            {
                "id": 1, "type": "ADVANCE", "from_id": 2, "to_id": 1, "factuality": "asserted",
                "at": 1, "on": None, "with": None, "src": None, "sentences": [0],
            }
        ],
        "schema": SCHEMA_VERSION,
        "title": "عنوان",
    }  # fmt: skip


def test_a_markup_header_never_replaces_what_the_document_holds() -> None:
    try:
        document = from_markup("# id: a\n# text: آخر\n# entities: 5\n# schema: 0\nS1| زار [1:PER ماهر] حلب.\n")
    except FormatError:
        return
    record = to_json(document)
    assert record["text"] == "زار ماهر حلب."
    assert len(record["entities"]) == 1
    assert record["schema"] == SCHEMA_VERSION


# Refusals of to_markup ------------------------------------------------------------------------------------------------


def of(text: str, *mentions: Mention, **settings: Any) -> Document:
    spans, offset = [], 0
    for line in text.split("\n"):
        spans.append(Sentence(offset, offset + len(line)))
        offset += len(line) + 1
    return Document("doc7", text, tuple(spans), mentions, **settings)


PLACES = (Mention(1, "LOC", 0, 3), Mention(2, "LOC", 4, 7))
SCORED = of("حلب عدن", *PLACES, relations=(Relation("LOCATED_IN", 1, 2, score=0.1),))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (of("وصل [أمس]"), "square brackets"),
        (of("وصل ]"), "square brackets"),
        (of("وصل\rأمس"), "carriage return"),
        (of("وصل\n\nأمس"), "blank line"),
        (of("وصل\n  \nأمس"), "blank line"),
        (of("وصل\n"), "blank line"),
        (of(" "), "blank line"),
        (Document("doc7", "وصل. غادر.", (Sentence(0, 4), Sentence(5, 10))), "lines"),
        (Document("doc7", "وصل"), "lines"),
        (of("حلب", Mention(1, "LOC", 0, 3, None, 0.5)), "scores"),
        (of("حلب", Mention(1, "LOC", 0, 3, "حلب")), "names"),
        (SCORED, "scores"),
        (of("حلب", fields={"n": 3}), "field 'n'"),
        (of("حلب", fields={"n": "a\nb"}), "field 'n'"),
        (of("حلب", fields={"n": " a"}), "field 'n'"),
        (of("حلب", fields={"a:b": "c"}), "field 'a:b'"),
    ],
)  # fmt: skip
def test_what_markup_cannot_hold_is_refused(document: Document, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        to_markup(document)
    assert "doc7" in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        replace(of("حلب"), id="doc7\nS1| آخر"),
        replace(of("حلب"), id=" doc7 "),
        replace(of("حلب"), date="2015\nS1| آخر"),
        replace(of("حلب"), date=" 2015"),
        of("حلب", Mention(-1, "LOC", 0, 3)),
        of("حلب", fields={"id": "doc8"}),
    ],
)
def test_headers_and_ids_that_would_be_read_otherwise_are_refused(document: Document) -> None:
    with pytest.raises(FormatError):
        to_markup(document)


@pytest.mark.parametrize(
    "mentions",
    [
        (Mention(1, "LOC", 0, 5), Mention(2, "LOC", 4, 7)),
        (Mention(1, "LOC", 0, 9),),
        (Mention(1, "LOC", 0, 3), Mention(1, "LOC", 4, 7)),
    ],
)
def test_markup_is_never_written_that_says_something_else(mentions: tuple[Mention, ...]) -> None:
    document = of("حلب عدن\nمأرب", *mentions)
    try:
        markup = to_markup(document)
    except FormatError:
        return
    assert from_markup(markup) == document


# Parse errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "line", "message"),
    [
        ("# id: a\nS2| وصل", 2, "S2 follows S0"),
        ("S1| وصل\nS1| وصل", 2, "S1 follows S1"),
        ("S1| وصل\nS3| وصل", 2, "S3 follows S1"),
        ("S1| وصل\n\n\nS2| زار [حلب]", 4, "square brackets"),
        ("S1| [1:LOC حلب", 1, "square brackets"),
        ("S1| [a:LOC حلب]", 1, "square brackets"),
        ("S1| [1:LOC [2:LOC حلب]]", 1, "square brackets"),
        ("S1| [1:LOC حلب]\nLOCATED_IN", 2, "not understood"),
        ("S1| [1:LOC حلب]\nLOCATED_IN 1-2", 2, "not understood"),
        ("S1| [1:LOC حلب]\nLOCATED_IN 1>2 by=3", 2, "by=3"),
        ("S1| [1:LOC حلب]\nLOCATED_IN 1>2 at=x", 2, "at=x"),
        ("S1| [1:LOC حلب]\nLOCATED_IN 1>2 negated", 2, "negated"),
        ("S1| وصل\nوغادر الوفد", 2, "not understood"),
        ("وصل الوفد", 1, "not understood"),
    ],
)
def test_each_parse_error_names_its_line(tmp_path: Path, markup: str, line: int, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        from_markup(markup)
    assert caught.value.line == line
    path = tmp_path / "a.txt"
    path.write_text(markup, encoding="utf-8")
    (problem,) = read_documents(path)
    assert isinstance(problem, Problem)
    assert str(problem).startswith(f"{path}:{line}: ")
    assert message in str(problem)


# Files ----------------------------------------------------------------------------------------------------------------


def problems(path: Path, **settings: Any) -> tuple[list[Document], list[Problem]]:
    found = list(read_documents(path, **settings))
    return [d for d in found if isinstance(d, Document)], [p for p in found if isinstance(p, Problem)]


def lines(path: Path, *records: Any) -> Path:
    raw = [r if isinstance(r, bytes) else json.dumps(r, ensure_ascii=False).encode() for r in records]
    path.write_bytes(b"\n".join(raw) + b"\n")
    return path


def test_an_id_that_occurs_twice_is_a_problem_of_the_second(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", {"id": "x", "text": "أول"}, {"id": "y", "text": "آخر"}, {"id": "x", "text": "ثان"})
    (tmp_path / "b.txt").write_text("# id: y\nS1| ثالث\n", encoding="utf-8")
    documents, found = problems(tmp_path)
    assert [(d.id, d.text) for d in documents] == [("x", "أول"), ("y", "آخر")]
    assert [(p.file, p.line, p.id) for p in found] == [
        (str(tmp_path / "a.jsonl"), 3, "x"), (str(tmp_path / "b.txt"), 0, "y"),
    ]  # fmt: skip
    assert f"{tmp_path / 'a.jsonl'}:1" in found[0].message
    assert f"{tmp_path / 'a.jsonl'}:2" in found[1].message


def test_a_missing_id_is_the_relative_path_and_line(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    lines(
        tmp_path / "sub" / "a.jsonl",
        {"text": "أول"},
        {"id": "", "text": "ثان"},
        {"id": None, "text": "ثالث"},
        {"id": 5, "text": ""},
    )
    (tmp_path / "sub" / "b.txt").write_text("S1| رابع\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("no document", encoding="utf-8")
    documents, found = problems(tmp_path)
    assert not found
    assert [d.id for d in documents] == ["sub/a.jsonl:1", "sub/a.jsonl:2", "sub/a.jsonl:3", "5", "sub/b.txt"]
    assert [d.id for d in read_documents(tmp_path / "sub" / "b.txt")] == ["b.txt"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"text": "\xc7\xe1"}', "UTF-8"),
        (b'{"text": "a"', "JSON"),
        (b"[1]", "object"),
        (b'"text"', "object"),
        (b'{"id": "q"}', "'text'"),
        (b'{"id": "q", "text": null}', "'text'"),
        (b'{"id": "q", "text": 5}', "'text'"),
        (b'{"id": "q", "text": "\\ud800"}', "surrogate"),
        (b'{"id": ["q"], "text": "a"}', "'id'"),
        (b'{"id": "q", "text": "a", "date": 5}', "'date'"),
        (b'{"id": "q", "text": "a", "sentences": [5]}', "sentences"),
        (b'{"id": "q", "text": "a", "entities": [{"id": 1}]}', "label"),
        (b'{"id": "q", "text": "a", "entities": [{"id":1,"label":"LOC","start_offset":0,"end_offset":1,"text":"b"}]}', "'b'"),
        (b'{"id": "q", "text": "a", "relations": [{"type": "ATTACK"}]}', "from_id"),
        (b'{"id": "q", "text": "a", "relations": 5}', "relations"),
        (
            b'{"id": "q", "text": "a", "entities": [{"id":1,"label":"KING","start_offset":0,"end_offset":1}]}',
            "unknown type 'KING'",
        ),
        (b"[" * 100000, ""),
    ],
)
def test_a_bad_line_is_a_problem_and_the_next_is_read(tmp_path: Path, raw: bytes, message: str) -> None:
    path = lines(tmp_path / "a.jsonl", {"id": "first", "text": "أول"}, b"", raw, {"id": "last", "text": "آخر"})
    documents, (problem,) = problems(path)
    assert [d.id for d in documents] == ["first", "last"]
    assert (problem.file, problem.line) == (str(path), 3)
    assert message in problem.message


@pytest.mark.parametrize("number", [b"1e999", b"-Infinity", b"NaN", b"1" * 5000])
def test_numbers_that_are_no_offsets_are_problems_too(tmp_path: Path, number: bytes) -> None:
    raw = b'{"id": "q", "text": "a", "sentences": [[0, ' + number + b"]]}"
    path = lines(tmp_path / "a.jsonl", {"id": "first", "text": "أول"}, raw, {"id": "last", "text": "آخر"})
    documents, (problem,) = problems(path)
    assert [d.id for d in documents] == ["first", "last"]
    assert problem.line == 2


def test_a_number_too_long_in_markup_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# id: a\nS1| [" + "1" * 5000 + ":LOC حلب]\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("# id: b\nS1| حلب\n", encoding="utf-8")
    documents, found = problems(tmp_path)
    assert [d.id for d in documents] == ["b"]
    assert len(found) == 1


@pytest.mark.parametrize(
    "record",
    [
        {"text": "a", "entities": [{"id": "b", "label": "LOC", "start_offset": 0, "end_offset": 1}]},
        {"text": "a", "sentences": [[0, 1, 2]]},
        {"text": "a", "relations": [{"type": "ATTACK", "from_id": "b", "to_id": 1}]},
        {"text": "a", "entities": [{"id": 1, "label": "LOC"}]},
        {"text": "a", "entities": [5]},
    ],
)
def test_from_json_says_which_document_is_malformed(record: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="doc7"):
        from_json(record, id="doc7")


@pytest.mark.parametrize("raw", [b'{"id": "\\ud800", "text": "a"}', b'{"text": "a", "title": "\\udfff"}'])
def test_what_was_read_can_be_written(tmp_path: Path, raw: bytes) -> None:
    found = parse_line(raw, file="a.jsonl", line=1, name="a")
    if isinstance(found, Document):
        write_documents([found], tmp_path / "b.jsonl")
        assert list(read_documents(tmp_path / "b.jsonl")) == [found]


def test_bytes_that_are_not_utf8_are_a_problem_of_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("S1| حلب".encode("windows-1256"))
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbf" + "# id: b\nS1| حلب\n".encode())
    documents, (problem,) = problems(tmp_path)
    assert [(d.id, d.text) for d in documents] == [("b", "حلب")]
    assert (problem.file, problem.line) == (str(tmp_path / "a.txt"), 0)
    assert "UTF-8" in problem.message


def test_violations_of_the_schema_leave_the_document_out_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# id: a\nS1| [1:LOC حلب] [2:DATE أمس]\nATTACK 1>2\nATTACK 1>3\n", encoding="utf-8")
    documents, found = problems(tmp_path)
    assert not documents
    assert [p.id for p in found] == ["a", "a"]
    assert "cannot link LOC to DATE" in str(found[0])
    assert "no entity 3" in str(found[1])
    documents, found = problems(tmp_path, validate=False)
    assert [d.id for d in documents] == ["a"]
    assert not found


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(read_documents(tmp_path / "nowhere"))


def test_unknown_fields_and_the_date_are_kept(tmp_path: Path) -> None:
    record = {"id": "a", "date": "2015-01-02", "text": "حلب", "title": "عنوان", "tags": [1, {"b": None}], "model": "m"}
    path = lines(tmp_path / "a.jsonl", record)
    (document,) = read_documents(path)
    assert isinstance(document, Document)
    assert document.date == "2015-01-02"
    assert document.fields == {"title": "عنوان", "tags": [1, {"b": None}], "model": "m"}
    assert to_json(document).items() >= record.items()
