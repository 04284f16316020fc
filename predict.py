"""Reads Arabic news and writes who did what to whom.

    python predict.py article.txt
    python predict.py articles/ more.jsonl --output found.jsonl
    cat article.txt | python predict.py --output found.jsonl

INPUT is text files, folders of .txt and .jsonl files, JSONL with a field text (and id, date; other fields are kept), or
standard input where none is named. OUTPUT is JSONL, one document a line (see data/formats); it is written beside its
place and moved there when complete, so that a run that was killed leaves nothing half done. Without --output the result
goes to standard output: a summary on a terminal, JSONL elsewhere. A document that cannot be read is named on standard
error, the others are done, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
import transformers
from tqdm import tqdm

from data.formats import Problem, to_json
from data.inputs import read_inputs
from data.prediction import predict
from data.report import summary
from data.schema import Document
from data.training import trained_model
from model.decoding import Annotator

logger = logging.getLogger("predict")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="text files, folders, JSONL files; none: standard input")
    parser.add_argument("--output", type=Path, metavar="OUT", help="JSONL file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--model", default="model", help="folder or hub id (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=8, help="windows in a batch (default: %(default)s)")
    parser.add_argument("--min-score", type=float, default=0.0, help="leave out relations that score less (0 to 1)")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if options.output is not None and options.output.exists() and not options.overwrite:
        logger.error("%s exists; name another --output, or replace it with --overwrite", options.output)
        return 1
    if options.output is not None and not options.output.parent.is_dir():
        logger.error("%s: there is no folder %s; make it first", options.output, options.output.parent)
        return 1
    try:
        model, tokenizer = trained_model(options.model)
        model.to(options.device).eval()
    except (OSError, ValueError, RuntimeError) as error:
        logger.error("--model %s cannot be used: %s", options.model, error)
        return 1
    annotator = Annotator(model, tokenizer, batch_size=options.batch_size, min_score=options.min_score)
    failures = 0

    def documents() -> Iterator[Document]:
        nonlocal failures
        for document in tqdm(read_inputs(options.inputs), unit=" documents", disable=None, file=sys.stderr):
            if isinstance(document, Problem):
                failures += 1
                tqdm.write(str(document), file=sys.stderr)
            else:
                yield document

    found = (_signed(document, options.model) for document in predict(annotator, documents()))
    if options.output is None:
        for document in found:
            print(summary(document) if sys.stdout.isatty() else _line(document))
    else:
        part = options.output.with_name(f".{options.output.name}.part")
        try:
            with open(part, "w", encoding="utf-8", newline="\n") as file:
                for document in found:
                    file.write(_line(document) + "\n")
            part.replace(options.output)
        finally:
            part.unlink(missing_ok=True)
    if failures:
        logger.error("%d documents could not be read; the others are done", failures)
    return 1 if failures else 0


def _signed(document: Document, model: str) -> Document:
    return replace(document, fields={**document.fields, "model": model})


def _line(document: Document) -> str:
    return json.dumps(to_json(document), ensure_ascii=False)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    sys.exit(main())
