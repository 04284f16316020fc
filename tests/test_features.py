"""Features: those of training are those of inference, and gold goes there and back."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from conftest import prose, texts
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from data.dataset import encode_gold, schema_config, training_dataset, unreachable_gold
from data.formats import from_markup
from data.schema import Document, Mention, Relation, Sentence
from model.configuration_khabar import KhabarConfig
from model.features import (
    IGNORED,
    WordMention,
    allowed_table,
    collate,
    mention_span,
    mention_unit,
    mention_words,
    pair_features,
    window_features,
)
from model.text import proclitic_letters
from model.windows import EncodedText, encode_text

CONFIG = KhabarConfig(**schema_config())
LABELS = ("tag_labels", "proclitic_labels", "relation_labels")


def long_document() -> Document:
    """Many sentences, each with mentions, so that a window of 100 pieces holds only some of them."""
    lines = []
    number = 0
    for i in range(12):
        n = number
        marked = f"[{n + 1}:ARM الكتيبة] نحو [{n + 2}:LOC الوادي] و[{n + 3}:LOC الجبل] [{n + 4}:DATE أمس]."
        lines.append(f"S{i + 1}| {prose(i % 3 + 1)} {marked}")
        lines.append(f"ADVANCE {n + 1}>{n + 2} on={n + 4}")
        if i:
            lines.append(f"ATTACK {n + 1}>{n - 3}")
        number += 4
    return from_markup("# id: long\n" + "\n".join(lines))


@pytest.mark.parametrize("window", [100, 384])
def test_training_reads_the_features_of_inference(
    documents: list[Document], tokenizer: PreTrainedTokenizerFast, window: int
) -> None:
    config = KhabarConfig(**schema_config(), window=window)
    everything = [*documents, long_document()]
    dataset, _ = training_dataset(everything, tokenizer, config)
    rows = [{key: row[key] for key in row if key not in LABELS} for row in dataset]
    expected: list[dict[str, Any]] = []
    for document in everything:
        encoded = encode_text(document.text, tokenizer, window=window)
        mentions = []
        for mention in document.mentions:
            place = mention_words(encoded, mention.start, mention.end)
            assert place is not None
            mentions.append(WordMention(place[0], place[1], config.entity_types.index(mention.type), place[2]))
        for i in range(len(encoded.windows)):
            expected.append({**window_features(encoded, i, tokenizer), **pair_features(encoded, i, mentions, config)})
    assert len(expected) > len(everything) if window == 100 else len(expected) >= len(everything)
    assert rows == expected
    assert all(set(LABELS) < set(row) for row in dataset)


def test_labels_say_what_the_annotation_says(tokenizer: PreTrainedTokenizerFast) -> None:
    document = from_markup(
        "# id: a\nS1| هاجمت [1:ARM فرقة النسر] و[2:ARM الحرس] بلدة ب[3:LOC سهل ملح].\nATTACK 1>3 ~alleged at=3 src=2\n"
        "NEGOTIATE 2>1\n"
    )
    dataset, unreachable = training_dataset([document], tokenizer, CONFIG)
    assert not unreachable
    (row,) = dataset
    words = "هاجمت فرقة النسر والحرس بلدة بسهل ملح .".split()
    tags = ["O", "B-ARM", "I-ARM", "B-ARM", "O", "B-LOC", "I-LOC", "O"]
    assert [CONFIG.tags[tag] for tag in row["tag_labels"]] == tags
    assert len(words) == len(tags)
    assert row["proclitic_labels"] == [IGNORED, 0, IGNORED, 1, IGNORED, 1, IGNORED, IGNORED]
    pairs = list(zip(row["pair_head"], row["pair_tail"], strict=True))
    found = {
        (CONFIG.relations[kind], pairs[pair], CONFIG.factuality[value], *rest)
        for pair, kind, value, *rest in row["relation_labels"]
    }
    none = -1
    assert found == {
        ("ATTACK", (0, 2), "alleged", 2, none, none, 1),
        ("NEGOTIATE", (0, 1), "asserted", none, none, none, none),
        ("NEGOTIATE", (1, 0), "asserted", none, none, none, none),
    }


def test_every_reachable_relation_is_a_label_of_exactly_one_window(tokenizer: PreTrainedTokenizerFast) -> None:
    document = long_document()
    config = KhabarConfig(**schema_config(), window=130)
    dataset, unreachable = training_dataset([document], tokenizer, config)
    assert len(dataset) > 4
    assert not unreachable
    assert sum(len(row["relation_labels"]) for row in dataset) == len(document.relations)


@pytest.mark.parametrize(
    ("marked", "surface", "proclitics"),
    [
        ("قال ل[1:ORG لحكومة] إنه", "لحكومة", 1),
        ("قالت مصر و[1:GPE تركيا] إنها", "تركيا", 1),
        ("وصل وب[1:LOC دمشق] بقي", "دمشق", 2),
        ("ول[1:ORG لحكومة]", "لحكومة", 2),
        ("وَ[1:GPE تركيا]", "تركيا", 1),
        ("وَبِ[1:LOC دِمَشْقَ]", "دِمَشْقَ", 2),
        ("بـ[1:LOC حلب]", "حلب", 1),
        ('بـ"[1:ARM النسر]"', "النسر", 0),
        ("[1:LOC وهران]", "وهران", 0),
        ("في [1:LOC كركوك]", "كركوك", 0),
        ("[1:ORG حزب «النور»] فاز", "حزب «النور»", 0),
        ("ل[1:LOC ليبيا]", "ليبيا", 1),
        ("[1:NUM ٣٤] و[2:NUM 12]", "٣٤", 0),
    ],
)
def test_a_mention_goes_to_words_and_back(
    tokenizer: PreTrainedTokenizerFast, marked: str, surface: str, proclitics: int
) -> None:
    document = from_markup(f"# id: a\nS1| {marked}")
    encoded = encode_text(document.text, tokenizer, window=128)
    mention = document.mentions[0]
    assert document.surface(mention) == surface
    place = mention_words(encoded, mention.start, mention.end)
    assert place is not None
    assert place[2] == proclitics
    assert mention_span(encoded, WordMention(place[0], place[1], 0, place[2])) == (mention.start, mention.end)


@given(texts(max_size=60), st.data())
def test_every_span_that_words_express_goes_back_to_itself(
    tokenizer: PreTrainedTokenizerFast, text: str, data: st.DataObject
) -> None:
    encoded = encode_text(text, tokenizer, window=128)
    if not encoded.words:
        return
    first = data.draw(st.integers(0, len(encoded.words) - 1))
    end = data.draw(st.integers(first + 1, len(encoded.words)))
    start, stop = encoded.words[first]
    proclitics = data.draw(st.integers(0, proclitic_letters(text[start:stop])))
    span = mention_span(encoded, WordMention(first, end, 0, proclitics))
    assert mention_words(encoded, *span) == (first, end, proclitics)


@given(texts(max_size=30), st.integers(0, 30), st.integers(1, 30))
def test_a_span_is_expressed_exactly_or_not_at_all(
    tokenizer: PreTrainedTokenizerFast, text: str, start: int, length: int
) -> None:
    end = min(start + length, len(text))
    if start >= end:
        return
    encoded = encode_text(text, tokenizer, window=128)
    place = mention_words(encoded, start, end)
    if place is not None:
        assert mention_span(encoded, WordMention(place[0], place[1], 0, place[2])) == (start, end)


@pytest.mark.parametrize(("start", "end"), [(1, 4), (0, 2), (4, 6), (4, 9), (3, 8), (0, 3)])
def test_a_span_across_the_middle_of_a_word_is_not_expressed(tokenizer: PreTrainedTokenizerFast, start: int, end: int) -> None:
    encoded = encode_text("حلبي النسر", tokenizer, window=128)
    assert mention_words(encoded, start, end) is None


def document_of(text: str, mentions: list[Mention], relations: list[Relation] | None = None) -> Document:
    return Document("a", text, (), tuple(mentions), tuple(relations or ()))


ENTITY_TYPE = "entity: its type is not among the model's"
ENTITY_SPAN = "entity: its span does not begin and end with words, proclitics apart"
ENTITY_CUT = "entity: a sentence boundary or a cut runs through it"
RELATION_TYPE = "relation: its type is not among the model's"
RELATION_END = "relation: one of its entities cannot be predicted"
RELATION_FAR = "relation: the splitter puts its entities more than one sentence apart"
RELATION_TWICE = "relation: a second factuality of the same relation"
ARGUMENT = "argument: its entity cannot be predicted, is the head, or stands too far away"


def test_unreachable_gold_is_counted_by_cause(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "حلب وعدن. غادر. غادر مأرب الحرس."
    mentions = [
        Mention(1, "LOC", 0, 3),
        Mention(2, "LOC", 5, 8),
        Mention(3, "LOC", 21, 25),
        Mention(4, "GPE", 26, 28),
        Mention(5, "KING", 26, 31),
        Mention(6, "ORG", 7, 14),
    ]
    assert [text[m.start : m.end] for m in mentions[:3]] == ["حلب", "عدن", "مأرب"]
    relations = [
        Relation("LOCATED_IN", 1, 2),
        Relation("LOCATED_IN", 1, 2, "negated"),
        Relation("LOCATED_IN", 1, 3),
        Relation("LOCATED_IN", 4, 3),
        Relation("NO_SUCH", 1, 2),
        Relation("ATTACK", 2, 1, arguments={"at": 3, "on": 4, "src": 2}),
    ]
    document = document_of(text, mentions, relations)
    causes = unreachable_gold([document, document], tokenizer, CONFIG)
    expected = {
        ENTITY_TYPE: 1, ENTITY_SPAN: 2, RELATION_TYPE: 1, RELATION_END: 1, RELATION_FAR: 1, RELATION_TWICE: 1, ARGUMENT: 3,
    }  # fmt: skip
    assert causes == Counter({cause: 2 * count for cause, count in expected.items()})
    _, from_training = training_dataset([document, document], tokenizer, CONFIG)
    assert from_training == causes


def test_a_mention_across_a_sentence_boundary_is_unreachable(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "غادر حزب العدل. والحق البلاد"
    document = document_of(text, [Mention(1, "ORG", 5, 21)])
    assert unreachable_gold([document], tokenizer, CONFIG) == Counter({ENTITY_CUT: 1})


def test_sound_gold_is_all_reachable(documents: list[Document], tokenizer: PreTrainedTokenizerFast) -> None:
    assert unreachable_gold(documents, tokenizer, CONFIG) == Counter()
    for document in documents:
        encoded = encode_text(document.text, tokenizer, window=128)
        gold = encode_gold(document, encoded, CONFIG)
        assert gold.ids == [m.id for m in document.mentions]
        spans = [(*mention_span(encoded, m), CONFIG.entity_types[m.type]) for m in gold.mentions]
        assert spans == [(m.start, m.end, m.type) for m in document.mentions]
        assert len(gold.relations) == len(document.relations)


def test_a_symmetric_relation_has_the_first_mention_as_head(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "التقى ماهر سالما"
    mentions = [Mention(1, "PER", 6, 10), Mention(2, "PER", 11, 16)]
    encoded = encode_text(text, tokenizer, window=128)
    for head, tail in ((1, 2), (2, 1)):
        document = document_of(text, mentions, [Relation("NEGOTIATE", head, tail)])
        (relation,) = encode_gold(document, encoded, CONFIG).relations
        assert relation[1:3] == (0, 1)


def all_pairs(encoded: EncodedText, mentions: list[WordMention]) -> list[tuple[int, int]]:
    """(head, tail) in mentions of the text, over all windows, each pair as often as a window decides it."""
    found = []
    for window in range(len(encoded.windows)):
        features = pair_features(encoded, window, mentions, CONFIG)
        index = features["mention_index"]
        found += [(index[h], index[t]) for h, t in zip(features["pair_head"], features["pair_tail"], strict=True)]
    return found


@given(st.integers(3, 40), st.integers(2, 9), st.sampled_from([70, 100, 200]), st.randoms(use_true_random=False))
def test_pairs_are_the_allowed_ones_of_near_units_each_once(
    tokenizer: PreTrainedTokenizerFast, count: int, sentence: int, window: int, random: Any
) -> None:
    encoded = encode_text(prose(count, sentence=sentence), tokenizer, window=window)
    mentions = []
    word = 0
    while word < len(encoded.words):
        length = random.randint(1, 3)
        if random.random() < 0.5 and word + length <= len(encoded.words):
            mentions.append(WordMention(word, word + length, random.randrange(len(CONFIG.entity_types))))
        word += length
    expected = set()
    for h, head in enumerate(mentions):
        for t, tail in enumerate(mentions):
            units = mention_unit(encoded, head), mention_unit(encoded, tail)
            if h == t or units[0] is None or units[1] is None or abs(units[0] - units[1]) > 1:
                continue
            if any(CONFIG.allowed(CONFIG.entity_types[head.type], CONFIG.entity_types[tail.type])):
                expected.add((h, t))
    found = all_pairs(encoded, mentions)
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_pairs_are_listed_in_both_orders_and_never_with_dates(tokenizer: PreTrainedTokenizerFast) -> None:
    document = from_markup("# id: a\nS1| [1:ARM الحرس] و[2:PER ماهر] [3:DATE أمس].\nS2| [4:GPE مصر].\nS3| [5:GPE تونس].")
    encoded = encode_text(document.text, tokenizer, window=128)
    gold = encode_gold(document, encoded, CONFIG)
    found = set(all_pairs(encoded, gold.mentions))
    near = {(0, 1), (0, 3), (1, 3), (3, 4)}
    assert found == near | {(t, h) for h, t in near}


def test_the_table_of_allowed_types_is_that_of_the_config() -> None:
    table = allowed_table(CONFIG)
    for h, head in enumerate(CONFIG.entity_types):
        for t, tail in enumerate(CONFIG.entity_types):
            assert table[h, t].tolist() == CONFIG.allowed(head, tail)
    assert 0 < table.sum() < table.numel()


def test_padding_has_its_own_values(documents: list[Document], tokenizer: PreTrainedTokenizerFast) -> None:
    dataset, _ = training_dataset(documents, tokenizer, CONFIG)
    rows = [dataset[i] for i in range(len(dataset))]
    batch = collate(rows, pad_token_id=1)
    for i, row in enumerate(rows):
        for key, value in (
            ("input_ids", 1),
            ("attention_mask", 0),
            ("word_unit", -1),
            ("pair_head", -1),
            ("tag_labels", IGNORED),
        ):
            length = len(row[key])
            assert batch[key][i, :length].tolist() == row[key]
            assert set(batch[key][i, length:].tolist()) <= {value}
    assert batch["relation_labels"].shape == (sum(len(row["relation_labels"]) for row in rows), 4 + len(CONFIG.arguments))
    assert collate([{"relation_labels": []}], pad_token_id=1)["relation_labels"].shape[0] == 0


def test_sentences_of_the_annotation_do_not_reach_the_features(tokenizer: PreTrainedTokenizerFast) -> None:
    document = from_markup("# id: a\nS1| غادر [1:PER ماهر]. وصل [2:PER سالم].")
    split = Document(document.id, document.text, (Sentence(0, 10), Sentence(11, 20)), document.mentions)
    first, second = (training_dataset([d], tokenizer, CONFIG)[0] for d in (document, split))
    assert first[0] == second[0]
    assert set(first[0]["word_unit"]) == {0, 1}
