"""predict.py: every kind of input, the output's form, what happens to documents that cannot be read, long and odd texts."""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MARKUP, ROOT, Ran
from transformers import PreTrainedTokenizerFast

import predict
from data.formats import from_json, from_markup, to_json
from data.hub import export
from data.schema import ARGUMENTS, SCHEMA_VERSION
from model.modeling_khabar import KhabarModel

TEXTS = {name: from_markup(markup).text for name, markup in MARKUP.items()}
ENTITY_KEYS = ["id", "label", "start_offset", "end_offset", "text", "name", "score"]
RELATION_KEYS = ["id", "type", "from_id", "to_id", "factuality", "score", *ARGUMENTS, "sentences"]
LONG = 180_000
"""Characters of the longest text: 300 kB in UTF-8 (a megabyte takes minutes beside other work)."""
Predict = Callable[..., tuple[Ran, list[dict[str, Any]]]]


def records_of(data: bytes) -> list[dict[str, Any]]:
    """The documents of JSONL; a line ends at a line feed and nowhere else."""
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def check_record(record: dict[str, Any], text: str) -> None:
    """The record is of the documented form, and every offset fits the text."""
    assert record["text"] == text
    end = 0
    for entity in record["entities"]:
        assert list(entity) == ENTITY_KEYS
        assert end <= entity["start_offset"] < entity["end_offset"] <= len(text)
        assert entity["text"] == text[entity["start_offset"] : entity["end_offset"]]
        assert entity["text"].strip() == entity["text"]
        end = entity["end_offset"]
    assert [e["id"] for e in record["entities"]] == list(range(1, len(record["entities"]) + 1))
    for sentence, after in zip(record["sentences"], [*record["sentences"][1:], [len(text), len(text)]], strict=True):
        assert 0 <= sentence[0] < sentence[1] <= after[0]
    entities = {e["id"]: e for e in record["entities"]}
    for relation in record["relations"]:
        assert list(relation) == RELATION_KEYS
        assert {relation["from_id"], relation["to_id"]} <= entities.keys()
        assert 0 <= relation["score"] <= 1
        assert all(relation[name] is None or relation[name] in entities for name in ARGUMENTS)
        places = {
            next(i for i, (a, b) in enumerate(record["sentences"]) if a <= entities[id]["start_offset"] < b)
            for id in (relation["from_id"], relation["to_id"])
        }
        assert relation["sentences"] == sorted(places)
    assert [r["id"] for r in record["relations"]] == list(range(1, len(record["relations"]) + 1))


@pytest.fixture
def run(call: Callable[..., Ran], run_folder: Path, tmp_path: Path) -> Predict:
    """Calls predict.py with the overfitted model; the records are those of a new OUT."""

    def predicted(*arguments: object, model: Path = run_folder) -> tuple[Ran, list[dict[str, Any]]]:
        out = tmp_path / "out.jsonl"
        out.unlink(missing_ok=True)
        ran = call(predict.main, *arguments, "--model", model, "--output", out)
        assert ran.out == ""
        return ran, records_of(out.read_bytes()) if out.exists() else []

    return predicted


@pytest.fixture
def loud_folder(loud: KhabarModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    """A random model that finds much, as a folder."""
    export(loud, tokenizer, tmp_path / "loud")
    return tmp_path / "loud"


def jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


# Inputs


def test_a_text_file_gives_its_record_with_the_documented_keys(run: Predict, tmp_path: Path, run_folder: Path) -> None:
    file = tmp_path / "خبر.txt"
    file.write_text(TEXTS["t1"], encoding="utf-8")
    ran, (record,) = run(file)
    assert ran.code == 0
    assert list(record) == ["id", "text", "sentences", "entities", "relations", "schema", "model"]
    assert (record["id"], record["schema"], record["model"]) == (str(file), SCHEMA_VERSION, str(run_folder))
    check_record(record, TEXTS["t1"])
    gold = from_markup(MARKUP["t1"])
    assert [(e["label"], e["text"]) for e in record["entities"]] == [(m.type, gold.surface(m)) for m in gold.mentions]
    assert {(r["type"], r["from_id"], r["to_id"], r["factuality"]) for r in record["relations"]} == {
        (r.type, r.head, r.tail, r.factuality) for r in gold.relations
    }
    assert to_json(from_json(record)) == record


def test_a_folder_gives_its_texts_and_jsonl_sorted_by_path_with_relative_ids(run: Predict, tmp_path: Path) -> None:
    folder = tmp_path / "articles"
    (folder / "b").mkdir(parents=True)
    (folder / "c.txt").write_text(TEXTS["t2"], encoding="utf-8")
    (folder / "b/z.txt").write_text(TEXTS["t3"], encoding="utf-8")
    (folder / "read.md").write_text("لا يقرأ", encoding="utf-8")
    jsonl(folder / "a.jsonl", {"text": TEXTS["t4"]}, {"id": "mine", "text": TEXTS["t5"]})
    ran, records = run(folder)
    assert ran.code == 0
    assert [r["id"] for r in records] == ["a.jsonl:1", "mine", "b/z.txt", "c.txt"]
    for record, name in zip(records, ("t4", "t5", "t3", "t2"), strict=True):
        check_record(record, TEXTS[name])
    assert all(record["entities"] for record in records)


def test_inputs_are_done_in_the_order_named(run: Predict, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text("نص", encoding="utf-8")
    lines = jsonl(tmp_path / "x.jsonl", {"id": "x", "text": "نص آخر"})
    ran, records = run(tmp_path / "two.txt", lines, tmp_path / "one.txt")
    assert ran.code == 0
    assert [r["id"] for r in records] == [str(tmp_path / "two.txt"), "x", str(tmp_path / "one.txt")]


def test_jsonl_keeps_id_date_and_unknown_fields_and_drops_old_annotations(run: Predict, tmp_path: Path) -> None:
    old = {
        "id": 7, "date": "2016-03-01", "title": "عنوان", "tags": ["أ", {"b": None}], "text": TEXTS["t5"], "model": "older",
        "entities": [{"id": 9, "label": "NUM", "start_offset": 0, "end_offset": 6}], "relations": [], "sentences": [[0, 3]],
        "schema": "0.1",
    }  # fmt: skip
    ran, (record,) = run(jsonl(tmp_path / "in.jsonl", old))
    assert ran.code == 0
    expected = ["id", "date", "text", "sentences", "entities", "relations", "schema", "title", "tags", "model"]
    assert sorted(record) == sorted(expected)
    assert list(record)[:7] == expected[:7]
    assert (record["id"], record["date"], record["title"], record["tags"]) == ("7", "2016-03-01", "عنوان", old["tags"])
    assert record["model"] != "older"
    assert record["schema"] == SCHEMA_VERSION
    check_record(record, TEXTS["t5"])
    assert 9 not in [e["id"] for e in record["entities"]]


def test_standard_input_is_read_where_no_input_is_named(run: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + TEXTS["t6"].encode())))
    ran, (record,) = run()
    assert ran.code == 0
    assert record["id"] == "stdin"
    check_record(record, TEXTS["t6"])
    assert record["relations"]


def test_without_output_jsonl_goes_to_standard_output(call: Callable[..., Ran], run_folder: Path, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", *({"id": name, "text": text} for name, text in TEXTS.items()))
    ran = call(predict.main, source, "--model", run_folder)
    assert ran.code == 0
    records = records_of(ran.out.encode())
    assert [r["id"] for r in records] == list(TEXTS)
    for record in records:
        check_record(record, TEXTS[record["id"]])


def test_batch_size_changes_nothing_but_speed(run: Predict, loud_folder: Path, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", *({"id": name, "text": text} for name, text in TEXTS.items()))
    _, first = run(source, "--batch-size", 1, model=loud_folder)
    _, second = run(source, "--batch-size", 5, model=loud_folder)

    def shape(records: list[dict[str, Any]]) -> list[Any]:
        return [[(e["label"], e["start_offset"], e["end_offset"]) for e in r["entities"]] for r in records]

    assert shape(first) == shape(second)
    assert any(shape(first))


# Output


def test_an_existing_output_is_left_alone_without_overwrite(call: Callable[..., Ran], run_folder: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "a.txt", tmp_path / "out.jsonl"
    source.write_text("نص", encoding="utf-8")
    out.write_text("mine")
    ran = call(predict.main, source, "--model", run_folder, "--output", out)
    assert ran.code == 1
    assert str(out) in ran.err
    assert "--overwrite" in ran.err
    assert out.read_text() == "mine"
    assert call(predict.main, source, "--model", run_folder, "--output", out, "--overwrite").code == 0
    assert records_of(out.read_bytes())[0]["text"] == "نص"


def test_an_output_in_a_folder_that_does_not_exist_is_a_clear_error(
    call: Callable[..., Ran], run_folder: Path, tmp_path: Path
) -> None:
    ran = call(predict.main, "--model", run_folder, "--output", tmp_path / "no/out.jsonl")
    assert ran.code == 1
    assert f"there is no folder {tmp_path / 'no'}" in ran.err


def test_nothing_but_the_output_is_left_in_its_folder(run: Predict, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", {"text": "نص"})
    run(source)
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl"}


def test_a_run_that_was_killed_leaves_no_output_and_a_second_one_gives_it_complete(
    run_folder: Path, tmp_path: Path, call: Callable[..., Ran]
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    out, pipe, source = folder / "found.jsonl", tmp_path / "pipe.jsonl", tmp_path / "all.jsonl"
    jsonl(source, *({"id": str(i), "text": TEXTS[f"t{i % 8 + 1}"]} for i in range(150)))
    os.mkfifo(pipe)
    command = [sys.executable, ROOT / "predict.py", pipe, "--model", run_folder, "--output", out]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        with open(pipe, "wb") as handle:  # waits for the reader; the pipe stays open, so that the run cannot end
            handle.write(b"".join(source.read_bytes().splitlines(keepends=True)[:140]))
            handle.flush()
            limit = time.monotonic() + 60
            while not any(path.stat().st_size for path in folder.iterdir()):
                assert time.monotonic() < limit
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    assert call(predict.main, source, "--model", run_folder, "--output", out).code == 0
    records = records_of(out.read_bytes())
    assert [r["id"] for r in records] == [str(i) for i in range(150)]
    assert records[0]["entities"] == records[8]["entities"] != []


# Documents that cannot be read


def test_an_empty_file_gives_an_empty_record(run: Predict, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "white.txt").write_bytes(" \n\t\r\n\u3000".encode())
    ran, (empty, white) = run(tmp_path / "empty.txt", tmp_path / "white.txt")
    assert ran.code == 0
    assert (empty["text"], white["text"]) == ("", " \n\t\r\n\u3000")
    for record in (empty, white):
        assert (record["sentences"], record["entities"], record["relations"]) == ([], [], [])


def test_bad_documents_are_named_and_the_others_done(run: Predict, tmp_path: Path) -> None:
    latin, lines, missing = tmp_path / "old.txt", tmp_path / "in.jsonl", tmp_path / "missing.txt"
    latin.write_bytes("نص ".encode() + "نص".encode("cp1256"))
    lines.write_bytes(
        b"\n".join(
            (
                json.dumps({"id": "good", "text": TEXTS["t1"]}).encode(),
                b'{"id": "cut", "text": "\xd9"}',
                b'{"id": "half", "text": "abc"',
                b"",
                b'{"id": "bare", "title": "no text"}',
                b'{"id": "number", "text": 12}',
                b'["a list"]',
                b'{"id": "good", "text": "again"}',
                b'{"id": "lone", "text": "\\ud800"}',
                b'{"id": {"a": 1}, "text": "abc"}',
                json.dumps({"id": "last", "text": TEXTS["t2"]}).encode(),
            )
        )
    )
    ran, records = run(latin, missing, lines)
    assert ran.code == 1
    assert [r["id"] for r in records] == ["good", "last"]
    check_record(records[0], TEXTS["t1"])
    check_record(records[1], TEXTS["t2"])
    problems = [line for line in ran.err.splitlines() if line.startswith(str(tmp_path))]
    assert len(problems) == 10
    starts = [(latin, ""), (missing, ""), *((lines, n) for n in (2, 3, 5, 6, 7, 8, 9, 10))]
    words = ["not UTF-8 at byte 5", "cannot be read: No such file", "not UTF-8", "broken JSON", "'text' is missing",
             "no string", "object", "[good] this id occurs already in", "surrogate", "'id' is neither"]  # fmt: skip
    for problem, (file, line), word in zip(problems, starts, words, strict=True):
        assert problem.startswith(f"{file}:{line}: " if line else f"{file}: ")
        assert word in problem
    assert f"{lines}:1" in problems[7]
    assert "10 documents could not be read; the others are done" in ran.err


def test_a_folder_without_texts_is_named(run: Predict, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    ran, records = run(tmp_path / "folder")
    assert (ran.code, records) == (1, [])
    assert f"{tmp_path / 'folder'}: the folder holds no .txt or .jsonl file" in ran.err


def test_standard_input_that_is_not_utf8_is_named(run: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe")))
    ran, records = run()
    assert (ran.code, records) == (1, [])
    assert "standard input: not UTF-8 at byte 0" in ran.err


def test_a_missing_model_folder_is_a_clear_error(call: Callable[..., Ran], tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("نص", encoding="utf-8")
    ran = call(predict.main, source, "--model", tmp_path / "nowhere", "--output", tmp_path / "out.jsonl")
    assert ran.code == 1
    assert str(tmp_path / "nowhere") in ran.err
    assert re.search(r"no (such )?(model )?(file or )?(folder|directory)|does not exist|not a (model )?folder", ran.err), (
        ran.err
    )
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_model_folder_with_a_damaged_file_is_a_clear_error(
    call: Callable[..., Ran], own_run: Path, tmp_path: Path, name: str
) -> None:
    content = (own_run / name).read_bytes()
    (own_run / name).write_bytes(content[: len(content) // 2])
    source = tmp_path / "a.txt"
    source.write_text("نص", encoding="utf-8")
    ran = call(predict.main, source, "--model", own_run)
    assert (ran.code, ran.out) == (1, "")
    assert str(own_run) in ran.err


# Long and odd texts


FILLER = (
    "كان الطقس لطيفا في ذلك الصباح", "واصل التجار عملهم كالمعتاد", "ثم عاد الهدوء إلى الشوارع", "لم يزد المتحدث على ذلك شيئا",
    "تأخر موسم الزيتون هذا العام", "فتحت المدارس أبوابها مبكرا",
)  # fmt: skip


def test_a_text_of_300_kilobytes_in_one_line_is_read_to_its_end_with_all_offsets_right(run: Predict, tmp_path: Path) -> None:
    chance = random.Random(5)
    sentences = [line for text in TEXTS.values() for line in text.split("\n")]
    parts: list[str] = []
    size = 0
    while size < LONG:
        parts.append(chance.choice(sentences if chance.random() < 0.1 else FILLER) + chance.choice(["", ".", " ،"]))
        size += len(parts[-1]) + 1
    text = " ".join((*parts, sentences[0]))
    assert len(text.encode()) > 300_000
    assert "\n" not in text
    file = tmp_path / "long.txt"
    file.write_text(text, encoding="utf-8")
    ran, (record,) = run(file)
    assert ran.code == 0
    check_record(record, text)
    assert len(record["entities"]) > len(text) / 500
    assert record["entities"][-1]["start_offset"] > len(text) - 20
    assert len(record["relations"]) > 100


ODD = {
    "controls": "قالت\x00 مصر\x01 إن\x07 \x1bسوريا\x7f \x85قصفت\x0b حلب\x0c أمس\x1c.\x1e وردت\x1f تركيا.",
    "bidi": "\u202bاتهمت \u2067تركيا\u2069 \u200fتنظيم\u200e داعش\u202c بقصف \u2066(Aleppo)\u2069 \u061cحلب\u202e.",
    "separators": "قتل سبعة\u2028مدنيين في\u2029غارات\u00a0شنها\u202fالتحالف\r\nعلى صعدة\rأمس.",
    "marks": "اعْتَقَلَتِ الشُّرْطَةُ ســـالم ﷲ ﻻ ﷺ \u200cلل\u200dجنة e\u0301 ½ ² ①",
    "wide": "قصف 🚀 الجيش 👩‍👩‍👧 مدينة 𐤀𐤁 حلب \U0010ffff \ufffe \ufeff.",
    "only marks": "\u064b\u0651\u200f\u0640",
    "letters": "ا" * 3000,
    "punctuation": "!؟…،؛.\"'«»" * 3,
}


def test_control_and_bidi_characters_move_no_offset(run: Predict, loud_folder: Path, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "odd.jsonl", *({"id": name, "text": text} for name, text in ODD.items()))
    ran, records = run(source, model=loud_folder)
    assert ran.code == 0
    assert [r["id"] for r in records] == list(ODD)
    for record in records:
        check_record(record, ODD[record["id"]])
    assert sum(len(r["entities"]) for r in records) > 20


def test_a_text_file_keeps_its_line_ends(run: Predict, tmp_path: Path) -> None:
    file = tmp_path / "crlf.txt"
    file.write_bytes(TEXTS["t1"].replace("\n", "\r\n").encode())
    _, (record,) = run(file)
    check_record(record, TEXTS["t1"].replace("\n", "\r\n"))
    assert len(record["sentences"]) == 2


# Options


def test_min_score_leaves_out_relations_that_score_less_and_nothing_else(
    run: Predict, loud_folder: Path, tmp_path: Path
) -> None:
    source = jsonl(tmp_path / "in.jsonl", *({"id": name, "text": text} for name, text in TEXTS.items()))
    _, everything = run(source, model=loud_folder)
    scores = sorted({relation["score"] for record in everything for relation in record["relations"]})
    assert len(scores) > 10
    middle = len(scores) // 2
    limit = (scores[middle - 1] + scores[middle]) / 2
    ran, kept = run(source, "--min-score", limit, model=loud_folder)
    assert ran.code == 0

    def relations(record: dict[str, Any], least: float) -> list[dict[str, Any]]:
        return [{k: v for k, v in r.items() if k != "id"} for r in record["relations"] if r["score"] >= least]

    assert [r["entities"] for r in kept] == [r["entities"] for r in everything]
    assert [relations(r, 0) for r in kept] == [relations(r, limit) for r in everything]
    assert any(r["relations"] for r in kept)


def test_a_terminal_gets_a_summary_with_names_between_isolates(
    call: Callable[..., Ran], run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = jsonl(tmp_path / "in.jsonl", {"id": "أول", "text": TEXTS["t1"]}, {"id": "none", "text": "نص"})
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    ran = call(predict.main, source, "--model", run_folder)
    assert ran.code == 0
    first, second = ran.out.split("== ")[1:]
    assert first.startswith("\u2068أول\u2069\n")
    assert re.search("^GPE +\u2068تركيا\u2069$", first, re.MULTILINE)
    assert "  \u2068تركيا\u2069 —ACCUSE→ \u2068تنظيم داعش\u2069 (" in first
    assert "—ATTACK→ \u2068بلدة الراعي\u2069 ~alleged src=\u2068تركيا\u2069 (" in first
    assert ran.out.count("\u2068") == ran.out.count("\u2069")
    assert second == "\u2068none\u2069\nno entities\n\n"


def test_prediction_computes_no_gradients_and_changes_no_weights(run_folder: Path, run: Predict, tmp_path: Path) -> None:
    before = (run_folder / "model.safetensors").read_bytes()
    run(jsonl(tmp_path / "in.jsonl", {"text": TEXTS["t1"]}))
    assert (run_folder / "model.safetensors").read_bytes() == before
    assert torch.is_grad_enabled()
