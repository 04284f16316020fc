"""Scores a model on annotated documents.

    python evaluate.py data/corpus/test
    python evaluate.py data/corpus/test --json scores.json --errors errors.html

GOLD is a folder of markup or a JSONL file. Each document is scored as it stands and once more with its paragraph ends
replaced by spaces, so that nothing hangs on how the gold text was laid out. Printed: strict entity F1, Rel, Rel+ (also
with factuality, across sentences, and with gold entities), arguments, factuality, calibration, each micro and macro with
95% bootstrap intervals over documents, and by cause what gold no prediction can ever match. See data/scoring.py.

--record NAME writes the scores into the model folder, under that name, and renews its card.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers

from data.dataset import unreachable_gold
from data.formats import Problem, read_documents
from data.hub import record_results
from data.prediction import predict
from data.report import error_report
from data.schema import Document
from data.scoring import REL_PLUS, Scores, score, table, type_table
from data.training import trained_model
from model.decoding import Annotator

PROTOCOL = "strict boundaries and types; gold that the tagger missed counts as missed; bootstrap over documents"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gold", metavar="GOLD", help="folder of markup, or JSONL file")
    parser.add_argument("--model", default="model", help="folder or hub id (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores for programs")
    parser.add_argument("--errors", type=Path, metavar="FILE.html", help="write gold beside prediction, mistakes coloured")
    parser.add_argument("--record", metavar="NAME", help="keep the scores in the model folder and its card, under this name")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=8, help="windows in a batch (default: %(default)s)")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamplings of the documents (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    gold: list[Document] = []
    failed = False
    try:
        for document in read_documents(options.gold):
            if isinstance(document, Problem):
                logging.error("%s", document)
                failed = True
            else:
                gold.append(document)
        if not gold:
            raise ValueError(f"{options.gold}: no annotated document (.txt in markup, or .jsonl)")
        model, tokenizer = trained_model(options.model)
    except (OSError, ValueError) as error:
        logging.error("%s", error)
        return 1
    annotator = Annotator(model.to(options.device).eval(), tokenizer, batch_size=options.batch_size)

    def scored(documents: list[Document], **how: Any) -> tuple[Scores, list[Document]]:
        found = list(predict(annotator, documents, **how))
        return score(documents, found, bootstrap=options.bootstrap, seed=options.seed), found

    scores, predicted = scored(gold)
    running, _ = scored([replace(d, text=" ".join(d.text.split("\n")), sentences=()) for d in gold])
    given, _ = scored(gold, gold_mentions=True)
    causes = unreachable_gold(gold, tokenizer, model.config)
    print(table({"as it stands": scores, "paragraph ends as spaces": running, "gold entities given": given}))
    print(f"\n{type_table(scores)}\n\ngold that no prediction can match:")
    print("\n".join(f"  {count} × {cause}" for cause, count in causes.most_common()) or "  none")
    results = {
        "protocol": PROTOCOL,
        "bootstrap": {"samples": options.bootstrap, "seed": options.seed},
        **scores.to_json(),
        "Rel+ with gold entities": given.to_json()[REL_PLUS],
        "paragraph ends as spaces": running.to_json(),
        "unreachable gold": dict(causes),
    }
    if options.json:
        options.json.write_text(json.dumps(results, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if options.errors:
        options.errors.write_text(error_report(gold, predicted), encoding="utf-8")
    if options.record:
        record_results(Path(options.model), options.record, results)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
