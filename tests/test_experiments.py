"""The queue of experiments: what it reads, and that it trains, scores, goes on and survives a failing run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ROOT, Ran

from data.formats import sound_documents
from data.scoring import ENTITIES
from data.training import trained_model
from experiments import anercorp
from experiments import run as experiments

RECIPE = "epochs = 1\nbatch_size = 2\nlayers = 1\nwindow = 128\nmention_size = 32\n"


def write_queue(folder: Path, text: str) -> Path:
    path = folder / "queue.toml"
    path.write_text(text)
    return path


def test_a_queue_is_read_a_seed_a_run(tmp_path: Path) -> None:
    text = '[[run]]\nname = "a"\nrecipe = "configs/base.toml"\nseeds = [1, 2]\nset = { layers = 6 }\n'
    text += '[[run]]\nname = "b"\nrecipe = "configs/base.toml"\nseeds = [2]\ninit = "run:a"\ndocuments = 9\n'
    runs = experiments.read_queue(write_queue(tmp_path, text))
    assert [run.folder for run in runs] == ["a-1", "a-2", "b-2"]
    assert [run.before for run in runs] == [None, None, "a-2"]
    assert runs[1].set == {"layers": 6}
    assert runs[2].documents == 9


def test_the_queue_of_the_repository_is_sound() -> None:
    assert experiments.read_queue(ROOT / "experiments" / "queue.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[run", "not TOML"),
        ("runs = []", "nothing else"),
        ('[run]\nname = "a"', "nothing else"),
        ('[[run]]\nname = "a"', "recipe"),
        ('[[run]]\nname = "a"\nrecipe = "RECIPE"\nlayer = 6', "layer"),
        ('[[run]]\nname = "a"\nrecipe = "nowhere.toml"', "no recipe nowhere.toml"),
        ('[[run]]\nname = "a/b"\nrecipe = "RECIPE"', "letters"),
        ('[[run]]\nname = 3\nrecipe = "RECIPE"', "type str"),
        ('[[run]]\nname = "a"\nrecipe = "RECIPE"\nencoder = 3', "encoder = 3 must be of type str"),
        ('[[run]]\nname = "a"\nrecipe = "RECIPE"\nset = 3', "set = 3 must be of type dict"),
        ('[[run]]\nname = "a"\nrecipe = "RECIPE"\nseeds = [1, 1]', "twice"),
        ('[[run]]\nname = "a"\nrecipe = "RECIPE"\nseeds = []', "list of integers"),
        ('[[run]]\nname = "a"\nrecipe = "RECIPE"\ninit = "run:b"', "no earlier run"),
    ],
)
def test_a_bad_queue_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        experiments.read_queue(write_queue(tmp_path, text.replace("RECIPE", "configs/base.toml")))
    assert "queue.toml" in str(error.value)


def test_a_half_is_told_by_the_number_in_the_id(gold_folder: Path, tmp_path: Path) -> None:
    odd = sound_documents(experiments.half(str(gold_folder), 1, tmp_path / "odd.jsonl"))
    even = sound_documents(experiments.half(str(gold_folder), 0, tmp_path / "even.jsonl"))
    assert [d.id for d in odd] == ["t1", "t3", "t5", "t7"]
    assert [d.id for d in even] == ["t2", "t4", "t6", "t8"]


def test_the_queue_trains_scores_goes_on_and_survives_a_failing_run(
    tmp_path: Path, encoder_folder: Path, gold_folder: Path, call: Callable[..., Ran]
) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    shared = f'recipe = "{tmp_path}/tiny.toml"\ntrain = "{gold_folder}"\n'
    queue = write_queue(
        tmp_path,
        f'[[run]]\nname = "lost"\n{shared}init = "{tmp_path}/nowhere"\n'
        f'[[run]]\nname = "orphan"\n{shared}init = "run:lost"\n'
        f'[[run]]\nname = "good"\n{shared}encoder = "{encoder_folder}"\nset = {{ epochs = 2 }}\nprediction = "it runs"\n'
        f'[[run]]\nname = "more"\n{shared}init = "run:good"\n',
    )
    output = tmp_path / "out"
    ran = call(experiments.main, queue, "--output", output, "--dev", gold_folder, "--jobs", 2)
    assert ran.code == 1
    assert "nowhere" in (output / "lost-1" / "log.txt").read_text()
    assert "orphan-1 failed: lost-1, which it starts from, has not been trained" in ran.err
    row = json.loads((output / "good-1" / "row.json").read_text())
    assert row["run"]["epochs"] == 2
    assert row["prediction"] == "it runs"
    assert list(row["figures"]) == ["dev"]
    more = json.loads((output / "more-1" / "row.json").read_text())
    assert more["run"]["base_model"] == str(output / "good-1")
    table = (output / "table.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == ["| good", "| more"]
    better = "good-1" if row["figures"]["dev"]["Rel+"][0] >= more["figures"]["dev"]["Rel+"][0] else "more-1"
    weights = "model.safetensors"
    assert (output / "best" / weights).read_bytes() == (output / better / weights).read_bytes()
    before = {name: (output / name / weights).stat().st_mtime_ns for name in ("good-1", "more-1")}
    call(experiments.main, queue, "--output", output, "--dev", gold_folder, "--real", gold_folder)
    assert before == {name: (output / name / weights).stat().st_mtime_ns for name in before}, "nothing is trained twice"
    row = json.loads((output / "good-1" / "row.json").read_text())
    assert row["figures"]["real odd"]["documents"] == 4, "a new column is scored"
    (tmp_path / "tiny.toml").write_text(RECIPE.replace("mention_size = 32", "mention_size = 16"))
    (output / "more-1" / "row.json").unlink()
    ran = call(experiments.main, queue, "--output", output, "--dev", gold_folder)
    assert "more-1 failed: its settings are not those that it was begun with" in ran.err


# ANERcorp -------------------------------------------------------------------------------------------------------------


def columns(*sentences: str) -> str:
    """Lines of tokens and tags from ``token/TAG token …``; no tag is O."""
    return "\n".join("\n".join(f"{t.split('/')[0]} {(t + '/O').split('/')[1]}" for t in s.split()) + "\n" for s in sentences)


def test_a_plain_tagger_learns_the_types_of_anercorp(tmp_path: Path, encoder_folder: Path, call: Callable[..., Ran]) -> None:
    sentences = ["زار سمير/B-PERS خليل/I-PERS دمشق/B-LOC .", "نفى حزب/B-ORG النور/I-ORG ذلك", "قال سمير/B-PERS في دمشق/B-LOC"]
    (tmp_path / "train.txt").write_text(columns(*sentences * 10))
    (tmp_path / "test.txt").write_text(columns(*sentences))
    recipe = tmp_path / "tiny.toml"
    rates = "encoder_learning_rate = 1e-3\nhead_learning_rate = 2e-3\n"
    recipe.write_text(f"epochs = 40\nevaluate_from = 40\nbatch_size = 4\nwindow = 128\n{rates}")
    output = tmp_path / "out"
    ran = call(anercorp.main, tmp_path, "--output", output, "--recipe", recipe, "--encoder", encoder_folder)
    assert ran.code == 0, ran.err
    results = json.loads((output / "anercorp.json").read_text())
    assert (results["training_sentences"], results["test_sentences"]) == (27, 3)
    assert results[ENTITIES]["f1"] == 1.0
    assert results[ENTITIES]["types"]["PERS"]["gold"] == 2
    record = trained_model(str(output))[0].config
    assert (record.entity_types, record.relations) == (anercorp.TYPES, [])


def test_the_encoder_of_a_trained_model_is_taken(
    tmp_path: Path, encoder_folder: Path, run_folder: Path, call: Callable[..., Ran]
) -> None:
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_text(columns(*["زار سمير/B-PERS دمشق/B-LOC"] * 10))
    recipe = tmp_path / "tiny.toml"
    recipe.write_text("epochs = 1\nencoder_learning_rate = 0.0\nwindow = 128\n")
    options = ("--recipe", recipe, "--encoder", encoder_folder, "--init", run_folder)
    assert call(anercorp.main, tmp_path, "--output", tmp_path / "out", *options).code == 0
    ours, theirs = (trained_model(str(folder))[0].encoder.state_dict() for folder in (tmp_path / "out", run_folder))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(("line", "message"), [("دمشق B-GPE", "unknown type GPE"), ("دمشق", "one column")])
def test_bad_columns_are_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "train.txt").write_text(columns("زار دمشق/B-LOC") + f"\n{line}\n")
    with pytest.raises(ValueError, match=f"train.txt, sentence 2: {message}"):
        anercorp.sentences(tmp_path / "train.txt")
