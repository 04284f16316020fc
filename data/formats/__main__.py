"""Converts and checks annotated documents.

    python -m data.formats validate MINE
    python -m data.formats convert MINE mine.jsonl
    python -m data.formats convert predictions.jsonl brat-folder --to brat --lossy

Formats: markup (a folder of .txt), jsonl (ours), brat (a folder of .txt and .ann), label-studio (.json), doccano (.jsonl),
conll (.conll). A path's suffix says which, unless --from or --to does. doccano's
files must be named as such, since .jsonl is ours. Problems go to standard error, each with file, line where there is one,
and id; what has one is left out, the rest goes on, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from data.formats.files import FORMATS, read_documents, write_documents
from data.formats.problems import FormatError, Problem
from data.schema import Document

logger = logging.getLogger("formats")


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m data.formats", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    convert = commands.add_parser("convert", help="write documents in another format")
    validate = commands.add_parser("validate", help="check documents against the schema")
    for command in (convert, validate):
        command.add_argument("source", metavar="IN", help="file or folder")
        command.add_argument("--from", dest="source_format", choices=FORMATS, help="format of IN")
    convert.add_argument("target", metavar="OUT", type=Path, help="file or folder, which must be new")
    convert.add_argument("--to", dest="target_format", choices=FORMATS, help="format of OUT")
    convert.add_argument("--lossy", action="store_true", help="write what OUT's format can hold, and say what it cannot")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    problems = 0
    count = 0

    def sound() -> Iterator[Document]:
        nonlocal problems, count
        for document in read_documents(options.source, format=options.source_format):
            if isinstance(document, Problem):
                problems += 1
                logger.error("%s", document)
            else:
                count += 1
                yield document

    try:
        if options.command == "validate":
            for _ in sound():
                pass
            logger.info("%d sound documents, %d problems", count, problems)
        else:
            left_out, losses = write_documents(sound(), options.target, format=options.target_format, lossy=options.lossy)
            for problem in (*left_out, *losses):
                logger.error("%s", problem)
            problems += len(left_out)
    except (OSError, ValueError, FormatError) as error:
        logger.error("%s", error)
        return 1
    if not count and not problems:
        logger.error("%s: no documents in it", options.source)
        return 1
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main())
