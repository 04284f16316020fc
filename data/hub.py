"""Hub-ready folders: what stands in one, how it is written, how it is checked."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerBase

from data.card import model_card
from model.modeling_khabar import KhabarModel

CODE = Path(__file__).resolve().parent.parent / "model"
CODE_FILES = (
    "__init__.py", "configuration_khabar.py", "decoding.py", "features.py", "mentions.py", "modeling_khabar.py",
    "names.py", "pipeline_khabar.py", "text.py", "windows.py",
)  # fmt: skip
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
RUN_FILE = "run.json"
RESULTS_FILE = "results.json"
AUTO_MAP = {"AutoConfig": "configuration_khabar.KhabarConfig", "AutoModel": "modeling_khabar.KhabarModel"}
PIPELINES = {"khabar": {"impl": "pipeline_khabar.KhabarPipeline", "pt": ["AutoModel"]}}


def export(
    model: KhabarModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, run: Mapping[str, Any] | None = None
) -> None:
    """Writes a complete hub-ready folder: fp16 weights, config, tokenizer, code, what is known of the run, card.

    config.json says float32, so that the fp16 weights load as float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in CODE_FILES:
        if (CODE / name).resolve() != (folder / name).resolve():
            shutil.copyfile(CODE / name, folder / name)
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
    config = model.config.to_dict()
    config.pop("_name_or_path", None)
    config |= {"architectures": ["KhabarModel"], "dtype": "float32", "auto_map": AUTO_MAP, "custom_pipelines": PIPELINES}
    _write_json(folder / "config.json", config)
    if run is not None:
        _write_json(folder / RUN_FILE, run)
    write_card(folder)


def write_card(folder: Path, *, repo_id: str = "khabar") -> None:
    """Writes README.md of a hub-ready folder from its config, run and results."""
    config, run, results = (_read_json(folder / name) for name in ("config.json", RUN_FILE, RESULTS_FILE))
    size = (folder / "model.safetensors").stat().st_size
    (folder / "README.md").write_text(model_card(config, run, results, repo_id=repo_id, size=size), encoding="utf-8")


def record_results(folder: Path, name: str, results: Mapping[str, Any]) -> None:
    """Adds the scores of one set of documents to a hub-ready folder and renews its card."""
    known = _read_json(folder / RESULTS_FILE)
    known[name] = results
    _write_json(folder / RESULTS_FILE, known)
    write_card(folder)


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def stage(folder: Path, target: Path, *, repo_id: str) -> list[str]:
    """Copies to ``target`` exactly the files that go to the hub, with the card for ``repo_id``.

    Returns:
        Their names.

    Raises:
        FileNotFoundError: The folder lacks weights, config, tokenizer or code.
    """
    needed = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", *CODE_FILES)
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder}: not a complete model folder, lacks {', '.join(missing)}; train.py writes one")
    target.mkdir(parents=True, exist_ok=True)
    for name in (*needed, *TOKENIZER_FILES, RUN_FILE, RESULTS_FILE):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    write_card(target, repo_id=repo_id)
    return sorted(path.name for path in target.iterdir())


def measure(model: Any, tokenizer: Any) -> dict[str, torch.Tensor]:
    """Logits of a fixed sentence, all buffers and all weights of a model. Its source also runs in ``probe``'s process."""
    import torch

    batch = tokenizer(["أعلنت القوات سيطرتها على المدينة."], return_tensors="pt", return_token_type_ids=False)
    words = torch.arange(1, batch["input_ids"].shape[1] - 1)[None]
    unit, zero = torch.zeros_like(words), torch.zeros(1, 1, dtype=torch.long)
    types = torch.arange(2)[None] % len(model.config.entity_types)
    pair = {
        "word_unit": unit, "word_tag": unit, "mention_first": torch.tensor([[0, 2]]), "mention_last": torch.tensor([[1, 3]]),
        "mention_type": types, "pair_head": zero, "pair_tail": zero + 1,
    }  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order differ in their last bits
    with torch.no_grad():
        result = model(**batch, word_first=words, word_last=words, **(pair if model.pairs is not None else {}))
    torch.set_num_threads(threads)
    found = {name: value for name, value in result.items() if value is not None}
    found |= {f"buffer {name}": value for name, value in model.named_buffers()}
    found |= {f"weight {name}": value.detach() for name, value in model.named_parameters()}
    return {name: value.clone().contiguous() for name, value in found.items()}


CLEAN = """
import sys
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, pipeline
folder, out = sys.argv[1:]
pipeline("khabar", model=folder, trust_remote_code=True)("أعلنت القوات سيطرتها على المدينة.")
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
save_file(measure(model, AutoTokenizer.from_pretrained(folder)), out)
"""


def probe(folder: Path) -> dict[str, torch.Tensor]:
    """What ``measure`` gives for a model folder in a clean, offline process.

    The process stands in an empty folder and sees none of our modules and no network.

    Raises:
        RuntimeError: It cannot load the model; with what it printed.
    """
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out.safetensors"
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": place, "PYTHONSAFEPATH": "1"}
        program = f"from __future__ import annotations\nfrom typing import Any\n{inspect.getsource(measure)}{CLEAN}"
        command = [sys.executable, "-c", program, str(folder.resolve()), str(out)]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{folder}: does not load in a clean process:\n{done.stderr[-3000:]}")
        return load_file(out)


def differences(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the tensors that one of two probes lacks or that differ, dtype included."""
    return [
        name
        for name in sorted({*first, *second})
        if name not in first or name not in second or first[name].dtype != second[name].dtype
        or not torch.equal(first[name], second[name])
    ]  # fmt: skip
