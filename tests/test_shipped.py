"""What the repository ships and what the README says of it."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from conftest import ROOT

from data.card import METRICS
from data.formats import Problem, read_documents
from data.hub import CODE_FILES, RESULTS_FILE, RUN_FILE, differences, measure, probe
from data.prediction import predict
from data.report import summary
from data.schema import Document
from data.training import trained_model
from model.decoding import Annotator

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = json.loads((ROOT / "model/results.json").read_text(encoding="utf-8"))


def plain(text: str) -> str:
    """Without scores and format characters, which differ between machines and editors."""
    text = re.sub(r" \(\d\.\d\d\)", "", text)
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


@pytest.fixture(scope="module")
def found() -> Document:
    model, tokenizer = trained_model(str(ROOT / "model"))
    text = (ROOT / "data/samples/article.txt").read_text(encoding="utf-8")
    return next(predict(Annotator(model.eval(), tokenizer), [Document("data/samples/article.txt", text)]))


def test_the_model_folder_holds_what_is_published_and_nothing_else() -> None:
    weights = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", RUN_FILE, RESULTS_FILE}
    assert {path.name for path in (ROOT / "model").iterdir()} - {"__pycache__"} == {"README.md", *CODE_FILES, *weights}


def test_readme_shows_the_sample_and_the_true_output(found: Document) -> None:
    assert found.text.strip() in README
    assert plain(summary(found)).strip() in plain(README)


@pytest.mark.parametrize("name", RESULTS)
def test_readme_gives_the_recorded_figures(name: str) -> None:
    for metric in METRICS:
        scores = RESULTS[name][metric]
        low, high = scores["interval"]
        assert f"{scores['f1']:.3f} [{low:.3f}, {high:.3f}]" in README


def test_shipped_weights_are_small_and_load_in_a_clean_process() -> None:
    assert sum(p.stat().st_size for p in ROOT.glob("model/*.safetensors")) <= 60_000_000
    model, tokenizer = trained_model(str(ROOT / "model"))
    assert {p.name for p in (ROOT / "model").glob("*.py")} == set(CODE_FILES)
    assert differences(measure(model.eval(), tokenizer), probe(ROOT / "model")) == []


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_every_corpus_document_is_sound(split: str) -> None:
    documents = list(read_documents(ROOT / "data/corpus" / split))
    assert [str(d) for d in documents if isinstance(d, Problem)] == []
    assert len(documents) >= 20


def test_no_document_stands_in_two_splits() -> None:
    texts = [d.text for d in read_documents(ROOT / "data/corpus") if isinstance(d, Document)]
    assert len(texts) == len(set(texts)) >= 150
