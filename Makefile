# How fast and how small the program is, beside the decoder alone and the usual tutorial.
PYTHON ?= .venv/bin/python
.PHONY: bench
bench:
	$(PYTHON) -m tests.benchmarks --json build/benchmarks.json
