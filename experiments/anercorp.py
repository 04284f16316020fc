"""Trains and scores a plain tagger on ANERcorp, with our code and an encoder of ours, beside published figures.

    python experiments/anercorp.py ../shared/benchmarks/anercorp --output runs/anercorp
    python experiments/anercorp.py ../shared/benchmarks/anercorp --init model --output runs/anercorp-init

The folder holds train.txt and test.txt, a token and its IOB2 tag a line (Benajiba, Rosso and Benedí 2007). Each sentence
is a document by itself. Every tenth sentence of train.txt is kept for choosing the epoch and the temperature; test.txt
is scored once, at the end. Printed and written to OUTPUT/anercorp.json: strict entity F1 with its interval over
sentences, and by type. With --init the encoder's weights are those of a trained Khabar model. The tagger is a plain
Khabar folder for predict.py, but no part of the released model.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data.formats.conll import from_conll  # noqa: E402
from data.hub import export  # noqa: E402
from data.prediction import predict  # noqa: E402
from data.schema import Document  # noqa: E402
from data.scoring import ENTITIES, score  # noqa: E402
from data.training import Recipe, new_model, train, trained_model  # noqa: E402
from model.decoding import Annotator  # noqa: E402

logger = logging.getLogger("anercorp")
TYPES = ["PERS", "LOC", "ORG", "MISC"]


def sentences(path: Path) -> list[Document]:
    """Each sentence of a file of columns as a document.

    Raises:
        OSError: It cannot be read.
        ValueError: A line is no token with its tag, or a type is not among ``TYPES``.
    """
    documents = []
    for number, block in enumerate(path.read_text(encoding="utf-8").split("\n\n"), 1):
        if not block.strip():
            continue
        try:
            document = from_conll(block.split("\n"), id=f"{path.stem}:{number}")
        except ValueError as error:
            raise ValueError(f"{path}, sentence {number}: {error}") from error
        unknown = {m.type for m in document.mentions} - set(TYPES)
        if unknown:
            raise ValueError(f"{path}, sentence {number}: unknown type {', '.join(sorted(unknown))}")
        documents.append(document)
    return documents


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with train.txt and test.txt")
    parser.add_argument("--output", type=Path, required=True, help="run folder")
    parser.add_argument("--recipe", type=Path, default=ROOT / "configs" / "anercorp.toml", help="default: %(default)s")
    parser.add_argument("--encoder", default="encoder", help="encoder folder or hub id (default: %(default)s)")
    parser.add_argument("--init", help="take the encoder's weights from this trained model")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUTPUT/checkpoints")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        recipe = Recipe.read(options.recipe)
        training, test = sentences(options.corpus / "train.txt"), sentences(options.corpus / "test.txt")
        kept = training[9::10]
        training = [document for i, document in enumerate(training) if i % 10 != 9]
        model, tokenizer = new_model(options.encoder, recipe, labels={"entity_types": TYPES})
        if options.init:
            model.encoder.load_state_dict(trained_model(options.init)[0].encoder.state_dict())
        train(training, kept, model, tokenizer, recipe, checkpoints=options.output / "checkpoints", resume=options.resume)
    except (OSError, ValueError, RuntimeError) as error:
        logger.error("%s", error)
        return 1
    export(model, tokenizer, options.output, run={"recipe": options.recipe.name, "encoder": options.init or options.encoder})
    scores = score(test, list(predict(Annotator(model, tokenizer), test)))
    results = {"training_sentences": len(training), "test_sentences": len(test), ENTITIES: scores.to_json()[ENTITIES]}
    (options.output / "anercorp.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
