"""The pipeline: ``pipeline("khabar", model=…, trust_remote_code=True)("نص")`` gives entities and relations."""

from __future__ import annotations

from typing import Any, cast

from transformers import Pipeline, PreTrainedTokenizerBase

from .decoding import Annotator, to_record
from .modeling_khabar import KhabarModel


class KhabarPipeline(Pipeline):
    """Who did what to whom in an Arabic text, as the JSON record that ``predict.py`` writes.

    ``min_score`` (0 to 1) leaves out relations that score less; the model's own thresholds hold in any case.
    """

    _load_tokenizer = True  # type: ignore[assignment]
    _load_processor = False  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]

    def _sanitize_parameters(self, min_score: float = 0.0, **_: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return {}, {"min_score": min_score}, {}

    def preprocess(self, input_: str, **_: Any) -> dict[str, Any]:
        if not isinstance(input_, str):
            raise TypeError(f"needs a text (str), got {type(input_).__name__}")
        return {"text": self._annotator().encode(input_)}

    def _forward(self, input_tensors: dict[str, Any], min_score: Any = 0.0, **_: Any) -> Any:
        return {"annotation": self._annotator(min_score).annotate([input_tensors["text"]])[0]}

    def postprocess(self, model_outputs: Any, **_: Any) -> dict[str, Any]:
        return to_record(model_outputs["annotation"], self._annotator().config)

    def _annotator(self, min_score: float = 0.0) -> Annotator:
        model, tokenizer = cast(KhabarModel, self.model), cast(PreTrainedTokenizerBase, self.tokenizer)
        return Annotator(model, tokenizer, min_score=min_score)
