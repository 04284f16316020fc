"""The queue of experiments: what it reads, and that it trains, scores, goes on and survives a failing run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Ran

from data.formats import sound_documents
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
