"""The annotation schema, version 1.1, and the records of an annotated document.

``data/GUIDELINES.md`` says when each label is used. Offsets are half-open and in code points of the document's text.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

SCHEMA_VERSION = "1.1"

ENTITY_TYPES = ("PER", "ROLE", "ARM", "ORG", "GPE", "LOC", "FAC", "GRP", "DATE", "WPN", "NUM")
ACTOR = ("PER", "ROLE", "ARM", "ORG", "GPE", "GRP")
PLACE = ("LOC", "FAC", "GPE")
ACTOR_OR_PLACE = (*ACTOR, "LOC", "FAC")
PEOPLE = ("PER", "ROLE", "ARM", "GRP")

RELATION_TYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ATTACK": (ACTOR, ACTOR_OR_PLACE),
    "KILL": (ACTOR, PEOPLE),
    "DETAIN": (ACTOR, PEOPLE),
    "CONTROL": (ACTOR, PLACE),
    "ADVANCE": (ACTOR, ACTOR_OR_PLACE),
    "WITHDRAW": (ACTOR, ACTOR_OR_PLACE),
    "RESTRICT": (ACTOR, ACTOR_OR_PLACE),
    "SUPPORT": (ACTOR, ACTOR),
    "ACCUSE": (ACTOR, ACTOR),
    "CONDEMN": (ACTOR, ACTOR),
    "DEMAND": (ACTOR, ACTOR),
    "THREATEN": (ACTOR, ACTOR_OR_PLACE),
    "NEGOTIATE": (ACTOR, ACTOR),
    "PROTEST": (("GRP", "ORG", "PER"), ACTOR),
    "MEMBER_OF": (ACTOR, ("ARM", "ORG", "GPE", "GRP", "PER", "LOC")),
    "LOCATED_IN": (ACTOR_OR_PLACE, PLACE),
}
"""Relation type: (allowed head types, allowed tail types)."""

EITHER_TYPE = (("GPE", "LOC"),)
"""Groups of entity types between which one name may change within a text, as a place and its government do."""

SYMMETRIC = ("NEGOTIATE",)
"""Written once, with the first-mentioned actor as head."""

FACTUALITY = ("asserted", "negated", "planned", "alleged")
ARGUMENTS: dict[str, tuple[str, ...]] = {"at": PLACE, "on": ("DATE",), "with": ("WPN",), "src": ACTOR}
"""Argument of a relation: entity types that can fill it."""

NO_PLACE = ("MEMBER_OF", "LOCATED_IN")
"""Relation types that take no ``at``."""


@dataclass(frozen=True)
class Sentence:
    """A sentence: half-open offsets into the text."""

    start: int
    end: int


@dataclass(frozen=True)
class Mention:
    """A mention of an entity; ``name`` (its clean surface) and ``score`` are of predictions only."""

    id: int
    type: str
    start: int
    end: int
    name: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Relation:
    """A directed relation between two mentions; ``arguments`` maps at, on, with, src to mention ids."""

    type: str
    head: int
    tail: int
    factuality: str = "asserted"
    arguments: Mapping[str, int] = field(default_factory=dict)
    score: float | None = None


@dataclass(frozen=True)
class Document:
    """A text with what is annotated in it. ``fields`` keeps what else its source said of it (title, brief, …)."""

    id: str
    text: str
    sentences: tuple[Sentence, ...] = ()
    mentions: tuple[Mention, ...] = ()
    relations: tuple[Relation, ...] = ()
    date: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def mention(self, id: int) -> Mention:
        """The mention with this id.

        Raises:
            KeyError: There is none.
        """
        return self._by_id[id]

    @cached_property
    def _by_id(self) -> dict[int, Mention]:
        return {mention.id: mention for mention in self.mentions}

    def surface(self, mention: Mention) -> str:
        """The text of a mention."""
        return self.text[mention.start : mention.end]

    def sentence_of(self, mention: Mention) -> int:
        """Index of the sentence in which a mention begins, or -1."""
        i = bisect.bisect_right(self.sentences, mention.start, key=lambda s: s.start) - 1
        return i if i >= 0 and mention.end <= self.sentences[i].end else -1

    def relation_sentences(self, relation: Relation) -> tuple[int, ...]:
        """Indices of the one or two sentences in which head and tail stand, in order."""
        return tuple(sorted({self.sentence_of(self.mention(i)) for i in (relation.head, relation.tail)}))

    def canonical(self) -> Document:
        """The same document with mentions in text order and relations in the order of their later sentence."""
        mentions = tuple(sorted(self.mentions, key=lambda m: (m.start, m.end, m.id)))
        ordered = replace(self, mentions=mentions)
        known = {m.id for m in mentions}
        relations = sorted(
            self.relations,
            key=lambda r: ordered.relation_sentences(r)[-1] if {r.head, r.tail} <= known else len(self.sentences),
        )
        return replace(ordered, relations=tuple(relations))

    def validate(self) -> list[str]:
        """Every violation of the schema, each naming document, id and rule; empty for a sound document."""
        return [f"document {self.id}: {problem}" for problem in (*self._text_problems(), *self._relation_problems())]

    def _text_problems(self) -> list[str]:
        problems = []
        end = 0
        for i, sentence in enumerate(self.sentences):
            if not end <= sentence.start <= sentence.end <= len(self.text):
                problems.append(f"sentence {i}: offsets {sentence.start}–{sentence.end} overlap or leave the text")
            end = max(end, sentence.end)
        seen: set[int] = set()
        end = 0
        for mention in sorted(self.mentions, key=lambda m: (m.start, m.end)):
            name = f"entity {mention.id}"
            if mention.id in seen:
                problems.append(f"{name}: its id occurs twice")
            seen.add(mention.id)
            if mention.id < 0:
                problems.append(f"{name}: its id is negative")
            if mention.type not in ENTITY_TYPES:
                problems.append(f"{name}: unknown type {mention.type!r}; known are {', '.join(ENTITY_TYPES)}")
            if not 0 <= mention.start < mention.end <= len(self.text):
                problems.append(f"{name}: offsets {mention.start}–{mention.end} are empty or leave the text")
                continue
            if self.surface(mention).strip() != self.surface(mention):
                problems.append(f"{name}: begins or ends with white space")
            if mention.start < end:
                problems.append(f"{name}: overlaps the entity before it")
            end = max(end, mention.end)
            if self.sentences and self.sentence_of(mention) < 0:
                problems.append(f"{name}: does not lie within one sentence")
        return problems

    def _relation_problems(self) -> list[str]:
        problems = []
        mentions = {m.id: m for m in self.mentions}
        seen = set()
        for relation in self.relations:
            name = f"relation {relation.type} {relation.head}>{relation.tail}"
            ids = (relation.head, relation.tail, *relation.arguments.values())
            missing = [i for i in ids if i not in mentions]
            if missing:
                problems.append(f"{name}: no entity {', '.join(map(str, missing))}")
                continue
            if relation.type not in RELATION_TYPES:
                problems.append(f"{name}: unknown type; known are {', '.join(RELATION_TYPES)}")
                continue
            head, tail = mentions[relation.head], mentions[relation.tail]
            heads, tails = RELATION_TYPES[relation.type]
            if head.type not in heads or tail.type not in tails:
                problems.append(f"{name}: {relation.type} cannot link {head.type} to {tail.type}")
            if head is tail:
                problems.append(f"{name}: links an entity to itself")
            if relation.factuality not in FACTUALITY:
                problems.append(f"{name}: unknown factuality {relation.factuality!r}; known are {', '.join(FACTUALITY)}")
            key = (relation.type, relation.head, relation.tail, relation.factuality)
            if key in seen:
                problems.append(f"{name}: written twice")
            seen.add(key)
            places = [self.sentence_of(m) for m in (head, tail)]
            if self.sentences and abs(places[0] - places[1]) > 1:
                problems.append(f"{name}: its sentences are not adjacent")
            for argument, i in relation.arguments.items():
                if argument not in ARGUMENTS:
                    problems.append(f"{name}: unknown argument {argument!r}; known are {', '.join(ARGUMENTS)}")
                    continue
                if mentions[i].type not in ARGUMENTS[argument]:
                    problems.append(f"{name}: {argument}={i} cannot be {mentions[i].type}")
                if argument == "at" and relation.type in NO_PLACE:
                    problems.append(f"{name}: {relation.type} takes no at=")
                if self.sentences and min(abs(self.sentence_of(mentions[i]) - place) for place in places) > 1:
                    problems.append(f"{name}: {argument}={i} is more than one sentence away")
        return problems
