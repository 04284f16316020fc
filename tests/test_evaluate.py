"""evaluate.py end to end on a model that knows its eight documents by heart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import MARKUP, Ran, tiny_model
from huggingface_hub import ModelCard
from transformers import PreTrainedTokenizerFast

import evaluate
from data.formats import from_markup, write_documents
from data.hub import export
from data.schema import Document
from data.scoring import ARGUMENT, CROSS, ENTITIES, FACTUAL, REL, REL_PLUS

PERFECT = (ENTITIES, REL, REL_PLUS, FACTUAL, ARGUMENT)


class Report(HTMLParser):
    """The marks, list items, cells and attributes of an error report; fails at tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.html: dict[str, str | None] = {}
        self.cells: list[str] = []
        self.marks: list[tuple[str | None, str]] = []
        self.items: list[tuple[str | None, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "html":
            self.html = dict(attrs)
        if tag in ("meta", "p"):
            return
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        if tag in ("mark", "li"):
            (self.marks if tag == "mark" else self.items).append((dict(attrs).get("class"), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag != "p":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data
        for tag, found in (("mark", self.marks), ("li", self.items)):
            if tag in self.open and "small" not in self.open:
                found[-1] = (found[-1][0], found[-1][1] + data)


def test_a_model_that_knows_its_documents_scores_one_on_them(
    gold_folder: Path, run_folder: Path, tmp_path: Path, documents: list[Document], call: Callable[..., Ran]
) -> None:
    scores, errors = tmp_path / "scores.json", tmp_path / "errors.html"
    ran = call(
        evaluate.main, gold_folder, "--model", run_folder, "--json", scores, "--errors", errors, "--bootstrap", 50
    )  # fmt: skip
    assert ran.code == 0, ran.err
    head, *rows = ran.out.split("\n\n")[0].splitlines()
    assert re.split("  +", head.strip()) == ["as it stands", "paragraph ends as spaces", "gold entities given"]
    columns = {re.split("  +", row.strip())[0]: re.split("  +", row.strip())[1:] for row in rows}
    assert columns["documents"] == ["8"] * 3
    for metric in PERFECT:
        assert columns[metric][0].startswith("1.000 [1.000, 1.000] P 1.00 R 1.00 n "), metric
    assert columns["entities (words, seqeval strict)"][0] == "1.000"
    assert columns["Rel+"][2].startswith("1.000 ")
    assert ran.out.rstrip().endswith("gold that no prediction can match:\n  none")
    assert re.search(r"^  ATTACK +F1 1\.000 +P 1\.00 +R 1\.00 +gold 3 ", ran.out, re.MULTILINE)

    results = json.loads(scores.read_text(encoding="utf-8"))
    assert results["documents"] == 8
    assert results["bootstrap"] == {"samples": 50, "seed": 0}
    assert all(results[metric]["f1"] == 1.0 for metric in PERFECT)
    assert results[ENTITIES]["gold"] == sum(len(d.mentions) for d in documents)
    assert results[REL_PLUS]["gold"] == sum(len(d.relations) for d in documents)
    assert results[CROSS]["gold"] == 0
    assert results["Rel+ with gold entities"]["f1"] == 1.0
    assert results["paragraph ends as spaces"]["documents"] == 8
    assert results["unreachable gold"] == {}
    assert 0 <= results["calibration"]["error"] <= 1

    html = errors.read_text(encoding="utf-8")
    report = Report(html)
    assert report.html == {"lang": "ar", "dir": "rtl"}
    assert '<meta charset="utf-8">' in html
    assert {kind for kind, _ in (*report.marks[3:], *report.items)} == {"right"}
    for document in documents:
        assert document.id in report.cells
        names = [document.surface(m) for m in document.mentions]
        assert all(sum(text.strip() == name for _, text in report.marks) >= 2 for name in names), "gold and prediction"
    assert len(report.items) == 2 * sum(len(d.relations) for d in documents)


def test_the_report_colours_what_is_missed_and_what_is_wrong(
    run_folder: Path, tmp_path: Path, call: Callable[..., Ran]
) -> None:
    other = MARKUP["t1"].replace("[1:GPE تركيا]", "[1:ORG تركيا]").replace("# id: t1", "# id: <t1> & more")
    gold, errors = tmp_path / "other.txt", tmp_path / "errors.html"
    gold.write_text(other, encoding="utf-8")
    ran = call(evaluate.main, gold, "--model", run_folder, "--errors", errors, "--bootstrap", 10)
    assert ran.code == 0
    report = Report(errors.read_text(encoding="utf-8"))
    assert "<t1> & more" in report.cells
    states = [(kind, text.strip()) for kind, text in report.marks[3:]]
    assert ("missed", "تركيا") in states
    assert ("wrong", "تركيا") in states
    assert ("right", "تركيا") not in states
    assert states.count(("right", "بلدة الراعي")) == 2
    accused = [kind for kind, text in report.items if "ACCUSE" in text]
    assert accused == ["missed", "wrong"]
    located = [kind for kind, text in report.items if "LOCATED_IN" in text]
    assert located == ["right", "right"]
    assert re.search(rf"^{re.escape(REL)} +1\.000", ran.out, re.MULTILINE), "Rel does not ask for entity types"
    assert not re.search(rf"^{re.escape(REL_PLUS)} +1\.000", ran.out, re.MULTILINE)


def test_record_puts_the_scores_into_the_model_folder_and_its_card(
    gold_folder: Path, own_run: Path, tmp_path: Path, call: Callable[..., Ran]
) -> None:
    assert "Not measured yet." in (own_run / "README.md").read_text(encoding="utf-8")
    scores = tmp_path / "scores.json"
    options = (gold_folder, "--model", own_run, "--bootstrap", 20, "--json", scores)
    assert call(evaluate.main, *options, "--record", "by heart").code == 0
    assert call(evaluate.main, *options, "--record", "again").code == 0
    recorded = json.loads((own_run / "results.json").read_text(encoding="utf-8"))
    assert list(recorded) == ["by heart", "again"]
    assert recorded["by heart"] == recorded["again"] == json.loads(scores.read_text(encoding="utf-8"))
    card = ModelCard.load(own_run / "README.md")
    assert "| | by heart | again |" in card.text
    assert re.search(r"\| Rel\+ \| 1\.000 \[1\.000, 1\.000\] n=21 \| 1\.000 ", card.text)
    assert {r.dataset_name for r in card.data.eval_results} == {"by heart", "again"}


def test_jsonl_and_a_folder_of_markup_score_the_same(
    gold_folder: Path, run_folder: Path, tmp_path: Path, documents: list[Document], call: Callable[..., Ran]
) -> None:
    write_documents(documents, tmp_path / "gold.jsonl")
    folder = call(evaluate.main, gold_folder, "--model", run_folder, "--bootstrap", 20)
    lines = call(evaluate.main, tmp_path / "gold.jsonl", "--model", run_folder, "--bootstrap", 20)
    assert folder.code == lines.code == 0
    assert folder.out == lines.out


def test_a_bad_gold_file_is_named_the_others_are_scored_and_the_exit_code_is_1(
    run_folder: Path, tmp_path: Path, call: Callable[..., Ran]
) -> None:
    gold = tmp_path / "gold"
    gold.mkdir()
    (gold / "good.txt").write_text(MARKUP["t1"], encoding="utf-8")
    (gold / "broken.txt").write_text("# id: b\nS1| نص [1:GPE\n", encoding="utf-8")
    (gold / "unsound.txt").write_text("# id: u\nS1| زار [1:DATE أمس] [2:GPE قطر].\nATTACK 1>2\n", encoding="utf-8")
    ran = call(evaluate.main, gold, "--model", run_folder, "--bootstrap", 10)
    assert ran.code == 1
    assert f"{gold / 'broken.txt'}:2: square brackets" in ran.err
    assert f"{gold / 'unsound.txt'}:3: [u] relation ATTACK 1>2: ATTACK cannot link DATE to GPE" in ran.err
    assert re.search(r"^documents +1 +1 +1$", ran.out, re.MULTILINE)


@pytest.mark.parametrize("case", ["missing", "empty", "only bad"])
def test_gold_without_a_sound_document_is_a_clear_error(
    run_folder: Path, tmp_path: Path, call: Callable[..., Ran], case: str
) -> None:
    gold = tmp_path / "gold"
    if case != "missing":
        gold.mkdir()
    if case == "only bad":
        (gold / "bad.txt").write_text("؟", encoding="utf-8")
    ran = call(evaluate.main, gold, "--model", run_folder)
    assert (ran.code, ran.out) == (1, "")
    assert str(gold) in ran.err


def test_what_no_prediction_can_match_is_counted_by_cause(run_folder: Path, tmp_path: Path, call: Callable[..., Ran]) -> None:
    text = from_markup(MARKUP["t5"])
    cut = MARKUP["t5"].replace("[2:PER سالم العياري]", "سال[2:PER م العياري]")
    assert from_markup(cut).text == text.text
    (tmp_path / "gold.txt").write_text(cut, encoding="utf-8")
    ran = call(evaluate.main, tmp_path / "gold.txt", "--model", run_folder, "--bootstrap", 10)
    assert ran.code == 0
    assert "1 × entity: its span does not begin and end with words, proclitics apart" in ran.out
    assert "1 × relation: one of its entities cannot be predicted" in ran.out


def test_recording_into_a_model_that_is_no_folder_is_a_clear_error(
    gold_folder: Path, tmp_path: Path, call: Callable[..., Ran]
) -> None:
    ran = call(evaluate.main, gold_folder, "--model", tmp_path / "nowhere", "--record", "x")
    assert ran.code == 1
    assert str(tmp_path / "nowhere") in ran.err
    assert not (tmp_path / "nowhere").exists()


def test_a_plain_tagger_is_scored_and_recorded_too(
    gold_folder: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, call: Callable[..., Ran]
) -> None:
    labels = {"entity_types": ["GPE", "LOC"], "relation_types": {}, "symmetric": [], "arguments": {}, "no_place": []}
    export(tiny_model(tokenizer, **labels), tokenizer, tmp_path / "tagger")
    options = ("--model", tmp_path / "tagger", "--bootstrap", 10, "--record", "tags", "--errors", tmp_path / "errors.html")
    ran = call(evaluate.main, gold_folder, *options)
    assert ran.code == 0
    assert "21 × relation: its type is not among the model's" in ran.out
    assert json.loads((tmp_path / "tagger/results.json").read_text(encoding="utf-8"))["tags"][REL_PLUS]["predicted"] == 0
    assert "| | tags |" in (tmp_path / "tagger/README.md").read_text(encoding="utf-8")
