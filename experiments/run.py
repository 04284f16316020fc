"""Runs a queue of experiments unattended: a list of configs in, a table and the best weights out.

    python experiments/run.py experiments/queue.toml --output runs/experiments
    python experiments/run.py experiments/queue.toml --output runs/experiments --jobs 4 --real ../shared/real_dev

A queue is a TOML file of [[run]] tables:

    name         of the run; each seed of it is a row of the table
    recipe       the config file that train.py reads
    set          settings that replace the recipe's (optional)
    seeds        default [1]
    train        documents to train on (optional)
    documents    train on so many of them (optional)
    encoder      a folder or hub id (optional)
    init         start from a trained model: a folder, or "run:NAME" for the same seed of an earlier run (optional)
    prediction   what is expected, written before the run

Each run trains in OUTPUT/NAME-SEED by train.py and is scored on the corpus's development documents; --real DIR adds the
documents of that folder with odd numbers in their ids, --even those with even numbers (for milestones only). What has
been trained is not trained again and what has been scored is not scored again; a run that was cut off goes on from its
last checkpoint; one that fails does not stop the others, and the exit code is 1. OUTPUT/table.md is written anew after
each run; OUTPUT/best is a copy of the run with the best Rel+ on the development documents, whatever its other figures.
A name stands for one thing: if a run's settings change, give it another.
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
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data.formats import sound_documents, write_documents  # noqa: E402

logger = logging.getLogger("experiments")
TEXTS = ("name", "recipe", "train", "encoder", "init", "prediction")
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

    @property
    def before(self) -> str | None:
        """The folder of the run that it starts from, if it starts from one."""
        return f"{self.init[4:]}-{self.seed}" if self.init and self.init.startswith("run:") else None


def read_queue(path: Path) -> list[Run]:
    """Runs of a queue, a seed each, in order.

    Raises:
        ValueError: No TOML, an unknown or missing key, a value of another type, a recipe that does not exist, a name given
            twice, or ``run:NAME`` that comes later or never.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not TOML: {error}") from error
    if set(tables) != {"run"} or not isinstance(tables["run"], list):
        raise ValueError(f"{path}: a queue is a list of [[run]] tables and nothing else")
    runs: list[Run] = []
    for table in tables["run"]:
        where = f"{path}: [[run]] {table.get('name', '?')}"
        seeds = table.pop("seeds", [1])
        for key, kind in {"set": dict, "documents": int, **dict.fromkeys(TEXTS, str)}.items():
            if key in table and not isinstance(table[key], kind):
                raise ValueError(f"{where}: {key} = {table[key]!r} must be of type {kind.__name__}")
        if not isinstance(seeds, list) or not seeds or not all(isinstance(seed, int) for seed in seeds):
            raise ValueError(f"{where}: seeds = {seeds!r} must be a list of integers")
        for seed in seeds:
            try:
                run = Run(**table, seed=seed)
            except TypeError as error:
                raise ValueError(f"{where}: {str(error).split('() ')[-1]}") from error
            if not re.fullmatch(r"[\w.-]+", run.name):
                raise ValueError(f"{where}: a name has letters, digits, '.', '_' and '-' only")
            if not (ROOT / run.recipe).is_file():
                raise ValueError(f"{where}: there is no recipe {run.recipe}")
            if any(run.folder == other.folder for other in runs):
                raise ValueError(f"{where}: seed {seed} stands twice")
            if run.before and run.before not in {other.folder for other in runs}:
                raise ValueError(f"{where}: init = {run.init!r} is no earlier run with seed {seed}")
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
        self.ended = {run.folder: threading.Event() for run in runs}

    def row(self, run: Run) -> dict[str, Any]:
        """What is known of a run: ``figures`` by column, once trained also ``run`` and ``commit``."""
        path = self.output / run.folder / "row.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"figures": {}}

    def complete(self, run: Run) -> bool:
        """Whether it is trained and scored on everything."""
        return self.gold.keys() <= self.row(run)["figures"].keys()

    def execute(self, run: Run) -> None:
        """Trains (or goes on training) and scores one run and renews the table; what fails is logged."""
        try:
            if not self.complete(run):
                if run.before:
                    self.ended[run.before].wait()
                self._train_and_score(run)
            with self.lock:
                self.summarise()
        except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
            logger.error("%s failed: %s; see %s", run.folder, error, self.output / run.folder / "log.txt")
        finally:
            self.ended[run.folder].set()

    def _train_and_score(self, run: Run) -> None:
        folder = self.output / run.folder
        folder.mkdir(parents=True, exist_ok=True)
        settings = tomllib.loads((ROOT / run.recipe).read_text(encoding="utf-8"))
        recipe = folder / "recipe.toml"
        text = _toml({**settings, **run.set, "seed": run.seed})
        if recipe.exists() and recipe.read_text(encoding="utf-8") != text:
            raise ValueError("its settings are not those that it was begun with; give it another name")
        recipe.write_text(text, encoding="utf-8")
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            row = self.row(run)
            if "run" not in row:
                commit = _commit()
                self._call(self._training(run, recipe), log)
                known = json.loads((folder / "run.json").read_text(encoding="utf-8"))
                row |= {"prediction": run.prediction, "run": known, "commit": commit}
                _write(folder / "row.json", json.dumps(row, ensure_ascii=False, indent=2) + "\n")
            for name, gold in self.gold.items():
                if name in row["figures"]:
                    continue
                scores = folder / f"scores-{name.replace(' ', '-')}.json"
                self._call(["evaluate.py", gold, "--model", str(folder), "--json", str(scores)], log)
                results = json.loads(scores.read_text(encoding="utf-8"))
                row["figures"][name] = {
                    short: [results[long]["f1"], *results[long]["interval"]] for short, long in FIGURES.items()
                } | {"documents": results["documents"]}
                _write(folder / "row.json", json.dumps(row, ensure_ascii=False, indent=2) + "\n")

    def _training(self, run: Run, recipe: Path) -> list[str]:
        """The command line of its training.

        Raises:
            ValueError: The run that it starts from has not been trained.
        """
        folder = self.output / run.folder
        init = run.init
        if run.before:
            init = str(self.output / run.before)
            if not (self.output / run.before / "run.json").exists():
                raise ValueError(f"{run.before}, which it starts from, has not been trained")
        command = ["train.py", str(recipe), "--output", str(folder), "--dev", next(iter(self.gold.values()))]
        for option, value in (
            ("--train", run.train), ("--documents", run.documents), ("--encoder", run.encoder), ("--init", init)
        ):  # fmt: skip
            command += [option, str(value)] if value is not None else []
        return [*command, "--resume"] if any((folder / "checkpoints").glob("checkpoint-*")) else command

    @staticmethod
    def _call(command: list[str], log: Any) -> None:
        subprocess.run([sys.executable, *command], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=True)

    def summarise(self) -> None:
        """Writes OUTPUT/table.md and OUTPUT/best from the rows that there are."""
        rows = [(run, self.row(run)) for run in self.runs if self.complete(run)]
        if not rows:
            return
        heads = [f"{name}: {figure}" for name in self.gold for figure in FIGURES]
        lines = [
            "| " + " | ".join(["run", "seed", "documents", *heads, "minutes", "commit"]) + " |",
            "|" + "---|" * (len(heads) + 5),
        ]
        for run, row in rows:
            figures = [row["figures"][name][figure] for name in self.gold for figure in FIGURES]
            cells = [f"{f1:.3f} [{low:.3f}, {high:.3f}]" for f1, low, high in figures]
            known = row["run"]
            facts = [run.name, str(run.seed), str(known["training_documents"])]
            minutes = f"{known['minutes_since_last_start']:.0f}"
            lines.append("| " + " | ".join([*facts, *cells, minutes, row["commit"]]) + " |")
        _write(self.output / "table.md", "\n".join(lines) + "\n")
        first = next(iter(self.gold))
        best = max(rows, key=lambda pair: float(pair[1]["figures"][first]["Rel+"][0]))[0]
        fresh = self.output / "best.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(self.output / best.folder, fresh, ignore=shutil.ignore_patterns("checkpoints", "log.txt"))
        shutil.rmtree(self.output / "best", ignore_errors=True)
        fresh.rename(self.output / "best")
        logger.info("best of %d on %s: %s", len(rows), first, best.folder)


def _write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


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
    """Writes the documents whose number in their id is odd (``parity`` 1) or even (0) to a JSONL file; returns its path.

    Raises:
        ValueError: An id without a number, or no such document.
    """
    documents = sound_documents(source)
    numbers = [re.search(r"\d+", document.id) for document in documents]
    if not all(numbers):
        raise ValueError(f"{source}: every id must hold a number, which says to which half the document belongs")
    chosen = [d for d, number in zip(documents, numbers, strict=True) if number and int(number[0]) % 2 == parity]
    if not chosen:
        raise ValueError(f"{source}: no document has an {'odd' if parity else 'even'} number")
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
    if options.jobs < 1 or (options.even and not options.real):
        parser.error("--jobs is at least 1; --even goes with --real")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        gold = {"dev": str(Path(options.dev).resolve()) if Path(options.dev).exists() else options.dev}
        if options.real:
            for name, parity in [("real odd", 1)] + [("real even", 0)] * options.even:
                gold[name] = half(options.real, parity, options.output.resolve() / f"{name.replace(' ', '-')}.jsonl")
        queue = Queue(read_queue(options.queue), options.output.resolve(), gold)
    except (OSError, ValueError) as error:
        logger.error("%s", error)
        return 1
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(queue.execute, queue.runs))
    return int(not all(queue.complete(run) for run in queue.runs))


if __name__ == "__main__":
    sys.exit(main())
