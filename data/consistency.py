"""Checks of a whole corpus beyond the schema: what is repeated, what is labelled in two ways, what may be unlabelled.

    python -m data.consistency data/corpus

A finding is not always a mistake (طرابلس is a place here and a government there). What a reader has looked at and found
right stands in ``data/corpus/reviewed.tsv``: the check, the finding's key, why. Printed, and an error in CI, is every
finding that is not there, and every line there that nothing finds any more.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer

from data.formats import Problem, read_documents
from data.schema import Document
from model.text import normalise, words

REVIEWED = "reviewed.tsv"
LONG_SENTENCE = 8
NEAR = 0.6
MANY = 3

CUES = {
    "ACCUSE": "اتهم",
    "ATTACK": "قصف هاجم استهدف أغار اقتحم",
    "CONDEMN": "أدان دان ندد استنكر شجب انتقد",
    "CONTROL": "سيطر استعاد استولى",
    "DEMAND": "طالب دعا دعت ناشد حث",
    "DETAIN": "اعتقل احتجز خطف اختطف أسر",
    "KILL": "قتل",
    "NEGOTIATE": "التقى تفاوض اجتمع",
    "PROTEST": "تظاهر اعتصم احتج",
    "RESTRICT": "منع أغلق حاصر طرد حظر",
    "SUPPORT": "دعم أيد ساند",
    "THREATEN": "هدد توعد",
    "WITHDRAW": "انسحب غادر نزح",
}
"""Verbs that nearly always say a relation of their type, looked for in their regular forms only."""

UNIT = re.compile(
    r"(?:ال)?(?:كتيبة|كتائب|لواء|ألوية|سرية|سرايا|فرقة|فوج|حركة|جبهة|جيش|ميليشيا|فصيل|تجمع|حزب|جماعة|عصابة|قوة|مجلس|غرفة)\s"
)


@dataclass(frozen=True)
class Finding:
    """One finding: ``check`` and ``key`` name it in the reviewed list, ``places`` say where it is."""

    check: str
    key: str
    places: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(self.places[:6]) + (" …" if len(self.places) > 6 else "")
        return f"{self.check}\t{self.key}\t{shown}"


def fold(text: str) -> str:
    """A text as these checks compare it: words normalised, forms of alif, ya and ta marbuta folded, punctuation dropped."""
    found = (normalise(text[a:b]) for a, b in words(text))
    folded = " ".join(word for word in found if word[:1].isalnum())
    return re.sub("[أإآٱ]", "ا", folded).replace("ى", "ي").replace("ة", "ه")


def repeated_sentences(documents: Sequence[Document]) -> Iterator[Finding]:
    """Sentences of eight words or more that occur twice."""
    places: dict[str, list[str]] = defaultdict(list)
    for document in documents:
        for i, sentence in enumerate(document.sentences, 1):
            folded = fold(document.text[sentence.start : sentence.end])
            if len(folded.split()) >= LONG_SENTENCE:
                places[folded].append(f"{document.id}:S{i}")
    yield from (Finding("sentence", key, tuple(where)) for key, where in places.items() if len(where) > 1)


def near_documents(documents: Sequence[Document]) -> Iterator[Finding]:
    """Pairs of documents whose words (TF-IDF, cosine) are closer than ``NEAR``."""
    if len(documents) < 2:
        return
    table = TfidfVectorizer(analyzer=str.split, sublinear_tf=True).fit_transform([fold(d.text) for d in documents])
    close = (table @ table.T).tocoo()
    for i, j, value in zip(close.row, close.col, close.data, strict=True):
        if i < j and value > NEAR:
            yield Finding("near", f"{documents[i].id} {documents[j].id}", (f"{value:.2f}",))


def types(documents: Sequence[Document]) -> Iterator[Finding]:
    """Mention strings that have two types."""
    places: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for document in documents:
        for mention in document.mentions:
            places[fold(document.surface(mention))][mention.type].append(f"{document.id}:{mention.id}")
    for surface, found in sorted(places.items()):
        if len(found) > 1:
            rare = sorted(found, key=lambda kind: len(found[kind]))
            shown = tuple(f"{kind} {len(found[kind])}: {' '.join(found[kind][:4])}" for kind in rare)
            yield Finding("types", f"{surface}: {' '.join(sorted(found))}", shown)


def silent_cues(documents: Sequence[Document]) -> Iterator[Finding]:
    """Sentences with a verb of ``CUES`` that hold no relation of its type, not even one that crosses to a neighbour."""
    forms: dict[str, tuple[str, str]] = {}
    for kind, verbs in CUES.items():
        for verb in map(fold, verbs.split()):
            rest = verb[1:] if verb[0] == "ا" else verb
            for stem in (verb, f"ي{rest}", f"ت{rest}"):
                for particle in ("", "و", "ف"):
                    for ending in ("", "ت", "وا"):
                        forms[particle + stem + ending] = (kind, verb)
    for document in documents:
        said: dict[int, set[str]] = defaultdict(set)
        for relation in document.relations:
            for place in document.relation_sentences(relation):
                said[place].add(relation.type)
        for i, sentence in enumerate(document.sentences):
            found = {forms[word] for word in fold(document.text[sentence.start : sentence.end]).split() if word in forms}
            for kind, verb in sorted(found):
                if kind not in said[i]:
                    yield Finding("cue", f"{document.id}:S{i + 1} {kind} {verb}", ())


def names(documents: Sequence[Document]) -> Iterator[Finding]:
    """Names of persons, places, installations and units in more than ``MANY`` documents: they must not be invented."""
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for document in documents:
        for mention in document.mentions:
            surface = document.surface(mention)
            if mention.type in ("PER", "LOC", "FAC") or (mention.type in ("ARM", "ORG") and UNIT.match(surface)):
                places[mention.type, fold(surface)].add(document.id)
    for (kind, surface), found in sorted(places.items()):
        if len(found) > MANY:
            yield Finding("name", f"{kind} {surface}", tuple(sorted(found)))


CHECKS = (repeated_sentences, near_documents, types, silent_cues, names)


def read_reviewed(file: Path) -> set[tuple[str, str]]:
    """Check and key of each line of a reviewed list.

    Raises:
        ValueError: A line without three columns, or one that occurs twice.
    """
    found: Counter[tuple[str, str]] = Counter()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        columns = line.split("\t")
        if len(columns) != 3 or not all(columns):
            raise ValueError(f"{file}:{number}: needs three columns, check, key and reason")
        found[columns[0], columns[1]] += 1
        if found[columns[0], columns[1]] > 1:
            raise ValueError(f"{file}:{number}: stands there twice")
    return set(found)


def findings(documents: Sequence[Document]) -> list[Finding]:
    """What all checks find."""
    return [finding for check in CHECKS for finding in check(documents)]


def unreviewed(found: Iterable[Finding], reviewed: set[tuple[str, str]]) -> tuple[list[Finding], list[tuple[str, str]]]:
    """Findings that are not reviewed, and reviewed lines that nothing finds."""
    found = list(found)
    known = {(finding.check, finding.key) for finding in found}
    return [f for f in found if (f.check, f.key) not in reviewed], sorted(reviewed - known)


def main(path: str) -> int:
    """Prints what is not reviewed; the exit status is 1 if there is anything."""
    documents = []
    failed = False
    for document in read_documents(path):
        if isinstance(document, Problem):
            print(document)
            failed = True
        else:
            documents.append(document)
    if not documents:
        print(f"{path}: no sound documents in it")
        return 1
    new, stale = unreviewed(findings(documents), read_reviewed(Path(path) / REVIEWED))
    for finding in new:
        print(finding)
    for check, key in stale:
        print(f"stale\t{check}\t{key}")
    print(f"{len(documents)} documents, {len(new)} findings to review, {len(stale)} reviewed lines without a finding")
    return int(failed or bool(new) or bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "data/corpus"))
