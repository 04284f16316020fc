"""From logits to records: valid tags, true surfaces, each mention and relation once."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from conftest import MARKUP, prose, texts, tiny_model
from hypothesis import given, settings
from transformers import PreTrainedTokenizerFast

from data.dataset import encode_gold
from data.formats import from_markup
from data.schema import ENTITY_TYPES, NO_PLACE, Document
from model.decoding import Annotation, Annotator, to_record
from model.features import WordMention, collate, mention_span, pair_features, window_features
from model.modeling_khabar import KhabarModel
from model.windows import encode_text


def record(annotator: Annotator, text: str) -> dict[str, Any]:
    return to_record(annotator.annotate([annotator.encode(text)])[0], annotator.config)


def gold_of(annotator: Annotator, document: Document) -> list[WordMention]:
    return encode_gold(document, annotator.encode(document.text), annotator.config).mentions


def with_gold(annotator: Annotator, document: Document, **settings: Any) -> Annotation:
    gold = gold_of(annotator, document)
    return annotator.annotate([annotator.encode(document.text)], mentions=[gold], **settings)[0]


# Surfaces -------------------------------------------------------------------------------------------------------------


def check_record(found: dict[str, Any], text: str, config: Any) -> None:
    assert found["text"] == text
    entities = {e["id"]: e for e in found["entities"]}
    assert list(entities) == list(range(1, len(entities) + 1))
    end = 0
    for entity in entities.values():
        assert end <= entity["start_offset"] < entity["end_offset"] <= len(text)
        assert text[entity["start_offset"] : entity["end_offset"]] == entity["text"]
        assert not entity["text"][0].isspace()
        assert not entity["text"][-1].isspace()
        assert sum(s <= entity["start_offset"] and entity["end_offset"] <= e for s, e in found["sentences"]) == 1
        assert 0 <= entity["score"] <= 1
        end = entity["end_offset"]
    keys = [(r["type"], r["from_id"], r["to_id"]) for r in found["relations"]]
    assert len(keys) == len(set(keys))
    for relation in found["relations"]:
        head, tail = entities[relation["from_id"]]["label"], entities[relation["to_id"]]["label"]
        assert config.allowed(head, tail)[config.relations.index(relation["type"])]
        assert relation["factuality"] in config.factuality
        assert 0 <= relation["score"] <= 1
        assert len(relation["sentences"]) <= 2
        assert relation["sentences"][-1] - relation["sentences"][0] <= 1
        for argument, kinds in config.arguments.items():
            assert relation[argument] is None or entities[relation[argument]]["label"] in kinds
            assert relation[argument] != relation["from_id"]


@settings(max_examples=80)
@given(texts(max_size=120))
def test_every_surface_is_the_text_at_its_offsets(loud: KhabarModel, tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    annotator = Annotator(loud, tokenizer)
    check_record(record(annotator, text), text, loud.config)


def test_surfaces_hold_over_many_windows_and_the_loud_model_is_loud(
    loud: KhabarModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    text = "\ufeff" + prose(300, sentence=9).replace("قال", "قَالَ\u200f").replace("بعد", "\x07بـعد😀")
    found = record(Annotator(loud, tokenizer), text)
    check_record(found, text, loud.config)
    assert len(found["entities"]) > 30
    assert len(found["relations"]) > 30


@pytest.mark.parametrize("text", ["", " \n ", ".", "\u0651", "😀", "\u200f"])
def test_texts_without_words_give_empty_or_sound_records(
    loud: KhabarModel, tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    check_record(record(Annotator(loud, tokenizer), text), text, loud.config)


# Found once -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def spotter(tokenizer: PreTrainedTokenizerFast) -> KhabarModel:
    """A model that tags each word ظ as the beginning of a LOC, each غ after it as its inside, and nothing else.

    Its encoder passes the embedding of each piece through, and the tagger's weights are the states of the two pieces.
    """
    model = tiny_model(tokenizer, window=128)
    with torch.no_grad():
        for layer in model.encoder.encoder.layer:
            layer.attention.output.dense.weight.zero_()
            layer.output.dense.weight.zero_()
        model.encoder.embeddings.position_embeddings.weight.zero_()
        model.encoder.embeddings.word_embeddings.weight.normal_(generator=torch.Generator().manual_seed(1))
        model.tagger.weight.zero_()
        model.tagger.bias.fill_(-1000.0)
        model.tagger.bias[0] = 0.0
        for letter, tag in (("ظ", "B-LOC"), ("غ", "I-LOC")):
            piece = torch.tensor([[0, tokenizer.convert_tokens_to_ids(f"▁{letter}"), 2]])
            state = model.encoder(input_ids=piece).last_hidden_state[0, 1]
            row = model.config.tags.index(tag)
            model.tagger.weight[row] = state
            model.tagger.bias[row] = -0.85 * state.dot(state)
    return model


def surfaces(found: dict[str, Any]) -> list[tuple[int, str]]:
    return [(e["start_offset"], e["text"]) for e in found["entities"]]


def test_a_mention_that_occurs_twice_stays_two(spotter: KhabarModel, tokenizer: PreTrainedTokenizerFast) -> None:
    text = "وصل ظ غ إلى ظ غ ثم إلى ظ غ. غادر ظ."
    expected = [(i, "ظ غ") for i in range(len(text)) if text.startswith("ظ غ", i)] + [(text.index("ظ."), "ظ")]
    found = record(Annotator(spotter, tokenizer), text)
    assert surfaces(found) == expected
    assert len(expected) == 4


@pytest.mark.parametrize("place", [0, 1, 400, 401, 433, 599])
def test_an_entity_far_down_a_long_text_is_found_once(
    spotter: KhabarModel, tokenizer: PreTrainedTokenizerFast, place: int
) -> None:
    words = prose(600, sentence=9).split(" ")
    words[place] = "ظ غ" + "." * words[place].endswith(".")
    text = " ".join(words)
    found = record(Annotator(spotter, tokenizer), text)
    assert surfaces(found) == [(text.index("ظ"), "ظ غ")]


def test_entities_on_every_window_seam_are_found_once(spotter: KhabarModel, tokenizer: PreTrainedTokenizerFast) -> None:
    words = prose(300, sentence=6).split(" ")
    text = " ".join(f"ظ {word}" if i % 6 == 0 else f"ظ {word[:-1]} ظ." if i % 6 == 5 else word for i, word in enumerate(words))
    annotator = Annotator(spotter, tokenizer)
    encoded = annotator.encode(text)
    shared = sum(end - first for first, end in encoded.windows) - len(encoded.units)
    assert shared > 10  # units that stand in two windows
    expected = [(found.start(), "ظ") for found in re.finditer(r"\bظ\b", text)]
    assert surfaces(record(annotator, text)) == expected
    assert len(expected) == 150


def test_a_sentence_cut_in_the_middle_loses_none_of_its_entities(
    spotter: KhabarModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    text = " ".join(["ظ", "بلدة"] * 200)
    assert surfaces(record(Annotator(spotter, tokenizer), text)) == [(7 * i, "ظ") for i in range(200)]


def test_pairs_on_a_window_seam_are_related_once(spotter: KhabarModel, tokenizer: PreTrainedTokenizerFast) -> None:
    with torch.no_grad():
        spotter.pairs.relation.weight.zero_()
        spotter.pairs.relation.bias.fill_(-30.0)
        spotter.pairs.relation.bias[spotter.config.relations.index("LOCATED_IN")] = 10.0
    text = " ".join(["وصل الوفد إلى ظ بعد محادثات طويلة."] * 40)
    found = record(Annotator(spotter, tokenizer), text)
    assert len(found["entities"]) == 40
    keys = [(r["from_id"], r["to_id"]) for r in found["relations"]]
    expected = [pair for i in range(1, 40) for pair in ((i, i + 1), (i + 1, i))]
    assert keys == expected


# Batches --------------------------------------------------------------------------------------------------------------


def test_a_text_alone_gives_the_record_that_it_gives_in_a_batch(
    loud: KhabarModel, tokenizer: PreTrainedTokenizerFast, documents: list[Document]
) -> None:
    several = [*(d.text for d in documents), "", prose(90, sentence=8), "حلب", "!"]
    together = Annotator(loud, tokenizer, batch_size=5)
    batch = together.annotate([together.encode(text) for text in several])
    alone = Annotator(loud, tokenizer, batch_size=1)
    count = 0
    for text, annotation in zip(several, batch, strict=True):
        one, other = to_record(annotation, loud.config), record(alone, text)
        for kind in ("entities", "relations"):
            count += len(one[kind])
            assert [item.pop("score") for item in one[kind]] == pytest.approx(
                [item.pop("score") for item in other[kind]], abs=1.01e-4
            )
        assert one == other
    assert count > 200


def test_padding_changes_no_logit(tokenizer: PreTrainedTokenizerFast, documents: list[Document]) -> None:
    model = tiny_model(tokenizer, window=200)
    rows = []
    for document in documents:
        encoded = encode_text(document.text, tokenizer, window=200)
        mentions = encode_gold(document, encoded, model.config).mentions
        for window in range(len(encoded.windows)):
            rows.append(
                {**window_features(encoded, window, tokenizer), **pair_features(encoded, window, mentions, model.config)}
            )
    assert len({len(row["input_ids"]) for row in rows}) > 3
    with torch.inference_mode():
        batch = model(**collate(rows, pad_token_id=tokenizer.pad_token_id))
        for i, row in enumerate(rows):
            one = model(**collate([row], pad_token_id=tokenizer.pad_token_id))
            words, pairs = len(row["word_first"]), len(row["pair_head"])
            for key, length in (
                ("tag_logits", words), ("proclitic_logits", words), ("word_states", words),
                ("relation_logits", pairs), ("factuality_logits", pairs),
            ):  # fmt: skip
                torch.testing.assert_close(batch[key][i, :length], one[key][0, :length], atol=1e-5, rtol=0)


# Relations ------------------------------------------------------------------------------------------------------------


def test_a_pair_has_other_logits_the_other_way_round(tokenizer: PreTrainedTokenizerFast) -> None:
    model = tiny_model(tokenizer)
    encoded = encode_text("هاجم الحرس الوحدة قرب الجبل.", tokenizer, window=128)
    mentions = [WordMention(1, 2, ENTITY_TYPES.index("ARM")), WordMention(2, 3, ENTITY_TYPES.index("ARM"))]
    row = {**window_features(encoded, 0, tokenizer), **pair_features(encoded, 0, mentions, model.config)}
    assert (row["pair_head"], row["pair_tail"]) == ([0, 1], [1, 0])
    with torch.inference_mode():
        logits = model(**collate([row], pad_token_id=1)).relation_logits[0]
    possible = torch.tensor(model.config.allowed("ARM", "ARM"))
    assert ((logits[0] - logits[1]).abs()[possible] > 1e-4).all()


def test_a_directed_relation_can_be_emitted_in_one_direction_only(
    loud: KhabarModel, tokenizer: PreTrainedTokenizerFast, documents: list[Document]
) -> None:
    annotator = Annotator(loud, tokenizer)
    keys = {
        (d.id, r.type, r.head, r.tail)
        for d in documents
        for r in with_gold(annotator, d).relations
        if r.type not in loud.config.symmetric
    }
    one_way = [key for key in keys if (key[0], key[1], key[3], key[2]) not in keys]
    assert len(one_way) > 5


def test_a_symmetric_relation_is_emitted_once_with_the_first_mention_as_head(
    tokenizer: PreTrainedTokenizerFast, documents: list[Document]
) -> None:
    model = tiny_model(tokenizer)
    with torch.no_grad():
        model.pairs.relation.bias.fill_(-30.0)
        model.pairs.relation.bias[model.config.relations.index("NEGOTIATE")] = 10.0
    annotator = Annotator(model, tokenizer)
    count = 0
    for document in documents:
        annotation = with_gold(annotator, document)
        encoded = annotation.encoded
        possible = {
            tuple(sorted((features["mention_index"][h], features["mention_index"][t])))
            for features in [pair_features(encoded, w, annotation.mentions, model.config) for w in range(len(encoded.windows))]
            for h, t in zip(features["pair_head"], features["pair_tail"], strict=True)
            if all(
                model.config.entity_types[features["mention_type"][m]] in model.config.relation_types["NEGOTIATE"][0]
                for m in (h, t)
            )
        }
        found = [(r.type, r.head, r.tail) for r in annotation.relations]
        assert sorted(found) == sorted(("NEGOTIATE", head, tail) for head, tail in possible)
        count += len(found)
    assert count > 8


def test_the_score_of_a_symmetric_relation_does_not_depend_on_a_direction(tokenizer: PreTrainedTokenizerFast) -> None:
    model = tiny_model(tokenizer, thresholds={"default": 0.0})
    document = from_markup("# id: a\nS1| التقى [1:PER ماهر] [2:PER سالما] أمس.")
    annotator = Annotator(model, tokenizer)
    relations = with_gold(annotator, document).relations
    (found,) = [r for r in relations if r.type == "NEGOTIATE" and r.score > 1e-6]
    encoded = annotator.encode(document.text)
    mentions = gold_of(annotator, document)
    row = {**window_features(encoded, 0, tokenizer), **pair_features(encoded, 0, mentions, model.config)}
    with torch.inference_mode():
        logits = model(**collate([row], pad_token_id=1)).relation_logits[0, :, model.config.relations.index("NEGOTIATE")]
    assert logits[0] != logits[1]
    assert found.score == pytest.approx(float(logits.mean().sigmoid()), abs=1e-6)


def test_min_score_leaves_out_exactly_what_scores_less(
    loud: KhabarModel, tokenizer: PreTrainedTokenizerFast, documents: list[Document]
) -> None:
    everything = [with_gold(Annotator(loud, tokenizer), d).relations for d in documents]
    scores = sorted(r.score for relations in everything for r in relations)
    least = (scores[len(scores) // 2] + scores[len(scores) // 2 - 1]) / 2
    assert scores[0] < least < scores[-1]
    some = [with_gold(Annotator(loud, tokenizer, min_score=least), d).relations for d in documents]
    assert some == [[r for r in relations if r.score >= least] for relations in everything]


def test_thresholds_hold_by_type_and_min_score_never_lowers_them(
    loud: KhabarModel, tokenizer: PreTrainedTokenizerFast, documents: list[Document]
) -> None:
    before = [r for d in documents for r in with_gold(Annotator(loud, tokenizer), d).relations]
    assert {r.type for r in before if r.score < 0.9} >= {"ATTACK", "SUPPORT"}
    loud.config.thresholds = {"default": 0.9, "ATTACK": 0.0001}
    after = [r for d in documents for r in with_gold(Annotator(loud, tokenizer, min_score=0.00001), d).relations]
    assert after == [r for r in before if r.type == "ATTACK" or r.score >= 0.9]


def test_membership_and_location_take_no_place(tokenizer: PreTrainedTokenizerFast, documents: list[Document]) -> None:
    model = tiny_model(tokenizer, thresholds={"default": 0.01})
    with torch.no_grad():
        model.pairs.relation.bias.fill_(5.0)
        model.pairs.argument_none.fill_(-1000.0)  # fill every argument that can be filled
    relations = [r for d in documents for r in with_gold(Annotator(model, tokenizer), d).relations]
    placed = {kind: [r for r in relations if r.type == kind and "at" in r.arguments] for kind in model.config.relations}
    sourced = {kind: [r for r in relations if r.type == kind and "src" in r.arguments] for kind in model.config.relations}
    for kind in model.config.relations:
        assert sourced[kind]
        assert bool(placed[kind]) == (kind not in NO_PLACE)
    assert {"on", "with"} <= {name for r in relations for name in r.arguments}
    assert all(filler != r.head for r in relations for filler in r.arguments.values())


def test_given_mentions_are_used_as_they_are(
    loud: KhabarModel, tokenizer: PreTrainedTokenizerFast, documents: list[Document]
) -> None:
    annotator = Annotator(loud, tokenizer)
    for document in documents:
        annotation = with_gold(annotator, document)
        spans = [(*mention_span(annotation.encoded, m), ENTITY_TYPES[m.type]) for m in annotation.mentions]
        assert spans == [(m.start, m.end, m.type) for m in document.mentions]


def test_candidates_do_not_depend_on_thresholds(
    loud: KhabarModel, tokenizer: PreTrainedTokenizerFast, documents: list[Document]
) -> None:
    annotator = Annotator(loud, tokenizer)
    before = [with_gold(annotator, d, candidates=True).relations for d in documents]
    loud.config.thresholds = {"default": 0.99}
    assert [with_gold(annotator, d, candidates=True).relations for d in documents] == before
    assert sum(map(len, before)) > sum(len(with_gold(annotator, d).relations) for d in documents)


def test_a_model_without_relation_types_is_a_plain_tagger(tokenizer: PreTrainedTokenizerFast) -> None:
    model = tiny_model(tokenizer, relation_types={}, symmetric=[])
    with torch.no_grad():
        model.tagger.weight.mul_(40)
        model.tagger.bias[0] = -1.0
    text = from_markup(MARKUP["t1"]).text
    found = record(Annotator(model, tokenizer), text)
    assert found["entities"]
    assert found["relations"] == []
