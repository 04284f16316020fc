"""The queue of experiments: what it reads, and that it trains, scores, goes on and survives a failing run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from experiments import run as experiments

RECIPE = "epochs = 1\nbatch_size = 2\nlayers = 1\nwindow = 128\nmention_size = 32\n"


def write_queue(folder: Path, text: str) -> Path:
    path = folder / "queue.toml"
    path.write_text(text)
    return path


def test_a_queue_is_read_a_seed_a_run(tmp_path: Path) -> None:
    text = '[[run]]\nname = "a"\nrecipe = "r.toml"\nseeds = [1, 2]\nset = { layers = 6 }\n'
    text += '[[run]]\nname = "b"\nrecipe = "r.toml"\nseeds = [2]\ninit = "run:a"\ndocuments = 9\n'
    runs = experiments.read_queue(write_queue(tmp_path, text))
    assert [run.folder for run in runs] == ["a-1", "a-2", "b-2"]
    assert runs[1].set == {"layers": 6}
    assert runs[2].documents == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[run", "not TOML"),
        ("runs = []", "nothing else"),
        ('[[run]]\nname = "a"', "recipe"),
        ('[[run]]\nname = "a"\nrecipe = "r"\nlayer = 6', "layer"),
        ('[[run]]\nname = "a/b"\nrecipe = "r"', "letters"),
        ('[[run]]\nname = "a"\nrecipe = "r"\nseeds = [1, 1]', "twice"),
        ('[[run]]\nname = "a"\nrecipe = "r"\ninit = "run:b"', "no earlier run"),
    ],
)
def test_a_bad_queue_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        experiments.read_queue(write_queue(tmp_path, text))
    assert "queue.toml" in str(error.value)


def test_the_queue_trains_scores_and_survives_a_failing_run(
    tmp_path: Path, encoder_folder: Path, gold_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    shared = f'recipe = "{tmp_path}/tiny.toml"\ntrain = "{gold_folder}"\n'
    queue = write_queue(
        tmp_path,
        f'[[run]]\nname = "lost"\n{shared}init = "{tmp_path}/nowhere"\n'
        f'[[run]]\nname = "good"\n{shared}encoder = "{encoder_folder}"\nset = {{ epochs = 2 }}\nprediction = "it runs"\n',
    )
    output = tmp_path / "out"
    arguments = ["run.py", str(queue), "--output", str(output), "--dev", str(gold_folder), "--real", str(gold_folder)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert experiments.main() == 1  # one run is missing its row
    assert not (output / "lost-1" / "row.json").exists()
    assert "nowhere" in (output / "lost-1" / "log.txt").read_text()
    row = json.loads((output / "good-1" / "row.json").read_text())
    assert row["run"]["epochs"] == 2
    assert row["prediction"] == "it runs"
    assert row["figures"]["dev"]["documents"] == 8
    assert row["figures"]["real odd"]["documents"] == 4
    table = (output / "table.md").read_text().splitlines()
    assert len(table) == 3
    assert table[2].startswith("| good | 1 |")
    assert (output / "best" / "model.safetensors").read_bytes() == (output / "good-1" / "model.safetensors").read_bytes()
    before = (output / "good-1" / "model.safetensors").stat().st_mtime_ns
    assert experiments.main() == 1
    assert (output / "good-1" / "model.safetensors").stat().st_mtime_ns == before, "a run with its row is not run again"
