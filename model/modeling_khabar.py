"""The network: one encoder pass, a tag head over words, and heads for pairs of mentions on the shared states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from .configuration_khabar import KhabarConfig
from .features import IGNORED, allowed_table

PROCLITIC_COUNTS = 4
"""Zero to three proclitic letters."""

DISTANCES = (0, 1, 2, 3, 5, 8, 12, 18, 26, 40)
"""Lower bounds of the buckets of the distance between two mentions in words; signed."""

ZONES = 12
"""Where a word stands seen from a pair: outside its sentences, before, head, between, tail, after; times the order."""


LOSS_WEIGHTS = {"tag": 1.0, "proclitic": 0.3, "relation": 1.0, "factuality": 0.3, "argument": 0.3}
"""Of the summed losses; ``KhabarConfig.label_weights`` replaces them."""


@dataclass
class KhabarOutput(ModelOutput):
    """What a forward pass gives.

    Attributes:
        loss: Weighted sum of the losses, with labels.
        tag_logits: [B, W, tags].
        proclitic_logits: [B, W, 4].
        word_states: [B, W, hidden]; ``pairs`` reads them.
        relation_logits: [B, P, relation types], with mentions.
        factuality_logits: [B, P, relation types, factuality values], with mentions.
    """

    loss: Any = None
    tag_logits: Any = None
    proclitic_logits: Any = None
    word_states: Any = None
    relation_logits: Any = None
    factuality_logits: Any = None


def take(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows of ``states`` [B, N, H] at ``index`` [B, K], which is clipped at 0: [B, K, H]."""
    return states.gather(1, index.clamp(min=0).unsqueeze(-1).expand(-1, -1, states.shape[-1]))


class PairHead(nn.Module):
    """Relations, factuality and arguments of pairs of mentions, on word states that the encoder gave."""

    allowed: torch.Tensor
    fillers: torch.Tensor
    bounds: torch.Tensor

    def __init__(self, config: KhabarConfig, hidden: int) -> None:
        super().__init__()
        size = config.mention_size
        self.heads = config.relation_heads
        self.relations = len(config.relation_types)
        self.values = len(config.factuality)
        self.arguments = len(config.arguments)
        self.tags = nn.Embedding(len(config.tags), hidden)
        self.layer = nn.TransformerEncoderLayer(
            hidden, max(hidden // 64, 1), 2 * hidden, config.dropout, activation="gelu", batch_first=True
        )
        self.mention = nn.Sequential(nn.Linear(2 * hidden, size), nn.GELU(), nn.LayerNorm(size), nn.Dropout(config.dropout))
        self.head = nn.Linear(size, size)
        self.tail = nn.Linear(size, size)
        self.product = nn.Linear(size, size, bias=False)
        self.distance = nn.Embedding(2 * len(DISTANCES), size)
        self.apart = nn.Embedding(2, size)
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(hidden, size, bias=False)
        self.value = nn.Linear(hidden, size)
        self.zone = nn.Embedding(ZONES, self.heads)
        self.context = nn.Linear(size, size)
        self.pair = nn.Sequential(nn.GELU(), nn.LayerNorm(size), nn.Dropout(config.dropout))
        self.relation = nn.Linear(size, self.relations)
        self.factuality = nn.Linear(size, self.relations * self.values)
        self.argument_query = nn.Linear(size, self.arguments * 64)
        self.argument_relation = nn.Embedding(max(self.relations, 1), self.arguments * 64)
        self.argument_key = nn.Linear(size, self.arguments * 64)
        self.argument_none = nn.Parameter(torch.zeros(self.arguments))
        self.argument_distance = nn.Embedding(2 * len(DISTANCES), self.arguments)
        table = allowed_table(config)
        fillers = torch.tensor(
            [[name in types for name in config.entity_types] for types in config.arguments.values()], dtype=torch.bool
        ).reshape(self.arguments, len(config.entity_types))
        self.register_buffer("allowed", table)
        self.register_buffer("fillers", fillers)
        self.register_buffer("bounds", torch.tensor(DISTANCES))

    def buckets(self, distance: torch.Tensor) -> torch.Tensor:
        """Signed distances in words as bucket numbers."""
        bucket = torch.bucketize(distance.abs(), self.bounds, right=True) - 1
        return bucket + len(DISTANCES) * (distance < 0)

    def forward(
        self,
        word_states: torch.Tensor,
        word_unit: torch.Tensor,
        word_tag: torch.Tensor,
        mention_first: torch.Tensor,
        mention_last: torch.Tensor,
        mention_type: torch.Tensor,
        pair_head: torch.Tensor,
        pair_tail: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Shapes as in ``features.collate``.

        Returns:
            Relation logits [B, P, relations] (the lowest number where types forbid), factuality logits [B, P,
            relations, values], pair states [B, P, size], mention states [B, M, size].
        """
        padding = word_unit < 0
        padding = padding & ~padding.all(1, keepdim=True)  # a window without words would attend to nothing
        words = self.layer(word_states + self.tags(word_tag), src_key_padding_mask=padding)
        mentions = self.mention(torch.cat([take(words, mention_first), take(words, mention_last)], -1))
        h, t = take(mentions, pair_head), take(mentions, pair_tail)
        at = {
            name: source.gather(1, index.clamp(min=0))
            for name, source, index in (
                ("h1", mention_first, pair_head), ("h2", mention_last, pair_head), ("ht", mention_type, pair_head),
                ("t1", mention_first, pair_tail), ("t2", mention_last, pair_tail), ("tt", mention_type, pair_tail),
            )
        }  # fmt: skip
        unit_h, unit_t = word_unit.gather(1, at["h1"]), word_unit.gather(1, at["t1"])
        base = (
            self.head(h) + self.tail(t) + self.product(h * t)
            + self.distance(self.buckets(at["t1"] - at["h1"])) + self.apart((unit_h != unit_t).long())
        )  # fmt: skip
        states = self.pair(base + self.context(self._context(base, words, word_unit, padding, at, unit_h, unit_t)))
        allowed = self.allowed[at["ht"].clamp(min=0), at["tt"].clamp(min=0)] & (pair_head >= 0).unsqueeze(-1)
        relation = self.relation(states)
        relation = relation.masked_fill(~allowed, torch.finfo(relation.dtype).min)
        factuality = self.factuality(states).unflatten(-1, (self.relations, self.values))
        return relation, factuality, states, mentions

    def _context(
        self,
        base: torch.Tensor,
        words: torch.Tensor,
        word_unit: torch.Tensor,
        padding: torch.Tensor,
        at: dict[str, torch.Tensor],
        unit_h: torch.Tensor,
        unit_t: torch.Tensor,
    ) -> torch.Tensor:
        """Attention of each pair over the words of the window, told where each word stands seen from the pair."""
        place = torch.arange(words.shape[1], device=words.device)
        h1, h2, t1, t2 = (at[name].unsqueeze(-1) for name in ("h1", "h2", "t1", "t2"))
        unit = word_unit.unsqueeze(1)
        inside = (unit == unit_h.unsqueeze(-1)) | (unit == unit_t.unsqueeze(-1))
        zone = inside * (1 + 2 * (place >= torch.minimum(h1, t1)) + 2 * (place > torch.maximum(h2, t2)))
        zone = torch.where((place >= h1) & (place <= h2), 2, zone)
        zone = torch.where((place >= t1) & (place <= t2), 4, zone) + 6 * (t1 < h1)
        query = self.query(base).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key = self.key(words).unflatten(-1, (self.heads, -1)).permute(0, 2, 3, 1)
        value = self.value(words).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        scores = query @ key / query.shape[-1] ** 0.5 + self.zone(zone).permute(0, 3, 1, 2)
        scores = scores.masked_fill(padding[:, None, None, :], torch.finfo(scores.dtype).min)
        context: torch.Tensor = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        return context

    def arguments_of(
        self,
        pair_states: torch.Tensor,
        mention_states: torch.Tensor,
        word_unit: torch.Tensor,
        mention_first: torch.Tensor,
        mention_type: torch.Tensor,
        window: torch.Tensor,
        head: torch.Tensor,
        tail: torch.Tensor,
        relation: torch.Tensor,
    ) -> torch.Tensor:
        """Scores the mentions of a window as arguments of relations found in it.

        Args:
            pair_states: [R, size], the state of each relation's pair.
            mention_states: [B, M, size].
            word_unit: As in ``forward``.
            mention_first: As in ``forward``.
            mention_type: As in ``forward``.
            window: [R], the row of the batch that each relation stands in.
            head: [R], its head among the window's mentions.
            tail: [R], its tail.
            relation: [R], its type.

        Returns:
            Logits [R, arguments, 1 + M]; the first is "none". Mentions of another type, the head itself, and those more
            than one unit away from both ends have the lowest number.
        """
        query = (self.argument_query(pair_states) + self.argument_relation(relation)).unflatten(-1, (self.arguments, 64))
        key = self.argument_key(mention_states).unflatten(-1, (self.arguments, 64))[window]
        distance = mention_first[window] - mention_first[window, head].unsqueeze(-1)
        scores = torch.einsum("rak,rmak->ram", query, key) / 8 + self.argument_distance(self.buckets(distance)).transpose(1, 2)
        types = mention_type[window]
        unit = word_unit.gather(1, mention_first)[window]
        far = torch.minimum((unit - unit.gather(1, head[:, None])).abs(), (unit - unit.gather(1, tail[:, None])).abs()) > 1
        possible = (types >= 0) & ~far & (torch.arange(types.shape[1], device=types.device) != head.unsqueeze(1))
        fits = self.fillers[:, types.clamp(min=0)].transpose(0, 1) & possible.unsqueeze(1)
        scores = scores.masked_fill(~fits, torch.finfo(scores.dtype).min)
        none = self.argument_none.expand(len(scores), -1).unsqueeze(-1)
        return torch.cat([none, scores], -1)


class KhabarModel(PreTrainedModel):
    """Tags entities and classifies directed relations between them; see ``KhabarConfig`` and ``features.collate``."""

    config_class = KhabarConfig
    base_model_prefix = "khabar"
    _supports_sdpa = True

    def __init__(self, config: KhabarConfig) -> None:
        super().__init__(config)
        encoder_config = AutoConfig.for_model(**config.encoder)
        self.encoder = AutoModel.from_config(encoder_config, dtype=torch.float32)
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None
        # transformers 5 leaves non-persistent buffers uninitialised at load; the encoder's are made persistent.
        for module in self.encoder.modules():
            for name, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, buffer, persistent=True)
        hidden = encoder_config.hidden_size
        self.dropout = nn.Dropout(config.dropout)
        self.tagger = nn.Linear(hidden, len(config.tags))
        self.proclitics = nn.Linear(hidden, PROCLITIC_COUNTS)
        self.pairs: Any = PairHead(config, hidden) if config.relation_types else None
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.MultiheadAttention):
            nn.init.normal_(module.get_parameter("in_proj_weight"), std=0.02)
            nn.init.zeros_(module.get_parameter("in_proj_bias"))
        elif isinstance(module, PairHead):
            nn.init.zeros_(module.get_parameter("argument_none"))
            nn.init.constant_(module.relation.bias, -4.0)  # about one allowed pair in fifty is related

    def encode(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, word_first: torch.Tensor, word_last: torch.Tensor
    ) -> KhabarOutput:
        """The one encoder pass: word states (mean of first and last piece), tag and proclitic logits."""
        pieces = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        states = (take(pieces, word_first) + take(pieces, word_last)) / 2
        dropped = self.dropout(states)
        return KhabarOutput(tag_logits=self.tagger(dropped), proclitic_logits=self.proclitics(dropped), word_states=states)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        word_first: torch.Tensor,
        word_last: torch.Tensor,
        word_unit: Any = None,
        word_tag: Any = None,
        mention_first: Any = None,
        mention_last: Any = None,
        mention_type: Any = None,
        pair_head: Any = None,
        pair_tail: Any = None,
        tag_labels: Any = None,
        proclitic_labels: Any = None,
        relation_labels: Any = None,
        **_: Any,
    ) -> KhabarOutput:
        """Tag logits always, pair logits with mentions, the loss with labels; shapes as in ``features.collate``."""
        out = self.encode(input_ids, attention_mask, word_first, word_last)
        pairs = None
        if self.pairs is not None and pair_head is not None:
            pairs = self.pairs(
                out.word_states, word_unit, word_tag, mention_first, mention_last, mention_type, pair_head, pair_tail
            )
            out.relation_logits, out.factuality_logits, _, _ = pairs
        if tag_labels is None:
            return out
        weight = {**LOSS_WEIGHTS, **self.config.label_weights}
        loss = weight["tag"] * _cross_entropy(out.tag_logits, tag_labels)
        loss = loss + weight["proclitic"] * _cross_entropy(out.proclitic_logits, proclitic_labels)
        if pairs is not None:
            relation_logits, factuality_logits, states, mentions = pairs
            window, pair, kind, value = relation_labels[:, :4].unbind(1)
            target = torch.zeros_like(relation_logits)
            target[window, pair, kind] = 1.0
            possible = relation_logits > torch.finfo(relation_logits.dtype).min
            binary = F.binary_cross_entropy_with_logits(relation_logits, target, reduction="none")
            loss = loss + weight["relation"] * (binary * possible).sum() / (len(relation_labels) + 1)
            loss = loss + weight["factuality"] * _cross_entropy(factuality_logits[window, pair, kind], value)
            scores = self.pairs.arguments_of(
                states[window, pair], mentions, word_unit, mention_first, mention_type,
                window, pair_head[window, pair], pair_tail[window, pair], kind,
            )  # fmt: skip
            loss = loss + weight["argument"] * _cross_entropy(scores, relation_labels[:, 4:] + 1)
        out.loss = loss
        return out


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy over the labelled places; zero, with a gradient, where there are none."""
    logits, labels = logits.flatten(0, -2), labels.flatten()
    total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)
