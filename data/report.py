"""What a person reads: an error report in HTML, and a summary for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from data.schema import ARGUMENTS, FACTUALITY, Document, Mention, Relation
from data.scoring import mention_key, rel_plus_key

STYLE = """
body { font-family: sans-serif; max-width: 100em; margin: 1em auto; line-height: 1.9 }
table { width: 100%; border-collapse: collapse; table-layout: fixed }
td, th { vertical-align: top; border: 1px solid #bbb; padding: .4em .6em; text-align: right; overflow-wrap: anywhere }
mark { padding: 0 .15em; border-radius: .2em }
.right { background: #d9f2d9 } .missed { background: #ffd0d0 } .wrong { background: #ffe2a8 }
li.right { list-style: none } small { color: #555; direction: ltr; unicode-bidi: isolate }
"""


def error_report(gold: Sequence[Document], predicted: Sequence[Document]) -> str:
    """Gold beside prediction, sentence by sentence, right to left; what was missed and what is wrong is coloured."""
    rows = []
    for right, guess in zip(gold, predicted, strict=True):
        rows.append(f'<tr><th colspan="2"><bdi>{escape(right.id)}</bdi></th></tr>')
        entities = {mention_key(m) for m in right.mentions} & {mention_key(m) for m in guess.mentions}
        relations = {rel_plus_key(right, r) for r in right.relations} & {rel_plus_key(guess, r) for r in guess.relations}
        values = {rel_plus_key(right, r): r.factuality for r in right.relations}
        for i, sentence in enumerate(guess.sentences):
            cells = []
            for document, bad in ((right, "missed"), (guess, "wrong")):
                inside = [m for m in document.mentions if sentence.start <= m.start < sentence.end]
                text = _marked(document, inside, entities, bad, sentence.start, sentence.end)
                items = []
                for relation in document.relations:
                    ends = document.mention(relation.head), document.mention(relation.tail)
                    if max(guess.sentence_of(m) for m in ends) != i:
                        continue
                    key = rel_plus_key(document, relation)
                    state = "right" if key in relations else bad
                    note = "" if key not in relations or values[key] == relation.factuality else " ≠ factuality"
                    items.append(f'<li class="{state}">{escape(describe(document, relation))}{note}</li>')
                cells.append(f"<td>{text}<ul>{''.join(items)}</ul></td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
    legend = 'found <mark class="right">right</mark> <mark class="missed">missed</mark> <mark class="wrong">wrong</mark>'
    return (
        f'<!DOCTYPE html><html lang="ar" dir="rtl"><meta charset="utf-8"><title>Khabar: errors</title><style>{STYLE}</style>'
        f"<p dir=ltr>{legend}</p><table><tr><th>gold</th><th>prediction</th></tr>{''.join(rows)}</table></html>\n"
    )


def _marked(
    document: Document, mentions: Iterable[Mention], right: set[tuple[int, int, str]], bad: str, start: int, end: int
) -> str:
    parts = []
    for mention in mentions:
        parts.append(escape(document.text[start : mention.start]))
        state = "right" if mention_key(mention) in right else bad
        parts.append(f'<mark class="{state}">{escape(document.surface(mention))} <small>{mention.type}</small></mark>')
        start = mention.end
    return "".join(parts) + escape(document.text[start:end])


def isolate(text: str) -> str:
    """Text between bidi isolates, so that Arabic and Latin keep their order in a line of either direction."""
    return f"\u2068{text}\u2069"


def describe(document: Document, relation: Relation) -> str:
    """A relation in one line: HEAD —TYPE→ TAIL, factuality and arguments."""
    parts = [_name(document, relation.head), f"—{relation.type}→", _name(document, relation.tail)]
    if relation.factuality != FACTUALITY[0]:
        parts.append(f"~{relation.factuality}")
    parts += [f"{k}={_name(document, relation.arguments[k])}" for k in ARGUMENTS if k in relation.arguments]
    return " ".join(parts) + (f" ({relation.score:.2f})" if relation.score is not None else "")


def _name(document: Document, id: int) -> str:
    mention = document.mention(id)
    return isolate(mention.name or document.surface(mention))


def summary(document: Document) -> str:
    """Entities by type and relations of one document, for a terminal."""
    lines = [f"== {isolate(document.id)}"]
    by_type: dict[str, dict[str, None]] = {}
    for mention in document.mentions:
        by_type.setdefault(mention.type, {})[_name(document, mention.id)] = None
    lines += [f"{kind:5} {'، '.join(names)}" for kind, names in by_type.items()]
    lines += [f"  {describe(document, relation)}" for relation in document.relations]
    if not document.mentions:
        lines.append("no entities")
    return "\n".join(lines) + "\n"
