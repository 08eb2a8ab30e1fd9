# The README's two commands: `make demo` sets up and runs TVOS on the embedded benchmark, `make test` sets up and passes the tests.

VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
INSTALLED := $(VENV)/.installed
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c '$(IS_NEW_ENOUGH)' 2>/dev/null && { echo $$p; break; }; done)

.PHONY: demo test docs setup check clean gpu records faults pictures

demo: $(INSTALLED)
	$(BIN)/harness run --plugin copyfirst --bench mini-small --out $(DEMO)/copyfirst --resume never
	$(BIN)/harness run --plugin tvos --preset small-videos --bench mini-small --out $(DEMO)/tvos --resume never
	$(BIN)/harness leaderboard add $(DEMO)/copyfirst --to $(DEMO)/leaderboard --replace
	$(BIN)/harness leaderboard add $(DEMO)/tvos --to $(DEMO)/leaderboard --replace
	@mkdir -p $(DEMO)/leaderboard/published
	$(BIN)/harness leaderboard build --records $(DEMO)/leaderboard/records \
		--published $(DEMO)/leaderboard/published --out $(DEMO)/leaderboard
	@echo
	@cat $(DEMO)/leaderboard/README.md
	@echo
	@echo "leaderboard page: $(DEMO)/leaderboard/README.md"

test: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist worksteal

# The site opens from disk: site/index.html.
docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]' -c constraints.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

setup: $(INSTALLED)

# What a CUDA machine must show, into runs/gpu; nothing is installed. Options: make gpu GPU='--budget 300 --skip training'.
gpu:
	$(PYTHON) -m benchmarks.gpu $(GPU)

# The leaderboard's own records that are not there yet, and its pages. Options: make records RECORDS='--only mini-small'.
records: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.records $(RECORDS)

# Seeded kills, spoilt files, full disks, odd clocks: after each the record of an unbroken run. FAULTS='--trials 20 --kind runner'.
faults: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.faults $(FAULTS)

# The pictures of README and docs, from two runs on mini and the leaderboard's own page in Chromium.
pictures: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.pictures

check:
	bash .ci/run

clean:
	rm -rf $(VENV) dist

# A venv that is there is used again; what changed in pyproject.toml or constraints.txt is installed into it.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later found ($$(python3 --version 2>&1)). Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 6; }
	@"$(PYTHON)" -c '$(IS_NEW_ENOUGH)' || { echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1); Python 3.11 or later is needed" >&2; exit 6; }
	@echo "Setting up $(VENV) with $(PYTHON); the first time this takes a few minutes."
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]' -c constraints.txt
	@touch $(INSTALLED)
