# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GROUPS ?= test

.PHONY: demo test test-faults test-planted check bench docs clean

demo: $(VENV)/.demo
	$(BIN)/python examples/flights/demo.py

# Three at once on two cores: half of what the tests do is waiting, for disks, servers and other processes.
test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/python -m compileall -q store lineage cli web  # for the thousands of processes that the tests start
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Every crash point, every damaged byte, many more random programs: what make test takes a slice of.
test-faults: $(VENV)/.test
	LINEAL_TEST_DEEP=1 $(BIN)/python -m pytest -n 3 --dist loadfile tests/system/test_crashes.py tests/system/test_healing.py \
		tests/system/test_memo.py tests/system/test_single_flight.py tests/system/test_random_kills.py tests/store/test_crash.py \
		tests/lineage/engine/test_oracle.py tests/lineage/automation/test_oracle.py tests/lineage/automation/test_daemon.py \
		tests/system/test_flights_backfill.py tests/system/test_serve_faults.py

# Bugs planted in copies of the tree: the suite that must catch each has to fail.
test-planted: $(VENV)/.test
	$(BIN)/python tests/planted/catch.py

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term-missing:skip-covered

bench: $(VENV)/.bench
	$(BIN)/python -m compileall -q store lineage cli web
	$(BIN)/python benchmarks/stages.py
	$(BIN)/python benchmarks/artifacts.py
	$(BIN)/python benchmarks/s3.py

docs: $(VENV)/.test
	$(BIN)/python docs/reference/generate.py

clean:
	rm -rf $(VENV) .demo

# The groups of pyproject.toml, at the versions of constraints.txt.
$(VENV)/.%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . --group $*
	touch $@
