.DEFAULT_GOAL := help
PYTHON := .venv/bin/python

help:  ## This list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

.venv: pyproject.toml constraints.txt
	python3 -m venv .venv
	.venv/bin/pip install -q -c constraints.txt -e '.[dev]'
	touch .venv

install: .venv  ## Make the environment

lint: .venv  ## ruff and mypy --strict
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

test: .venv  ## All tests, offline
	$(PYTHON) -m pytest

predict: .venv  ## The sample article through the shipped model
	$(PYTHON) predict.py data/samples/article.txt

encoder: .venv  ## multilingual-e5-small, trimmed to Arabic news
	.venv/bin/pip install -q -c constraints.txt -e '.[e5]'
	$(PYTHON) prepare_encoder.py e5-small --output encoder

train: .venv encoder  ## A new model by configs/base.toml; --resume goes on after a break
	$(PYTHON) train.py configs/base.toml --encoder encoder --output runs/base

evaluate: .venv  ## Scores on the corpus's test split
	$(PYTHON) evaluate.py data/corpus/test

corpus: .venv  ## Checks and statistics of the corpus
	$(PYTHON) -m data.consistency data/corpus
	$(PYTHON) -m data.statistics

CURVE := 150 400 $(words $(wildcard data/corpus/train/*.txt))
curve: .venv encoder  ## The learning curve of data/README.md: hours on a CPU
	for n in $(CURVE); do \
	  $(PYTHON) train.py configs/curve.toml --documents $$n --output runs/curve-$$n && \
	  $(PYTHON) evaluate.py data/corpus/test --model runs/curve-$$n --record "corpus test" || exit 1; \
	done
	$(PYTHON) -m data.learning_curve $(CURVE:%=runs/curve-%)

.PHONY: help install lint test predict train evaluate corpus curve
