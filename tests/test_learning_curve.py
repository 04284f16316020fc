"""The figure and the table of scores over training documents."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from data import learning_curve
from data.scoring import ENTITIES, REL_PLUS


def run_folder(folder: Path, documents: int, f1: float) -> Path:
    folder.mkdir()
    metric = {"f1": f1, "interval": [f1 - 0.05, f1 + 0.04]}
    (folder / "run.json").write_text(json.dumps({"training_documents": documents}))
    results = {name: {ENTITIES: metric, REL_PLUS: metric} for name in ("corpus test", "real_dev")}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [run_folder(tmp_path / f"r{n}", n, f1) for n, f1 in ((400, 0.5), (150, 0.25))]


def test_the_command_prints_a_row_a_run_and_draws_them(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "curve.svg"
    monkeypatch.setattr(sys, "argv", ["learning_curve", *map(str, runs), "--output", str(output)])
    assert learning_curve.main() == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["150", "400"]
    assert rows[3].count("0.500 [0.450, 0.540]") == 4
    assert rows[0].count("corpus test") == rows[0].count("real_dev") == 2
    assert ElementTree.parse(output).getroot().tag.endswith("svg")
    first = output.read_bytes()
    assert learning_curve.main() == 0
    assert output.read_bytes() == first


def test_a_run_without_results_is_a_clear_error(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs[0] / "results.json").unlink()
    monkeypatch.setattr(sys, "argv", ["learning_curve", *map(str, runs), "--output", str(tmp_path / "a.svg")])
    assert learning_curve.main() == 1
    assert "r400: lacks results.json" in capsys.readouterr().err
    assert not (tmp_path / "a.svg").exists()
