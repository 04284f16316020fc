"""Runs of words that documents have in common with texts that they must not copy.

    python -m data.overlap data/corpus ../shared/news ../shared/real_dev

Compared are words, normalised and without punctuation, in runs of ten. Sources are folders or files of documents in our
formats and ``.jsonl.xz`` (fields title and text). Nothing of the sources is written anywhere.
"""

from __future__ import annotations

import json
import lzma
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.consistency import fold
from data.formats import Problem, read_documents, sound_documents
from data.schema import Document

RUN = 10


@dataclass(frozen=True)
class Overlap:
    """A run of words of ``document`` that stands in ``source`` too."""

    document: str
    source: str
    words: str


def overlaps(documents: Iterable[Document], sources: Iterable[tuple[str, str]], *, run: int = RUN) -> Iterator[Overlap]:
    """Runs of ``run`` words that a document shares with a source.

    Args:
        documents: What was written.
        sources: Names and texts of what it must not copy.
        run: Words in a run.
    """
    ours: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for document in documents:
        for words in runs(document.text, run):
            ours[words].append(document.id)
    for name, text in sources:
        for words in runs(text, run):
            for document_id in ours.get(words, ()):
                yield Overlap(document_id, name, " ".join(words))


def runs(text: str, run: int) -> Iterator[tuple[str, ...]]:
    """The runs of a text's lines."""
    for line in text.split("\n"):
        words = fold(line).split()
        for i in range(len(words) - run + 1):
            yield tuple(words[i : i + run])


def read_sources(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names and texts of all documents under some paths.

    Raises:
        ValueError: One that cannot be read.
    """
    for path in map(Path, paths):
        for file in sorted(path.rglob("*.jsonl.xz")) if path.is_dir() else [path]:
            if file.name.endswith(".jsonl.xz"):
                with lzma.open(file, "rt", encoding="utf-8") as handle:
                    for line in handle:
                        record = json.loads(line)
                        yield f"{file.name}:{record.get('id')}", f"{record.get('title') or ''}\n{record['text']}"
        if path.is_dir() or not path.name.endswith(".jsonl.xz"):
            for document in read_documents(path, validate=False):
                if isinstance(document, Problem):
                    raise ValueError(str(document))
                yield document.id, document.text


def main(path: str, sources: Sequence[str]) -> int:
    """Prints every run in common; the exit status is 1 if there is one."""
    documents = sound_documents(path)
    count = 0
    if not documents or not sources:
        raise ValueError("nothing to compare: name a folder of documents and the sources")
    for overlap in overlaps(documents, read_sources(sources)):
        print(f"{overlap.document}\t{overlap.source}\t{overlap.words}")
        count += 1
    print(f"{len(documents)} documents, {count} runs of {RUN} words in common with {', '.join(sources)}")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
