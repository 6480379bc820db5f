# Wenxun: `make demo` and `make test` need Python >= 3.11 and make; everything else they fetch into .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
DATA   ?= ../shared/data
STORES  = tests/desk $(shell grep -lrE 'store|delivery_fakes|acting_kit' --include='test_*.py' tests/agents tests/rules)

SHARED  = -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo stack stack-down stack-test postgres test fault check bench eval kafka compose-check sbom audit lock clean

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## ?/  make \1|/' | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python requirements.lock pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.run      ## a county's polling day in two minutes, from feed to answered alert (ARGS=--exit ends by itself)
	$(BIN)/wenxun demo $(ARGS)

stack: $(VENV)/.dev     ## the whole topology on this machine without Docker, fed by the demo (ARGS=status, ARGS=--help)
	@WENXUN_PYTHON=$(abspath $(BIN)/python) deploy/stack/run $(ARGS)

stack-down: $(VENV)/.dev        ## stop it in order; its data stay
	@WENXUN_PYTHON=$(abspath $(BIN)/python) deploy/stack/run stop $(ARGS)

test: $(VENV)/.dev      ## all tests that can run here but `fault` and `stack`; what is skipped is named at the end
	$(BIN)/python -m pytest $(SHARED) -m "not fault and not stack" $(ARGS)

fault: $(VENV)/.dev     ## 200 kills, stops, clock jumps, a broker that dies, whole days as a user: about an hour (WENXUN_KILLS=20 for fewer)
	WENXUN_KILLS=$(or $(WENXUN_KILLS),200) $(BIN)/python -m pytest $(SHARED) -m fault -rP --show-capture=stdout $(ARGS)

stack-test: $(VENV)/.dev        ## the stack on real servers: targets, rules, alerts, kills, dashboards' queries (a few minutes)
	$(BIN)/python -m pytest -m stack tests/stack $(ARGS)

postgres: $(VENV)/.dev  ## every test that uses a store, on a PostgreSQL of its own (Debian: apt-get install postgresql)
	$(BIN)/python -m pytest $(SHARED) --store postgresql $(ARGS) \
	  -m "(postgres or not sqlite) and not embedded and not browser and not kafka and not fault" \
	  tests/postgres $(STORES)

check: $(VENV)/.dev     ## ruff, mypy --strict, import directions
	$(BIN)/ruff check pipeline agents tests bench deploy
	$(BIN)/mypy
	$(BIN)/mypy --strict -p deploy.stack -p deploy.grafana.build
	$(BIN)/python -m pytest -q tests/test_architecture.py

bench: $(VENV)/.dev     ## what is measured, against named references (BENCH=name for one)
	$(BIN)/python -m bench $(BENCH) $(if $(DATA),--data $(DATA)) $(ARGS)

eval: $(VENV)/.dev      ## quality on real data: make eval DATA=../shared/data
	$(BIN)/python -m bench.eval --data $(DATA) $(ARGS)

kafka:           ## a real single-node Kafka from Maven's jars (Java 17, Maven); ARGS=stop|status
	deploy/kafka/run $(or $(ARGS),start)

compose-check: $(VENV)/.dev     ## docker-compose.yml against its schema and this project's rules
	$(BIN)/python -m pytest -q tests/test_compose.py

sbom: $(VENV)/.dev      ## what an installation is made of: dist/wenxun.cdx.json (CycloneDX), held against its schema
	$(BIN)/python -m deploy.supply.sbom dist/wenxun.cdx.json

audit: $(VENV)/.dev     ## known weaknesses of requirements.lock; says NOT REACHED where nobody could be asked
	$(BIN)/python -m deploy.supply.audit

lock: $(VENV)/.python   ## pin pyproject's dependencies with hashes
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header -c requirements.lock --extra dev pyproject.toml -o requirements-dev.lock

clean:           ## remove what was built, never your data
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
