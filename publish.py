"""Publishes a model folder, or the corpus, on the Hugging Face hub; a dry run unless --push.

    python publish.py me/khabar
    python publish.py me/khabar-corpus --dataset
    HF_TOKEN=… python publish.py me/khabar --push --private

Stages exactly the files that go up and writes the card for REPO_ID. A staged model is loaded in a clean offline process
and its logits, buffers and weights compared with those of the folder's model here; the staged corpus (JSONL by split) is
loaded with datasets.load_dataset and compared with data/corpus. Then it uploads. The token is the one of 'hf auth login'
or of HF_TOKEN.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import transformers
from datasets.exceptions import DatasetsError
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id

from data.corpus_hub import stage_corpus
from data.hub import differences, measure, probe, stage
from data.training import trained_model

logger = logging.getLogger("publish")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repo_id", metavar="REPO_ID", help="owner/name on the hub")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", type=Path, default=Path("model"), help="model folder (default: %(default)s)")
    what.add_argument("--dataset", action="store_true", help="the corpus instead of a model")
    parser.add_argument("--push", action="store_true", help="upload; without it nothing leaves this machine")
    parser.add_argument("--revision", default="main", help="branch to upload to, made if missing (default: %(default)s)")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logger.setLevel(logging.INFO)
    try:
        validate_repo_id(options.repo_id)
        if "/" not in options.repo_id:
            raise ValueError(f"{options.repo_id}: needs an owner, as in me/{options.repo_id}")
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "stage"
            if options.dataset:
                _list(folder, stage_corpus(folder, repo_id=options.repo_id))
                logger.info("loads with datasets.load_dataset, every document as it is in data/corpus")
            else:
                _list(folder, stage(options.model, folder, repo_id=options.repo_id))
                model, tokenizer = trained_model(str(options.model))
                wrong = differences(measure(model.eval(), tokenizer), probe(folder))
                if wrong:
                    logger.error("loaded afresh, the staged model differs in: %s", ", ".join(wrong))
                    return 1
                logger.info("loads in a clean offline process with equal logits, buffers and weights")
            if not options.push:
                logger.info("dry run: nothing was uploaded; --push uploads to %s", options.repo_id)
                return 0
            kind = "dataset" if options.dataset else "model"
            _upload(folder, options.repo_id, kind=kind, revision=options.revision, private=options.private)
    except (
        OSError,
        ValueError,
        RuntimeError,
        DatasetsError,
        HFValidationError,
        LocalTokenNotFoundError,
        HfHubHTTPError,
    ) as error:
        logger.error("%s", error)
        return 1
    return 0


def _list(folder: Path, names: list[str]) -> None:
    for name in names:
        logger.info("%12d  %s", (folder / name).stat().st_size, name)


def _upload(folder: Path, repo_id: str, *, kind: str, revision: str, private: bool) -> None:
    api = HfApi()
    api.create_repo(repo_id, private=private, exist_ok=True, repo_type=kind)
    if revision != "main":
        api.create_branch(repo_id, branch=revision, exist_ok=True, repo_type=kind)
    done = api.upload_folder(
        repo_id=repo_id, folder_path=folder, revision=revision, commit_message=f"Upload Khabar {kind}", repo_type=kind
    )
    logger.info("uploaded: %s", done.commit_url)


if __name__ == "__main__":
    sys.exit(main())
