"""The published model: configuration, network, processing and pipeline. Importing it registers the classes."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel

from .configuration_khabar import KhabarConfig
from .modeling_khabar import KhabarModel

AutoConfig.register(KhabarConfig.model_type, KhabarConfig, exist_ok=True)
AutoModel.register(KhabarConfig, KhabarModel, exist_ok=True)

__all__ = ["KhabarConfig", "KhabarModel"]
