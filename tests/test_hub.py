"""Hub-ready folders: what is written, that it loads anywhere as what it was, and what its card says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from conftest import MARKUP, Ran, tiny_model
from huggingface_hub import ModelCard
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

import predict
from data.formats import from_markup
from data.hub import CODE, CODE_FILES, differences, export, measure, probe, record_results, stage
from data.schema import ARGUMENTS, ENTITY_TYPES, FACTUALITY, RELATION_TYPES, Document
from data.scoring import score
from model.modeling_khabar import KhabarModel

EXPECTED = {*CODE_FILES, "README.md", "config.json", "model.safetensors", "run.json", "tokenizer.json", "tokenizer_config.json"}


def clean_process(program: str, place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process that stands in an empty folder and sees none of our modules and no network."""
    place.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(place / "home"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=place, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120,
    )  # fmt: skip


# What is written


def test_export_writes_exactly_the_expected_files(run_folder: Path) -> None:
    assert {path.name for path in run_folder.iterdir()} == EXPECTED


def test_every_module_of_the_model_is_exported_unchanged(run_folder: Path) -> None:
    assert set(CODE_FILES) == {path.name for path in CODE.glob("*.py")}
    assert all((run_folder / name).read_bytes() == (CODE / name).read_bytes() for name in CODE_FILES)


def test_weights_are_written_in_fp16_and_config_says_float32(run_folder: Path, run_model: KhabarModel) -> None:
    written = load_file(run_folder / "model.safetensors")
    state = run_model.state_dict()
    assert written.keys() == state.keys()
    floats = [name for name, value in state.items() if value.is_floating_point()]
    assert all(written[name].dtype == torch.float16 for name in floats)
    assert all(torch.equal(written[name], value) for name, value in state.items() if name not in floats)
    with safe_open(run_folder / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert json.loads((run_folder / "config.json").read_text())["dtype"] == "float32"


def test_config_holds_labels_thresholds_and_where_the_code_is_but_no_local_path(
    run_folder: Path, run_model: KhabarModel
) -> None:
    config = json.loads((run_folder / "config.json").read_text())
    assert config["entity_types"] == list(ENTITY_TYPES)
    assert list(config["relation_types"]) == list(RELATION_TYPES)
    assert config["thresholds"] == run_model.config.thresholds
    assert config["temperatures"] == run_model.config.temperatures
    assert config["auto_map"] == {"AutoConfig": "configuration_khabar.KhabarConfig", "AutoModel": "modeling_khabar.KhabarModel"}
    assert config["custom_pipelines"]["khabar"]["impl"] == "pipeline_khabar.KhabarPipeline"
    assert "_name_or_path" not in config
    assert not [path for path in run_folder.glob("*.json") if "/tmp/" in path.read_text()]


def test_a_plain_save_keeps_the_numbers_of_the_labels(
    run_model: KhabarModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    run_model.save_pretrained(tmp_path)
    loaded = KhabarModel.from_pretrained(tmp_path, dtype=torch.float32)
    for name in ("relation_types", "arguments", "thresholds"):
        assert list(getattr(loaded.config, name)) == list(getattr(run_model.config, name)), name
    assert list(loaded.config.arguments) != sorted(loaded.config.arguments), "sorted keys would pass unseen"


def test_exporting_over_a_loaded_folder_keeps_it_whole(own_run: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    before = {path.name: path.read_bytes() for path in own_run.iterdir()}
    export(KhabarModel.from_pretrained(own_run, dtype=torch.float32), tokenizer, own_run)
    after = {path.name: path.read_bytes() for path in own_run.iterdir()}
    assert {name for name in before if before[name] != after.get(name)} <= {"config.json"}
    assert before.keys() == after.keys()


# That it loads anywhere


def test_a_clean_process_loads_what_was_saved(
    run_folder: Path, run_model: KhabarModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    saved = tiny_model(tokenizer, window=512)
    saved.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in run_model.state_dict().items()})
    expected, found = measure(saved.eval(), tokenizer), probe(run_folder)
    assert differences(expected, found) == []
    weights = dict(run_model.named_parameters())
    assert {name for name in found if name.startswith("weight ")} == {f"weight {name}" for name in weights}
    assert all(found[f"weight {name}"].dtype == torch.float32 for name in weights)
    assert all(torch.equal(found[f"weight {name}"], value.half().float()) for name, value in weights.items())
    buffers = dict(run_model.named_buffers())
    assert "encoder.embeddings.position_ids" in buffers
    assert {name for name in found if name.startswith("buffer ")} == {f"buffer {name}" for name in buffers}
    assert all(torch.equal(found[f"buffer {name}"], value) for name, value in buffers.items())
    assert {"tag_logits", "proclitic_logits", "word_states", "relation_logits", "factuality_logits"} <= found.keys()


PLAIN = """
import json, sys
from transformers import AutoModel, pipeline
folder, text, out, tagger = sys.argv[1:]
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
pipe = pipeline("khabar", model=folder, trust_remote_code=True)
records = [pipe("نص عربي"), pipe(text), *pipe([text, ""])]
low = pipe(text, min_score=2.0)
tags = pipeline("khabar", model=tagger, trust_remote_code=True)(text)
kind = [type(model).__name__, str(next(model.parameters()).dtype), model.training]
with open(out, "w", encoding="utf-8") as file:
    json.dump({"records": records, "low": low, "tags": tags, "kind": kind, "data": "data" in sys.modules}, file)
"""


def test_automodel_and_pipeline_work_anywhere_and_give_the_record_of_predict(
    run_folder: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, call: Callable[..., Ran]
) -> None:
    tagger = tiny_model(tokenizer, relation_types={}, symmetric=[], arguments={}, no_place=[])
    torch.nn.init.normal_(tagger.tagger.weight, std=1.0)
    export(tagger, tokenizer, tmp_path / "tagger")
    text = from_markup(MARKUP["t1"]).text + " وقال مصدر: «لا تعليق».\u200f"
    (tmp_path / "t.txt").write_bytes(text.encode())
    out = tmp_path / "records.json"
    done = clean_process(PLAIN, tmp_path / "elsewhere", run_folder, text, out, tmp_path / "tagger")
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["kind"] == ["KhabarModel", "torch.float32", False]
    assert not result["data"]
    ran = call(predict.main, tmp_path / "t.txt", "--model", run_folder)
    plain = call(predict.main, tmp_path / "t.txt", "--model", tmp_path / "tagger")
    expected, tags = (
        {key: value for key, value in json.loads(found.out).items() if key not in ("id", "model")} for found in (ran, plain)
    )
    assert result["tags"] == tags
    assert tags["entities"]
    assert tags["relations"] == []
    assert "Relations:" not in (tmp_path / "tagger/README.md").read_text(encoding="utf-8")
    short, single, listed, empty = result["records"]
    assert single == listed == expected
    assert list(single) == list(expected)
    assert single["relations"]
    assert all(list(a) == list(b) for a, b in zip(single["relations"], expected["relations"], strict=True))
    assert short["text"] == "نص عربي"
    assert (empty["entities"], empty["relations"], empty["sentences"]) == ([], [], [])
    assert result["low"]["relations"] == []
    assert result["low"]["entities"] == single["entities"]


def test_a_folder_that_does_not_load_is_reported_with_what_the_process_printed(own_run: Path) -> None:
    (own_run / "features.py").write_text("raise RuntimeError('kaputt')\n")
    with pytest.raises(RuntimeError, match=r"(?s)does not load in a clean process.*kaputt"):
        probe(own_run)


def test_differences_names_what_is_missing_or_not_equal() -> None:
    one = torch.ones(2)
    assert differences({"a": one, "b": one}, {"a": one.clone(), "b": one.clone()}) == []
    assert differences({"a": one, "b": one, "c": one}, {"a": one + 1e-7, "b": one.half(), "d": one}) == ["a", "b", "c", "d"]


# Staging


def test_stage_copies_exactly_what_goes_up(own_run: Path, tmp_path: Path) -> None:
    for name in ("checkpoints/checkpoint-3/optimizer.pt", ".env", "notes.txt", "training_args.bin", "__pycache__/x.pyc"):
        (own_run / name).parent.mkdir(parents=True, exist_ok=True)
        (own_run / name).write_bytes(b"hf_secret")
    target = tmp_path / "stage"
    assert set(stage(own_run, target, repo_id="someone/khabar-test")) == EXPECTED
    assert {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()} == EXPECTED
    assert all((target / n).read_bytes() == (own_run / n).read_bytes() for n in EXPECTED - {"README.md"})
    assert "someone/khabar-test" in (target / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "windows.py"])
def test_stage_refuses_a_folder_that_lacks_a_file(own_run: Path, tmp_path: Path, name: str) -> None:
    (own_run / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"not a complete model folder, lacks {name}"):
        stage(own_run, tmp_path / "stage", repo_id="a/b")
    assert not (tmp_path / "stage").exists()


# The card


def test_the_card_has_metadata_that_the_hub_can_read(run_folder: Path) -> None:
    card = ModelCard.load(run_folder / "README.md")
    assert card.data.language == ["ar"]
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "token-classification"
    assert "relation-extraction" in card.data.tags
    assert card.data.eval_results is None
    assert "Not measured yet." in card.text


def test_the_card_says_that_allegations_are_not_facts_and_what_the_model_is_not_for(run_folder: Path) -> None:
    text = ModelCard.load(run_folder / "README.md").text
    assert "**Allegations are not facts.**" in text
    assert "never what happened" in text
    assert "Not evidence against anybody." in text
    assert all(name in text for name in (*ENTITY_TYPES, *RELATION_TYPES, *FACTUALITY, *ARGUMENTS))


def test_the_program_on_the_card_is_sound_python_for_its_repository(own_run: Path, tmp_path: Path) -> None:
    stage(own_run, tmp_path / "stage", repo_id="someone/khabar-test")
    text = (tmp_path / "stage/README.md").read_text(encoding="utf-8")
    program = text.split("```python\n")[1].split("```")[0]
    compile(program, "card", "exec")
    assert 'model="someone/khabar-test"' in program


def test_recorded_results_stand_in_the_folder_and_in_the_metadata_of_the_card(own_run: Path, documents: list[Document]) -> None:
    results = score(documents, documents, bootstrap=20).to_json()
    record_results(own_run, "own test", results)
    record_results(own_run, "other test", results)
    assert json.loads((own_run / "results.json").read_text(encoding="utf-8")) == {"own test": results, "other test": results}
    card = ModelCard.load(own_run / "README.md")
    found = {(r.dataset_name, r.metric_name): (r.metric_type, r.metric_value) for r in card.data.eval_results}
    assert found["own test", "Rel+"] == ("f1", 1.0)
    assert found["other test", "entities (characters, strict)"] == ("f1", 1.0)
    assert "| | own test | other test |" in card.text
    assert "Not measured yet." not in card.text


@pytest.mark.parametrize(
    ("base", "named"),
    [("intfloat/multilingual-e5-small", True), ("encoder", False), ("/home/me/encoder", False), ("runs/base", False)],
)
def test_the_metadata_name_a_hub_model_as_base_model_but_never_a_local_folder(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, named: bool
) -> None:
    (tmp_path / "runs/base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    export(tiny_model(tokenizer), tokenizer, tmp_path / "out", run={"base_model": base, "batch_size": 3})
    text = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "- batch size: 3" in text
    assert yaml.safe_load(text.split("---\n")[1]).get("base_model") == (base if named else None)
