"""Training on transformers' Trainer: batches of similar length, exact resume, early stopping on development Rel+."""

from __future__ import annotations

import logging
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from safetensors import SafetensorError
from torch.utils.data import Sampler
from transformers import (
    AutoTokenizer,
    EarlyStoppingCallback,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from data.calibration import fit
from data.dataset import LengthSampler, collator, schema_config, training_dataset
from data.encoder import check_source, check_tokenizer, load_encoder
from data.prediction import predict
from data.replacement import read_persons, replace_persons
from data.schema import Document
from data.scoring import ENTITIES, REL_PLUS, score
from model.configuration_khabar import KhabarConfig
from model.decoding import Annotator
from model.modeling_khabar import KhabarModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What a config file in ``configs/`` sets.

    Attributes:
        epochs: Passes over the training windows.
        batch_size: Windows in a step on each device.
        encoder_learning_rate, head_learning_rate: Peaks; both warm up linearly and then fall linearly to zero.
        warmup: Share of the steps that warm up.
        weight_decay: Of AdamW.
        patience: Stop after this many evaluations without a better development Rel+ (a plain tagger: entity F1).
        evaluate_from: First epoch (counted from 1) after which the development set is scored.
        seed: Of everything.
        label_weights: Of the losses; see ``KhabarConfig``.
        initial_share: At the end every weight is this share of what training began with, the rest what it came to (of a
            trained model that goes on: WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903).
        replaced_persons: Chance of each person of a training document to bear another name (``data.replacement``).
        layers: Of a new model: keep this many of the encoder's lowest layers; 0 keeps all.
        window, mention_size, relation_heads, dropout: Of a new model; see ``KhabarConfig``.
    """

    epochs: int = 12
    batch_size: int = 4
    encoder_learning_rate: float = 1e-4
    head_learning_rate: float = 5e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    patience: int = 4
    evaluate_from: int = 1
    seed: int = 1
    label_weights: dict[str, float] = field(default_factory=dict)
    initial_share: float = 0.0
    replaced_persons: float = 0.0
    layers: int = 0
    window: int = 512
    mention_size: int = 256
    relation_heads: int = 4
    dropout: float = 0.2

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Reads a TOML file.

        Raises:
            ValueError: A key that is not one of these, or a file that is no TOML.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: not TOML: {error}") from error
        unknown = values.keys() - {f.name for f in fields(cls)}
        if unknown:
            known = ", ".join(f.name for f in fields(cls))
            raise ValueError(f"{path}: unknown setting {', '.join(sorted(unknown))}; known are {known}")
        for name, value in values.items():
            kind = type(getattr(cls(), name))
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise ValueError(f"{path}: {name} = {value!r} must be of type {kind.__name__}")
        return cls(**values)


def new_model(
    source: str, recipe: Recipe, *, labels: Mapping[str, Any] | None = None
) -> tuple[KhabarModel, PreTrainedTokenizerBase]:
    """A model with fresh heads on an encoder from ``prepare_encoder.py``, a folder or a hub id.

    Args:
        source: The encoder.
        recipe: Settings.
        labels: Label sets as arguments of ``KhabarConfig``; without them those of ``data.schema``.
    """
    encoder, tokenizer = load_encoder(source)
    config: dict[str, Any] = encoder.config.to_dict()
    if recipe.layers:
        config["num_hidden_layers"] = recipe.layers
    config["attention_probs_dropout_prob"] = 0.0  # with it torch has no fused attention on CPU, which is twice as fast
    longest = min(config["max_position_embeddings"], tokenizer.model_max_length)
    torch.manual_seed(recipe.seed)
    model = KhabarModel(
        KhabarConfig(
            encoder=config, window=min(recipe.window, longest), mention_size=recipe.mention_size,
            relation_heads=recipe.relation_heads, dropout=recipe.dropout,
            **(schema_config() if labels is None else labels),
        )
    )  # fmt: skip
    kept = model.encoder.state_dict()
    weights = {name: value for name, value in encoder.state_dict().items() if name in kept}
    model.encoder.load_state_dict({**kept, **weights})
    return model, tokenizer


def trained_model(source: str) -> tuple[KhabarModel, PreTrainedTokenizerBase]:
    """A trained model, from a folder or a hub id, in float32.

    Raises:
        OSError: No such folder, and no such model on the hub or no network.
        ValueError: A damaged file.
    """
    check_source(source)
    try:
        model = KhabarModel.from_pretrained(source, dtype=torch.float32)
    except SafetensorError as error:
        raise ValueError(f"{source}: model.safetensors is damaged ({error}); fetch or copy the folder again") from error
    return model, check_tokenizer(AutoTokenizer.from_pretrained(source), source)


class KhabarTrainer(Trainer):
    """Trainer with our sampler, two learning rates and end-to-end evaluation on development documents."""

    def __init__(
        self, *, development: Sequence[Document], recipe: Recipe, tokenizer: PreTrainedTokenizerBase, **kwargs: Any
    ) -> None:
        self.development = development
        self.recipe = recipe
        self.tokenizer = tokenizer
        super().__init__(**kwargs)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        lengths = [len(ids) for ids in cast(Dataset, self.train_dataset)["input_ids"]]
        sampler = LengthSampler(lengths, batch_size=self.args.train_batch_size, seed=self.recipe.seed)
        self.add_callback(EpochCallback(sampler))
        return sampler

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with one learning rate for the encoder and one for the heads; no decay on biases and norms."""
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in cast(KhabarModel, self.model).named_parameters():
            groups.setdefault((name.startswith("encoder."), parameter.ndim > 1), []).append(parameter)
        recipe = self.recipe
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": recipe.encoder_learning_rate if encoder else recipe.head_learning_rate,
                    "weight_decay": recipe.weight_decay if matrix else 0.0,
                }
                for (encoder, matrix), parameters in groups.items()
            ]
        )
        return self.optimizer

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Scores the development documents end to end: ``eval_rel_plus`` and ``eval_entities``."""
        model = self.accelerator.unwrap_model(self.model)
        training = model.training
        model.eval()
        annotator = Annotator(model, self.tokenizer)
        scores = score(self.development, list(predict(annotator, self.development)), bootstrap=0)
        model.train(training)
        metrics = {"eval_rel_plus": scores.total(REL_PLUS).f1, "eval_entities": scores.total(ENTITIES).f1}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class EpochCallback(TrainerCallback):
    """Tells the sampler which epoch begins; accelerate's wrappers do not always pass that on."""

    def __init__(self, sampler: LengthSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.sampler.set_epoch(int((state.epoch or 0) + 1e-6))


class ProgressCallback(TrainerCallback):
    """Logs loss, scores and an estimate of the time left."""

    def __init__(self) -> None:
        self.start = 0.0
        self.first = -1  # the step at which this process began

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.first < 0:
            self.start, self.first = time.monotonic(), state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs:
            return
        done = state.global_step - self.first
        left = (time.monotonic() - self.start) / max(done, 1) * (state.max_steps - state.global_step) / 60
        shown = {k.removeprefix("eval_"): v for k, v in logs.items() if k in ("loss", "eval_rel_plus", "eval_entities")}
        if shown:
            values = ", ".join(f"{name} {float(value):.3f}" for name, value in shown.items())
            place = f"step {state.global_step} of {state.max_steps} (epoch {state.epoch:.1f})"
            logger.info("%s: %s; about %.0f min left", place, values, left)


def train(
    training: Sequence[Document],
    development: Sequence[Document],
    model: KhabarModel,
    tokenizer: PreTrainedTokenizerBase,
    recipe: Recipe,
    *,
    checkpoints: Path,
    resume: bool = False,
    max_steps: int = -1,
    stop_after: int | None = None,
) -> KhabarModel:
    """Trains ``model`` in place; at the end it holds the weights with the best development Rel+ (mixed with the initial
    ones if the recipe says so), fitted and calibrated.

    Args:
        training: Annotated documents.
        development: Annotated documents for early stopping, thresholds and temperatures; none: the last weights are kept.
        model: From ``new_model`` or ``trained_model``.
        tokenizer: Its tokenizer.
        recipe: Settings.
        checkpoints: Folder of the Trainer's checkpoints.
        resume: Go on from the last checkpoint in it.
        max_steps: Train this many steps instead of whole epochs.
        stop_after: Leave off after this step, with a checkpoint, as if cut off.

    Raises:
        RuntimeError: Several GPUs without ``accelerate launch`` (torch's DataParallel cannot split our batches).
        ValueError: No training windows, or nothing to resume from.
    """
    model.config.label_weights = dict(recipe.label_weights)
    if recipe.replaced_persons:
        persons = read_persons()
        training = [replace_persons(d, persons, share=recipe.replaced_persons, seed=recipe.seed) for d in training]
    dataset, unreachable = training_dataset(training, tokenizer, cast(KhabarConfig, model.config))
    if not len(dataset):
        raise ValueError("the training documents hold no text")
    for cause, count in unreachable.items():
        logger.info("training data, cannot be learnt: %d × %s", count, cause)
    logger.info("%d documents, %d windows; %d development documents", len(training), len(dataset), len(development))
    evaluated = bool(development) and max_steps < 0
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        max_steps=max_steps,
        per_device_train_batch_size=recipe.batch_size,
        warmup_steps=recipe.warmup,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        eval_strategy="epoch" if evaluated else "no",
        eval_delay=recipe.evaluate_from if evaluated else 0,
        save_strategy="epoch" if max_steps < 0 else "steps",
        save_steps=max(stop_after or max_steps, 1),
        save_total_limit=2,
        load_best_model_at_end=evaluated,
        metric_for_best_model=("eval_entities" if model.pairs is None else "eval_rel_plus") if evaluated else None,
        greater_is_better=True if evaluated else None,
        logging_steps=20,
        seed=recipe.seed,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
    )
    if arguments.n_gpu > 1:
        raise RuntimeError(
            f"{arguments.n_gpu} GPUs are visible: start with 'accelerate launch train.py …', or choose one with "
            "CUDA_VISIBLE_DEVICES=0"
        )
    callbacks: list[TrainerCallback] = [ProgressCallback()]
    if evaluated:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=recipe.patience))
    if stop_after is not None:
        callbacks.append(StopCallback(stop_after))
    trainer = KhabarTrainer(
        model=model, args=arguments, train_dataset=dataset, eval_dataset=dataset if evaluated else None,
        data_collator=collator(tokenizer), callbacks=callbacks, development=development, recipe=recipe, tokenizer=tokenizer,
    )  # fmt: skip
    initial = {name: weights.detach().clone() for name, weights in model.named_parameters()} if recipe.initial_share else {}
    trainer.train(resume_from_checkpoint=resume or None)
    if stop_after is None:
        with torch.no_grad():
            for name, weights in model.named_parameters():
                if name in initial:
                    weights.lerp_(initial[name].to(weights.device), recipe.initial_share)
    model.eval()  # type: ignore[no-untyped-call]
    if development and stop_after is None:
        fit(model, tokenizer, development)
    return model


class StopCallback(TrainerCallback):
    """Saves and stops after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= self.step:
            control.should_save = control.should_training_stop = True
