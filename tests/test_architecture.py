"""What may import what, and what no module may do."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, tiny_model
from transformers import PreTrainedTokenizerFast

MODEL = sorted((ROOT / "model").glob("*.py"))
DATA = sorted((ROOT / "data").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))
SOURCES = [*MODEL, *DATA, *SCRIPTS]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(dots, module) of every import, wherever in the file; of ``from . import x`` the names."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node.level, name) for name in names)


def test_the_sources_are_where_these_tests_look() -> None:
    assert len(MODEL) >= 9
    assert len(DATA) >= 10
    assert {path.stem for path in SCRIPTS} >= {"train", "predict", "evaluate"}


@pytest.mark.parametrize("path", MODEL, ids=name_of)
def test_the_model_imports_only_its_siblings_torch_transformers_and_the_standard_library(path: Path) -> None:
    siblings = {other.stem for other in MODEL}
    for level, module in imports(path):
        top = module.split(".")[0]
        if level:
            assert level == 1
            assert module in siblings
        else:
            assert top in {"torch", "transformers"} | sys.stdlib_module_names


@pytest.mark.parametrize("path", DATA, ids=name_of)
def test_data_never_imports_a_script(path: Path) -> None:
    scripts = {script.stem for script in SCRIPTS}
    for level, module in imports(path):
        assert level == 0
        assert module.split(".")[0] not in scripts | {"tests", "conftest"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_unpickles(path: Path) -> None:
    for level, module in imports(path):
        assert level or module.split(".")[0] not in {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("torch", "load"), ("pd", "read_pickle")}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
        if isinstance(node, ast.ImportFrom) and node.module == "torch":
            assert "load" not in {alias.name for alias in node.names}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_assert_stands_outside_tests(path: Path) -> None:
    assert [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)] == []


@pytest.mark.parametrize("relations", [True, False])
def test_every_buffer_is_saved(tokenizer: PreTrainedTokenizerFast, relations: bool) -> None:
    model = tiny_model(tokenizer) if relations else tiny_model(tokenizer, relation_types={}, symmetric=[])
    buffers = {name for name, _ in model.named_buffers()}
    assert "encoder.embeddings.position_ids" in buffers
    assert buffers <= model.state_dict().keys()
    assert ("pairs.allowed" in buffers) == relations
