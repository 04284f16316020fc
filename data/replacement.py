"""Mention replacement: training documents in which persons bear other names.

The persons who act in the corpus are invented, so that a model that has read nothing else takes the names of those who
act in real news for places. ``persons.txt`` holds names of public figures, a line each: the full name, the form by which
later sentences call the person, m or f. They stand in for invented names in training texts that are in memory only.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.schema import Document, Mention

PERSONS = Path(__file__).with_name("persons.txt")
FEMININE = re.compile(r"[ةىا]ء?$")
"""Ends of most women's first names, and of the feminine titles before them."""


@dataclass(frozen=True)
class Person:
    """A name: ``full``, ``short`` as in later sentences, and whether it is a woman's."""

    full: str
    short: str
    feminine: bool


def read_persons(path: Path = PERSONS) -> list[Person]:
    """The names of a file of three columns.

    Raises:
        OSError: It cannot be read.
        ValueError: A line is not a full name, a short one and m or f.
    """
    persons = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        columns = line.split("\t")
        if len(columns) != 3 or not all(columns) or columns[2] not in ("m", "f"):
            raise ValueError(f"{path}, line {number}: {line!r} must be a full name, a short name and m or f, with tabs between")
        persons.append(Person(columns[0], columns[1], columns[2] == "f"))
    return persons


def replace_persons(document: Document, persons: Sequence[Person], *, share: float, seed: int) -> Document:
    """The document with other names for a random part of its persons; everything else stays, at moved offsets.

    All mentions of a person change alike: the full name, the last words of it (short name) and the first ones. Gender is
    guessed by the title before a name and the first name's end; where the guess is wrong, only agreement suffers.

    Args:
        document: With its annotation.
        persons: To draw from.
        share: Chance of each person to be replaced.
        seed: With the document's id, all that the choice depends on.
    """
    rng = random.Random(f"{seed}:{document.id}")
    surfaces: dict[int, str] = {}
    for mentions in _same_person(document):
        if rng.random() >= share:
            continue
        full = document.surface(mentions[0]).split()
        feminine = any(_feminine(document, mention) for mention in mentions)
        fused = any(document.text[: mention.start].endswith("ل") for mention in mentions)
        fitting = [p for p in persons if p.feminine == feminine and not (fused and _begins_with_lam(p))]
        if not fitting or (fused and full[0].startswith("ل")):  # للطيف is ل and لطيف, with one lam shared
            continue
        person = rng.choice(fitting)
        for mention in mentions:
            words = document.surface(mention).split()
            first = len(words) < len(full) and words == full[: len(words)] and words != full[-len(words) :]
            whole = len(words) == len(full) > 1
            surfaces[mention.id] = person.full if whole else person.full.split()[0] if first else person.short
    return _rewritten(document, surfaces)


def _same_person(document: Document) -> list[list[Mention]]:
    """The PER mentions of each person, the longest name first; a short name belongs to the first longer one with it."""
    groups: list[list[Mention]] = []
    mentions = [m for m in document.mentions if m.type == "PER"]
    for mention in sorted(mentions, key=lambda m: -len(document.surface(m).split())):
        words = document.surface(mention).split()
        for group in groups:
            full = document.surface(group[0]).split()
            if words in (full[-len(words) :], full[: len(words)]):
                group.append(mention)
                break
        else:
            groups.append([mention])
    return groups


def _feminine(document: Document, mention: Mention) -> bool:
    before = document.text[: mention.start].split()[-1:]
    first = document.surface(mention).split()[0]
    return bool(FEMININE.search(first) or (before and before[0].endswith("ة")))


def _begins_with_lam(person: Person) -> bool:
    """Whether a name melts with the preposition ل before it."""
    return any(name.startswith(("ال", "ل")) for name in (person.full, person.short))


def _rewritten(document: Document, surfaces: Mapping[int, str]) -> Document:
    """``document`` with these surfaces of mentions, by id."""
    pieces: list[str] = []
    moves: list[tuple[int, int]] = []  # (end of a replaced span in the old text, by how much what follows moves)
    done = shift = 0
    for mention in sorted(document.mentions, key=lambda m: m.start):
        if mention.id in surfaces:
            pieces += [document.text[done : mention.start], surfaces[mention.id]]
            shift += len(surfaces[mention.id]) - (mention.end - mention.start)
            moves.append((mention.end, shift))
            done = mention.end

    def moved(offset: int) -> int:
        return offset + next((by for end, by in reversed(moves) if end <= offset), 0)

    return replace(
        document,
        text="".join(pieces) + document.text[done:],
        sentences=tuple(replace(s, start=moved(s.start), end=moved(s.end)) for s in document.sentences),
        mentions=tuple(replace(m, start=moved(m.start), end=moved(m.end)) for m in document.mentions),
    )
