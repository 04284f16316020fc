"""Configuration of a Khabar model: everything but the weights and the tokenizer that it needs to read a text."""

from __future__ import annotations

import json
from typing import Any

from transformers import PretrainedConfig


class KhabarConfig(PretrainedConfig):
    """Label sets, type constraints, sizes, thresholds and temperatures.

    Args:
        encoder: Configuration of the encoder, as a dictionary with its ``model_type``.
        entity_types: Names of the entity types.
        either_type: Groups of entity types between which one name may change within a text.
        relation_types: For each relation type its head and tail entity types. Empty: a plain tagger.
        symmetric: Relation types without a direction; the first-mentioned mention is their head.
        factuality: Factuality values; the first is the default.
        arguments: For each argument of a relation the entity types that can fill it.
        no_place: Relation types that take no ``at``.
        window: Longest input of the encoder in pieces, special tokens included.
        mention_size: Width of mentions and pairs in the heads.
        relation_heads: Attention heads of the relation layer and of the pair head.
        dropout: Dropout of the heads.
        label_weights: Weights of the losses: tag, proclitic, relation, factuality, argument.
        temperatures: ``tag`` divides the tag logits; ``relation`` and ``relation_bias`` turn the logit of a pair's
            probability into that of a relation's score.
        thresholds: The least score of a relation that is emitted, by type; ``default`` for types without their own.
        schema: Version of the annotation schema.
    """

    model_type = "khabar"

    def __init__(
        self,
        *,
        encoder: dict[str, Any] | None = None,
        entity_types: list[str] | None = None,
        either_type: list[list[str]] | None = None,
        relation_types: dict[str, list[list[str]]] | None = None,
        symmetric: list[str] | None = None,
        factuality: list[str] | None = None,
        arguments: dict[str, list[str]] | None = None,
        no_place: list[str] | None = None,
        window: int = 384,
        mention_size: int = 256,
        relation_heads: int = 4,
        dropout: float = 0.2,
        label_weights: dict[str, float] | None = None,
        temperatures: dict[str, float] | None = None,
        thresholds: dict[str, float] | None = None,
        schema: str = "",
        **kwargs: Any,
    ) -> None:
        self.encoder = encoder or {"model_type": "bert"}
        self.entity_types = entity_types or []
        self.either_type = either_type or []
        self.relation_types = relation_types or {}
        self.symmetric = symmetric or []
        self.factuality = factuality or ["asserted"]
        self.arguments = arguments or {}
        self.no_place = no_place or []
        self.window = window
        self.mention_size = mention_size
        self.relation_heads = relation_heads
        self.dropout = dropout
        self.label_weights = label_weights or {}
        self.temperatures = {"tag": 1.0, "relation": 1.0, "relation_bias": 0.0, **(temperatures or {})}
        self.thresholds = {"default": 0.5, **(thresholds or {})}
        self.schema = schema
        super().__init__(**kwargs)

    @property
    def tags(self) -> list[str]:
        """BIO tags: ``O``, then ``B-`` and ``I-`` of each entity type."""
        return ["O", *(f"{prefix}-{name}" for name in self.entity_types for prefix in "BI")]

    @property
    def relations(self) -> list[str]:
        """Names of the relation types, in the order of the pair head's outputs."""
        return list(self.relation_types)

    def to_json_string(self, use_diff: bool = True) -> str:
        """As in the base class, but in the order given, which numbers the labels; the base class sorts the keys."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    def allowed(self, head: str, tail: str) -> list[bool]:
        """For each relation type, whether it can link a head and a tail of these entity types."""
        return [head in heads and tail in tails for heads, tails in self.relation_types.values()]
