"""What more documents bring: scores of runs that differ in their number of training documents, as a figure and a table.

    python -m data.learning_curve runs/curve-150 runs/curve-400 runs/curve-all --output data/learning_curve.svg

Each run folder holds what train.py and ``evaluate.py --record`` wrote: run.json and results.json. Matplotlib is needed,
which ``pip install -e '.[dev]'`` brings.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from data.scoring import ENTITIES, REL_PLUS

METRICS = (ENTITIES, REL_PLUS)


@dataclass(frozen=True)
class Point:
    """One run: its number of training documents, how it was trained, and its results by set of documents."""

    documents: int
    run: dict[str, Any]
    results: dict[str, Any]


def read_points(folders: Sequence[Path]) -> list[Point]:
    """The runs, smallest first.

    Raises:
        ValueError: A folder without run.json or results.json.
    """
    points = []
    for folder in folders:
        missing = [name for name in ("run.json", "results.json") if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"{folder}: lacks {', '.join(missing)}; train.py and evaluate.py --record write them")
        run, results = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("run.json", "results.json"))
        points.append(Point(int(run["training_documents"]), run, results))
    return sorted(points, key=lambda point: point.documents)


def curve_table(points: Sequence[Point]) -> str:
    """A Markdown table, a row a run: F1 with its 95% interval."""
    sets = list(points[0].results)
    columns = [f"{name}: {metric}" for name in sets for metric in METRICS]
    rows = ["| training documents | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for point in points:
        cells = []
        for name in sets:
            for metric in METRICS:
                found = point.results[name][metric]
                cells.append("{:.3f} [{:.3f}, {:.3f}]".format(found["f1"], *found["interval"]))
        rows.append(f"| {point.documents} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def draw(points: Sequence[Point], output: Path) -> None:
    """Draws F1 over training documents, a panel a metric, a line a set of documents, bars for the intervals."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "khabar"  # the same figure, byte for byte, for the same numbers
    figure, panels = plt.subplots(1, len(METRICS), figsize=(9, 3.6), layout="constrained")
    sizes = [point.documents for point in points]
    for panel, metric in zip(panels, METRICS, strict=True):
        for name, style in zip(points[0].results, cycle(("o-", "s--", "^:")), strict=False):
            found = [point.results[name][metric] for point in points]
            values = [result["f1"] for result in found]
            below = [value - result["interval"][0] for value, result in zip(values, found, strict=True)]
            above = [result["interval"][1] - value for value, result in zip(values, found, strict=True)]
            panel.errorbar(sizes, values, yerr=[below, above], fmt=style, capsize=3, label=name)
        panel.set(title=metric, xlabel="training documents", ylabel="F1", xticks=sizes, xlim=(0, max(sizes) * 1.08))
        panel.grid(alpha=0.3)
        panel.legend(loc="lower right")
    figure.savefig(output, format="svg", metadata={"Date": None})
    plt.close(figure)


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m data.learning_curve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    parser.add_argument("--output", type=Path, default=Path("data/learning_curve.svg"), help="figure (default: %(default)s)")
    options = parser.parse_args()
    try:
        points = read_points(options.runs)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    draw(points, options.output)
    print(curve_table(points))
    return 0


if __name__ == "__main__":
    sys.exit(main())
