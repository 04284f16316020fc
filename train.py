"""Trains a Khabar model: one config file a run.

    python train.py configs/base.toml --encoder encoder --output runs/base
    python train.py configs/base.toml --init model --train MINE.jsonl --output runs/mine
    accelerate launch --num_processes 2 train.py configs/base.toml --output runs/base

A new model needs an encoder: a folder that prepare_encoder.py wrote, or a hub id. --init starts from a trained model
instead, with its labels. Documents are files or folders in any format of data/formats, one or several after --train;
training stops at one that is not sound. The development documents choose the best epoch and set thresholds and
temperatures; without them (--dev none) the last weights are kept.

OUTPUT becomes a complete hub-ready folder: weights, config, tokenizer, code and card, ready for predict.py --model,
evaluate.py --model and publish.py --model. OUTPUT/checkpoints holds the Trainer's checkpoints; a run that was cut off
goes on with --resume and ends as if it had not been.

The same command trains on the CPU or on a GPU (in bf16 where it can); several GPUs need accelerate launch.
"""

from __future__ import annotations

import argparse
import logging
import platform
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import PartialState

from data.formats import sound_documents
from data.hub import export
from data.training import Recipe, new_model, train, trained_model

logger = logging.getLogger("train")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="a recipe, such as configs/base.toml")
    parser.add_argument("--output", type=Path, required=True, help="run folder")
    parser.add_argument(
        "--train", nargs="+", default=["data/corpus/train"], help="training documents (default: data/corpus/train)"
    )
    parser.add_argument("--documents", type=int, help="train on so many of them, drawn by the seed (for learning curves)")
    parser.add_argument("--dev", default="data/corpus/dev", help="development documents, or none (default: %(default)s)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--encoder", default="encoder", help="encoder folder or hub id (default: %(default)s)")
    start.add_argument("--init", help="trained model to go on from: folder or hub id")
    parser.add_argument("--seed", type=int, help="instead of the recipe's")
    parser.add_argument("--max-steps", type=int, default=-1, help="train so many steps, without development scores")
    parser.add_argument("--stop-after", type=int, help="leave off after this step with a checkpoint; --resume goes on")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUTPUT/checkpoints")
    options = parser.parse_args()
    main_process = PartialState().is_main_process
    logging.basicConfig(level=logging.INFO if main_process else logging.ERROR, format="%(asctime)s %(message)s")
    try:
        recipe = Recipe.read(options.config)
        if options.seed is not None:
            recipe = Recipe(**{**asdict(recipe), "seed": options.seed})
        training = [document for path in options.train for document in sound_documents(path)]
        development = sound_documents(options.dev) if options.dev != "none" else []
        if options.documents is not None:
            if not 0 < options.documents <= len(training):
                raise ValueError(f"--documents {options.documents}: there are {len(training)} training documents")
            # A prefix of one order, so that the larger sets hold the smaller ones.
            training = random.Random(recipe.seed).sample(training, len(training))[: options.documents]
        model, tokenizer = trained_model(options.init) if options.init else new_model(options.encoder, recipe)
        started = time.monotonic()
        train(
            training, development, model, tokenizer, recipe, checkpoints=options.output / "checkpoints",
            resume=options.resume, max_steps=options.max_steps, stop_after=options.stop_after,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        logger.error("%s", error)
        return 1
    if main_process and options.stop_after is None:
        run = {
            "base_model": options.init or model.config.encoder.get("base_model", options.encoder),
            "recipe": options.config.name,
            **asdict(recipe),
            "training_documents": len(training),
            "development_documents": len(development),
            "minutes_since_last_start": round((time.monotonic() - started) / 60, 1),
            "machine": _machine(),
            "torch": torch.__version__,
        }
        export(model, tokenizer, options.output, run=run)
        logger.info("wrote %s", options.output)
    return 0


def _machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU {platform.machine()}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    sys.exit(main())
