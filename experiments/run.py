"""Runs a queue of experiments unattended: a list of configs in, a table and the best weights out.

    python experiments/run.py experiments/queue.toml --output runs/experiments
    python experiments/run.py experiments/queue.toml --output runs/experiments --jobs 4 --real ../shared/real_dev

A queue is a TOML file of [[run]] tables:

    name         of the run; each seed of it is a row of the table
    recipe       the config file that train.py reads
    set          settings that replace the recipe's (optional)
    seeds        default [1]
    train        documents to train on, documents    so many of them, encoder    a folder or hub id (optional)
    init         start from a trained model: a folder, or "run:NAME" for the same seed of an earlier run (optional)
    prediction   what is expected, written before the run

Each run trains in OUTPUT/NAME-SEED by train.py and is scored on the corpus's development documents; --real DIR adds the
files of that folder with odd numbers in their names, --even those with even numbers (for milestones only). A run that
has its row is not run again, one that was cut off goes on from its last checkpoint, one that fails does not stop the
others. OUTPUT/table.md is written anew after each run; OUTPUT/best is a copy of the run with the best Rel+ on the
development documents, whatever its figures on other data.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data.formats import sound_documents, write_documents  # noqa: E402

logger = logging.getLogger("experiments")
FIGURES = {"entities": "entities (characters, strict)", "Rel+": "Rel+", "with factuality": "Rel+ with factuality"}


@dataclass(frozen=True)
class Run:
    """One [[run]] of a queue with one seed; see the module's docstring."""

    name: str
    recipe: str
    seed: int
    set: dict[str, Any] = field(default_factory=dict)
    train: str | None = None
    documents: int | None = None
    encoder: str | None = None
    init: str | None = None
    prediction: str = ""

    @property
    def folder(self) -> str:
        """Its name below OUTPUT."""
        return f"{self.name}-{self.seed}"


def read_queue(path: Path) -> list[Run]:
    """Runs of a queue, a seed each, in order.

    Raises:
        ValueError: No TOML, an unknown or missing key, a name given twice, or ``run:NAME`` that comes later or never.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not TOML: {error}") from error
    if set(tables) != {"run"}:
        raise ValueError(f"{path}: a queue is a list of [[run]] tables and nothing else")
    runs: list[Run] = []
    for table in tables["run"]:
        seeds = table.pop("seeds", [1])
        for seed in seeds:
            try:
                run = Run(**table, seed=seed)
            except TypeError as error:
                raise ValueError(f"{path}: [[run]] {table.get('name', '?')}: {str(error).split('() ')[-1]}") from error
            if not re.fullmatch(r"[\w.-]+", run.name):
                raise ValueError(f"{path}: name {run.name!r}: letters, digits, '.', '_' and '-' only")
            if any(run.folder == other.folder for other in runs):
                raise ValueError(f"{path}: {run.name} with seed {seed} stands twice")
            if run.init and run.init.startswith("run:") and f"{run.init[4:]}-{seed}" not in {r.folder for r in runs}:
                raise ValueError(f"{path}: {run.name}: init = {run.init!r} is no earlier run with seed {seed}")
            runs.append(run)
    return runs


class Queue:
    """Trains and scores runs into one folder.

    Args:
        runs: From ``read_queue``.
        output: Folder for all of it.
        gold: Name of a column of the table → documents to score on; the first chooses the best run.
    """

    def __init__(self, runs: list[Run], output: Path, gold: dict[str, str]) -> None:
        self.runs = runs
        self.output = output
        self.gold = gold
        self.lock = threading.Lock()
        self.done = {run.folder: threading.Event() for run in runs}

    def row(self, run: Run) -> dict[str, Any] | None:
        """Its figures, or None if it has not been run to its end."""
        path = self.output / run.folder / "row.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def execute(self, run: Run) -> None:
        """Trains (or goes on training) and scores one run, and renews the table; never raises for a run that fails."""
        try:
            if self.row(run) is None:
                if run.init and run.init.startswith("run:"):
                    self.done[f"{run.init[4:]}-{run.seed}"].wait()
                self._train_and_score(run)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            logger.error("%s failed: %s; see %s", run.folder, error, self.output / run.folder / "log.txt")
        finally:
            self.done[run.folder].set()
        with self.lock:
            self.summarise()

    def _train_and_score(self, run: Run) -> None:
        folder = self.output / run.folder
        folder.mkdir(parents=True, exist_ok=True)
        settings = tomllib.loads((ROOT / run.recipe).read_text(encoding="utf-8"))
        recipe = folder / Path(run.recipe).name
        recipe.write_text(_toml({**settings, **run.set, "seed": run.seed}), encoding="utf-8")
        init = str(self.output / f"{run.init[4:]}-{run.seed}") if run.init and run.init.startswith("run:") else run.init
        command = ["train.py", str(recipe), "--output", str(folder), "--dev", next(iter(self.gold.values()))]
        for option, value in (
            ("--train", run.train), ("--documents", run.documents), ("--encoder", run.encoder), ("--init", init)
        ):  # fmt: skip
            command += [option, str(value)] if value is not None else []
        if any((folder / "checkpoints").glob("checkpoint-*")):
            command.append("--resume")
        started = time.monotonic()
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            self._call(command, log)
            figures = {}
            for name, gold in self.gold.items():
                scores = folder / f"scores-{re.sub(r'[^a-z]+', '-', name)}.json"
                self._call(["evaluate.py", gold, "--model", str(folder), "--json", str(scores)], log)
                results = json.loads(scores.read_text(encoding="utf-8"))
                figures[name] = {
                    **{short: [results[long]["f1"], *results[long]["interval"]] for short, long in FIGURES.items()},
                    "documents": results["documents"],
                }
        row = {
            "prediction": run.prediction,
            "run": json.loads((folder / "run.json").read_text(encoding="utf-8")),
            "minutes": round((time.monotonic() - started) / 60, 1),
            "commit": _commit(),
            "figures": figures,
        }
        (folder / "row.json").write_text(json.dumps(row, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def _call(command: list[str], log: Any) -> None:
        subprocess.run([sys.executable, *command], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=True)

    def summarise(self) -> None:
        """Writes OUTPUT/table.md and OUTPUT/best from the rows that there are."""
        rows = [(run, row) for run in self.runs if (row := self.row(run)) is not None]
        if not rows:
            return
        heads = [f"{name}: {figure}" for name in self.gold for figure in FIGURES]
        lines = [
            "| " + " | ".join(["run", "seed", "documents", *heads, "minutes", "commit"]) + " |",
            "|" + "---|" * (len(heads) + 5),
        ]
        for run, row in rows:
            cells = []
            for name in self.gold:
                for figure in FIGURES:
                    value = row["figures"].get(name, {}).get(figure)
                    cells.append(f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]" if value else "")
            facts = [run.name, str(run.seed), str(row["run"]["training_documents"])]
            lines.append("| " + " | ".join([*facts, *cells, f"{row['minutes']:.0f}", row["commit"]]) + " |")
        (self.output / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        first = next(iter(self.gold))
        best = max(rows, key=lambda pair: float(pair[1]["figures"][first]["Rel+"][0]))[0]
        target = self.output / "best"
        if not target.exists() or json.loads((target / "row.json").read_text()) != self.row(best):
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(self.output / best.folder, target, ignore=shutil.ignore_patterns("checkpoints", "log.txt"))
        logger.info("best of %d on %s: %s", len(rows), first, best.folder)


def _toml(settings: dict[str, Any]) -> str:
    lines = []
    for name, value in settings.items():
        if isinstance(value, dict):
            value = "{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + "}"
            lines.append(f"{name} = {value}")
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def _commit() -> str:
    called = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return called.stdout.strip() or "unknown"


def half(source: str, parity: int, target: Path) -> str:
    """Writes the documents whose number in their id is odd (``parity`` 1) or even (0) to a JSONL file; returns its path."""
    chosen = [d for d in sound_documents(source) if int(re.sub(r"\D", "", d.id) or 0) % 2 == parity]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    write_documents(chosen, str(target))
    return str(target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("queue", type=Path, help="TOML file of [[run]] tables")
    parser.add_argument("--output", type=Path, required=True, help="folder for runs, table and best weights")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: %(default)s)")
    parser.add_argument("--dev", default="data/corpus/dev", help="documents that choose (default: %(default)s)")
    parser.add_argument("--real", help="folder of real news to measure on as well: its odd-numbered files")
    parser.add_argument("--even", action="store_true", help="its even-numbered files too")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        gold = {"dev": options.dev}
        if options.real:
            for name, parity in [("real odd", 1)] + [("real even", 0)] * options.even:
                gold[name] = half(options.real, parity, options.output.resolve() / f"{name.replace(' ', '-')}.jsonl")
        queue = Queue(read_queue(options.queue), options.output.resolve(), gold)
    except (OSError, ValueError) as error:
        logger.error("%s", error)
        return 1
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(queue.execute, queue.runs))
    return int(any(queue.row(run) is None for run in queue.runs))


if __name__ == "__main__":
    sys.exit(main())
