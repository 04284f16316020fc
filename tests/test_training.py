"""Training end to end: it learns, it resumes exactly, it refuses what is not sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import MARKUP, ROOT, Ran, tiny_model
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

import train as script
from data.dataset import LengthSampler, collator, training_dataset
from data.hub import CODE_FILES
from data.prediction import predict
from data.schema import Document, Mention
from data.scoring import ARGUMENT, ENTITIES, FACTUAL, REL_PLUS, score
from data.training import Recipe, new_model, train, trained_model
from model.configuration_khabar import KhabarConfig
from model.decoding import Annotator, to_record
from model.modeling_khabar import KhabarModel

RECIPE = Recipe(
    epochs=3, batch_size=3, encoder_learning_rate=1e-3, head_learning_rate=2e-3, dropout=0.3, window=128, mention_size=64
)
COMPLETE = {*CODE_FILES, "README.md", "config.json", "model.safetensors", "run.json", "tokenizer.json", "tokenizer_config.json"}


def weights_differ(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    """Names of tensors that are not the same to the last bit."""
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]


def recipe_file(folder: Path, **settings: object) -> Path:
    path = folder / "recipe.toml"
    values = {"epochs": 2, "batch_size": 3, "window": 128, "mention_size": 64, **settings}
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()), encoding="utf-8")
    return path


# Learning


def test_a_tiny_model_learns_eight_documents_by_heart(
    run_model: KhabarModel, tokenizer: PreTrainedTokenizerFast, documents: list[Document]
) -> None:
    bare = [replace(d, mentions=(), relations=(), sentences=()) for d in documents]
    scores = score(documents, list(predict(Annotator(run_model, tokenizer), bare)), bootstrap=0)
    assert scores.total(ENTITIES).f1 == 1.0
    assert scores.total(REL_PLUS).f1 == 1.0
    assert scores.total(FACTUAL).f1 == 1.0
    assert scores.total(ARGUMENT).f1 == 1.0
    assert scores.word_f1 == 1.0
    assert scores.total(REL_PLUS).gold == sum(len(d.relations) for d in documents) > 20


def test_training_fits_thresholds_and_temperatures_on_the_development_documents(run_model: KhabarModel) -> None:
    assert run_model.config.temperatures != KhabarConfig().temperatures
    assert run_model.config.thresholds != KhabarConfig().thresholds


def test_the_trained_model_comes_back_in_evaluation_mode(run_model: KhabarModel) -> None:
    assert not any(module.training for module in run_model.modules())


# Resuming


def trained(
    documents: list[Document],
    tokenizer: PreTrainedTokenizerFast,
    checkpoints: Path,
    *,
    development: list[Document] | None = None,
    seed: int = 3,
    **how: object,
) -> KhabarModel:
    model = tiny_model(tokenizer, dropout=RECIPE.dropout, seed=seed)
    return train(documents, development or [], model, tokenizer, RECIPE, checkpoints=checkpoints, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def straight(
    documents: list[Document], tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], dict[str, torch.Tensor]]:
    """The weights after so many steps without a break; an epoch has three."""
    known: dict[int, dict[str, torch.Tensor]] = {}

    def weights(steps: int) -> dict[str, torch.Tensor]:
        if steps not in known:
            known[steps] = trained(documents, tokenizer, tmp_path_factory.mktemp("straight"), max_steps=steps).state_dict()
        return known[steps]

    return weights


@pytest.mark.parametrize(
    ("steps", "stop"),
    [(4, 2), (4, 3), (4, 1), (7, 4), (7, 6)],
    ids=["inside an epoch", "at its end", "after one step", "inside the second epoch", "at the end of the second"],
)
def test_a_resumed_run_ends_with_the_weights_of_a_straight_one(
    documents: list[Document],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    straight: Callable[[int], dict[str, torch.Tensor]],
    steps: int,
    stop: int,
) -> None:
    stopped = trained(documents, tokenizer, tmp_path, max_steps=steps, stop_after=stop)
    assert weights_differ(stopped.state_dict(), straight(steps))
    resumed = trained(documents, tokenizer, tmp_path, max_steps=steps, resume=True, seed=11)
    assert weights_differ(resumed.state_dict(), straight(steps)) == []


def test_a_resumed_run_of_whole_epochs_ends_like_a_straight_one_thresholds_included(
    documents: list[Document], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    straight = trained(documents, tokenizer, tmp_path / "straight", development=documents)
    trained(documents, tokenizer, tmp_path / "broken", development=documents, stop_after=5)
    resumed = trained(documents, tokenizer, tmp_path / "broken", development=documents, resume=True, seed=11)
    assert weights_differ(straight.state_dict(), resumed.state_dict()) == []
    assert resumed.config.to_dict() == straight.config.to_dict()


def test_dropout_is_on_in_these_runs(documents: list[Document], tokenizer: PreTrainedTokenizerFast) -> None:
    model = tiny_model(tokenizer, dropout=RECIPE.dropout).train()
    batch = collator(tokenizer)(list(training_dataset(documents, tokenizer, model.config)[0]))
    assert not torch.equal(model(**batch).loss, model(**batch).loss)


def test_resuming_without_a_checkpoint_is_an_error(
    documents: list[Document], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        trained(documents, tokenizer, tmp_path / "nothing", max_steps=2, resume=True)


def test_documents_without_text_are_an_error(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no text"):
        trained([Document("empty", "")], tokenizer, tmp_path, max_steps=1)


# The order of windows

LENGTHS = [(37 * i) % 101 + 1 for i in range(43)]


def order(*, seed: int = 1, epoch: int = 0, lengths: list[int] = LENGTHS) -> list[int]:
    sampler = LengthSampler(lengths, batch_size=4, seed=seed)
    sampler.set_epoch(epoch)
    assert len(sampler) == len(lengths)
    return list(sampler)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 43])
def test_the_sampler_gives_each_window_once(count: int) -> None:
    assert sorted(order(lengths=LENGTHS[:count])) == list(range(count))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first = order(seed=2, epoch=3)
    torch.manual_seed(99)
    torch.rand(5)
    assert order(seed=2, epoch=3) == first
    assert order(seed=2, epoch=4) != first
    assert order(seed=3, epoch=3) != first


def test_a_sampler_that_is_asked_twice_in_an_epoch_answers_the_same() -> None:
    sampler = LengthSampler(LENGTHS, batch_size=4, seed=1)
    assert list(sampler) == list(sampler)


def test_batches_hold_windows_of_similar_length() -> None:
    batches = [order()[i : i + 4] for i in range(0, len(LENGTHS), 4)]
    assert all(len(batch) == 4 for batch in batches[:-1])
    spread = [max(LENGTHS[i] for i in batch) - min(LENGTHS[i] for i in batch) for batch in batches]
    assert max(spread) <= 30, "the lengths span 100"
    means = [sum(LENGTHS[i] for i in batch) / len(batch) for batch in batches[:-1]]
    assert means not in (sorted(means), sorted(means, reverse=True)), "batches come shuffled"


# Recipes


def test_a_recipe_takes_what_its_file_sets_and_defaults_for_the_rest(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, dropout=0.25)
    path.write_text(path.read_text() + "[label_weights]\ntag = 2.0\n")
    assert Recipe.read(path) == Recipe(
        epochs=2, batch_size=3, window=128, mention_size=64, dropout=0.25, label_weights={"tag": 2.0}
    )


def test_a_recipe_refuses_an_unknown_key_and_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"recipe\.toml: unknown setting batchsize; known are epochs, batch_size,"):
        Recipe.read(recipe_file(tmp_path, batchsize=8))


def test_a_recipe_refuses_what_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("epochs: 12\n")
    with pytest.raises(ValueError, match=r"recipe\.toml: not TOML"):
        Recipe.read(path)


def test_a_setting_of_the_wrong_kind_is_a_clear_error_of_the_script(
    tmp_path: Path, gold_folder: Path, encoder_folder: Path, call: Callable[..., Ran]
) -> None:
    path = recipe_file(tmp_path, epochs="twelve")
    ran = call(
        script.main, path, "--train", gold_folder, "--dev", "none", "--encoder", encoder_folder, "--output", tmp_path / "out"
    )
    assert ran.code == 1
    assert "recipe.toml" in ran.err
    assert "epochs" in ran.err


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.name)
def test_every_recipe_of_the_project_can_be_read(path: Path) -> None:
    assert Recipe.read(path).epochs > 0


def test_the_recipe_weighs_the_losses_of_a_trained_model_too(
    documents: list[Document], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    kept = {}
    for weight in (0.0, 1.0):
        model = tiny_model(tokenizer, window=512, label_weights={"factuality": 9.0})
        before = model.pairs.factuality.weight.detach().clone()
        recipe = replace(RECIPE, label_weights={"factuality": weight}, weight_decay=0.0)
        train(documents, [], model, tokenizer, recipe, checkpoints=tmp_path / str(weight), max_steps=3)
        kept[weight] = torch.equal(before, model.pairs.factuality.weight)
        assert model.config.label_weights == {"factuality": weight}
    assert kept == {0.0: True, 1.0: False}


def test_a_share_of_the_initial_weights_stays(
    documents: list[Document], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    before = tiny_model(tokenizer, window=512).state_dict()
    after = {}
    for share in (0.0, 0.5, 1.0):
        model = tiny_model(tokenizer, window=512)
        recipe = replace(RECIPE, initial_share=share)
        after[share] = train(
            documents, [], model, tokenizer, recipe, checkpoints=tmp_path / str(share), max_steps=3
        ).state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[0.0][name])]
    assert len(moved) > len(before) / 2
    for name in moved:
        torch.testing.assert_close(after[0.5][name], (before[name] + after[0.0][name]) / 2)
        torch.testing.assert_close(after[1.0][name], before[name])


# The script


def test_training_stops_at_a_bad_document_and_says_where_it_stands(
    tmp_path: Path, encoder_folder: Path, call: Callable[..., Ran]
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "good.txt").write_text(MARKUP["t1"], encoding="utf-8")
    (folder / "wrong.txt").write_text("# id: w\nS1| زار [1:GPE قطر] [2:KING الملك].\nSUPPORT 1>2\n", encoding="utf-8")
    out = tmp_path / "out"
    ran = call(
        script.main, recipe_file(tmp_path), "--train", folder, "--dev", "none", "--encoder", encoder_folder, "--output", out
    )
    assert ran.code == 1
    assert "wrong.txt" in ran.err
    assert "[w]" in ran.err
    assert "KING" in ran.err
    assert "mend it or leave it out" in ran.err
    assert not out.exists()


def test_documents_trains_on_a_part_that_larger_parts_hold(
    tmp_path: Path, gold_folder: Path, encoder_folder: Path, call: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    monkeypatch.setattr(script, "train", lambda training, *_, **__: seen.append({d.id for d in training}))
    data = (recipe_file(tmp_path), "--train", gold_folder, "--dev", "none", "--encoder", encoder_folder, "--stop-after", 1)
    for count in (2, 4):
        assert call(script.main, *data, "--output", tmp_path / "o", "--documents", count).code == 0
    assert [len(ids) for ids in seen] == [2, 4]
    assert seen[0] < seen[1]
    for count in (0, 1000):
        ran = call(script.main, *data, "--output", tmp_path / "o", "--documents", count)
        assert ran.code == 1
        assert f"--documents {count}: there are 8 training documents" in ran.err
    assert len(seen) == 2


def test_training_documents_may_stand_in_several_places(
    tmp_path: Path, gold_folder: Path, encoder_folder: Path, call: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(script, "train", lambda training, *_, **__: seen.append([d.id for d in training]))
    files = sorted(gold_folder.iterdir())
    assert len(files) == 8
    options = ("--dev", "none", "--encoder", encoder_folder, "--stop-after", 1, "--output", tmp_path / "o")
    assert call(script.main, recipe_file(tmp_path), "--train", *files[2:5], files[0], *options).code == 0
    assert seen == [[file.stem for file in (*files[2:5], files[0])]]


def test_a_missing_training_folder_is_named(tmp_path: Path, encoder_folder: Path, call: Callable[..., Ran]) -> None:
    missing = tmp_path / "missing"
    ran = call(script.main, recipe_file(tmp_path), "--train", missing, "--encoder", encoder_folder, "--output", tmp_path / "o")
    assert ran.code == 1
    assert f"{missing}: no such file or folder" in ran.err


def test_the_script_stopped_and_resumed_writes_the_weights_file_of_a_straight_run(
    tmp_path: Path, gold_folder: Path, encoder_folder: Path, call: Callable[..., Ran]
) -> None:
    data = (recipe_file(tmp_path), "--train", gold_folder, "--dev", "none", "--encoder", encoder_folder, "--max-steps", 5)
    assert call(script.main, *data, "--output", tmp_path / "straight").code == 0
    assert call(script.main, *data, "--output", tmp_path / "broken", "--stop-after", 2).code == 0
    assert not (tmp_path / "broken/model.safetensors").exists()
    assert call(script.main, *data, "--output", tmp_path / "broken", "--resume").code == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "broken"))
    assert weights_differ(first, second) == []


def test_init_fine_tunes_a_trained_folder(
    tmp_path: Path, gold_folder: Path, own_run: Path, documents: list[Document], call: Callable[..., Ran]
) -> None:
    config = json.loads((own_run / "config.json").read_text())
    config["schema"] = "of-the-run"
    (own_run / "config.json").write_text(json.dumps(config))
    out = tmp_path / "tuned"
    path = recipe_file(tmp_path, encoder_learning_rate=1e-6, head_learning_rate=1e-6)
    ran = call(script.main, path, "--init", own_run, "--train", gold_folder, "--dev", "none", "--max-steps", 2, "--output", out)
    assert ran.code == 0, ran.err
    before, after = (load_file(folder / "model.safetensors") for folder in (own_run, out))
    assert weights_differ(before, after)
    assert all(torch.allclose(before[name].float(), after[name].float(), atol=2e-3) for name in before)
    model, tokenizer = trained_model(str(out))
    assert model.config.schema == "of-the-run"
    assert model.config.thresholds == config["thresholds"]
    scores = score(documents, list(predict(Annotator(model.eval(), tokenizer), documents)), bootstrap=0)
    assert scores.total(ENTITIES).f1 == 1.0
    assert json.loads((out / "run.json").read_text())["base_model"] == str(own_run)


def test_two_processes_train_together_and_write_a_complete_folder(
    tmp_path: Path, gold_folder: Path, encoder_folder: Path
) -> None:
    out = tmp_path / "out"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--cpu"]
    options = ["--train", gold_folder, "--dev", "none", "--encoder", encoder_folder, "--max-steps", "2", "--output", out]
    done = subprocess.run(
        [*launch, ROOT / "train.py", recipe_file(tmp_path), *options],
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in out.iterdir() if path.is_file()} >= COMPLETE
    assert json.loads((out / "checkpoints/checkpoint-2/trainer_state.json").read_text())["global_step"] == 2
    model, tokenizer = trained_model(str(out))
    annotator = Annotator(model.eval(), tokenizer)
    assert annotator.annotate([annotator.encode("نص قصير.")])[0].encoded.text == "نص قصير."


# Models


def test_a_new_model_stands_on_the_encoder_it_was_given(encoder_folder: Path) -> None:
    model, _ = new_model(str(encoder_folder), RECIPE)
    given = load_file(encoder_folder / "model.safetensors")
    own = model.encoder.state_dict()
    assert {name: value for name, value in own.items() if not name.endswith("_ids")}.keys() == given.keys()
    assert all(torch.equal(own[name], given[name]) for name in given)
    assert model.config.window == 128


def test_layers_keeps_the_lowest_layers_of_the_encoder(encoder_folder: Path) -> None:
    model, _ = new_model(str(encoder_folder), replace(RECIPE, layers=1))
    given = load_file(encoder_folder / "model.safetensors")
    own = model.encoder.state_dict()
    assert len(model.encoder.encoder.layer) == 1
    assert all(torch.equal(own[name], given[name]) for name in given if ".layer.1." not in name)


def test_a_plain_tagger_with_other_labels_learns_and_annotates(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    text = "عرض مهرجان الواحة فيلم رمال في قاعة النخيل."
    film, hall = text.index("رمال"), text.index("قاعة")
    mentions = (Mention(1, "FILM", film, film + 4), Mention(2, "HALL", hall, len(text) - 1))
    document = Document("m1", text, mentions=mentions)
    labels = {"entity_types": ["FILM", "HALL"], "relation_types": {}, "symmetric": [], "arguments": {}, "no_place": []}
    model = tiny_model(tokenizer, **labels)
    assert model.pairs is None
    assert model.config.tags == ["O", "B-FILM", "I-FILM", "B-HALL", "I-HALL"]
    dataset, unreachable = training_dataset([document], tokenizer, model.config)
    assert not unreachable
    loss = model(**collator(tokenizer)(list(dataset))).loss
    assert loss.isfinite()
    assert loss > 0
    recipe = replace(RECIPE, epochs=40, batch_size=1, dropout=0.0)
    train([document], [], model, tokenizer, recipe, checkpoints=tmp_path, max_steps=40)
    annotator = Annotator(model, tokenizer)
    record = to_record(annotator.annotate([annotator.encode(text)])[0], model.config)
    assert [(e["label"], e["text"]) for e in record["entities"]] == [("FILM", "رمال"), ("HALL", "قاعة النخيل")]
    assert record["relations"] == []


def test_a_plain_tagger_chooses_its_best_epoch_on_development_documents_too(
    tokenizer: PreTrainedTokenizerFast, documents: list[Document], tmp_path: Path
) -> None:
    model = tiny_model(tokenizer, relation_types={}, symmetric=[], arguments={}, no_place=[])
    recipe = replace(RECIPE, epochs=24, dropout=0.0, evaluate_from=20, patience=30)
    train(documents, documents, model, tokenizer, recipe, checkpoints=tmp_path)
    states = [json.loads(p.read_text()) for p in tmp_path.glob("*/trainer_state.json")]
    last = max(states, key=lambda state: state["global_step"])
    scores = [entry["eval_entities"] for entry in last["log_history"] if "eval_entities" in entry]
    found = score(documents, list(predict(Annotator(model, tokenizer), documents)), bootstrap=0)
    assert max(scores) > 0
    assert found.total(ENTITIES).f1 == max(scores)
