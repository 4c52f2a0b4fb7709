# Favorites Priority. Each target first installs what the machine lacks.
PYTHON := .venv/bin/python
READY := .venv/.ready
BENCH_READY := .venv/.bench-ready
INPUTS := 200000
TIMES := 1
DEBIAN13 := .local/debian13
DEBIAN14 := .local/debian14
UBUNTU := .local/ubuntu

help:  ## List the targets
	@awk -F ':.*## *' '/^[a-z0-9]+:.*## /{printf "  %-13s%s\n", $$1, $$2}' Makefile

setup: $(READY)  ## Install what is missing: packages (root or sudo), .venv, npm packages

$(READY): requirements.lock stack/package.json stack/package-lock.json stack/setup.sh
	@stack/setup.sh
	@touch $@

demo: $(READY)  ## Show the whole job on real parts
	@$(PYTHON) -m stack demo

# Where this is set, each of its processes would compile all tests anew, each time.
test testall: export PYTHONDONTWRITEBYTECODE =
test: $(READY)  ## Run the tests
	@$(PYTHON) -m pytest -n 4

testall: $(READY)  ## Run all of them: on more marketplaces, in Firefox too, with more inputs
	@$(PYTHON) -m pytest -n 4 --all

debian13:  ## Run `make $TARGET` (test) in a Debian 13 of its own, in $DEBIAN13 (.local/debian13)
	@stack/system.sh trixie $(DEBIAN13) $(or $(TARGET),test)

debian14:  ## The same in what will be Debian 14, with PostgreSQL 18
	@stack/system.sh forky $(DEBIAN14) $(or $(TARGET),test)

ubuntu:  ## The same in an Ubuntu 26.04
	@stack/system.sh resolute $(UBUNTU) $(or $(TARGET),test)

up: $(READY)  ## Start the stack and leave it running; its settings go to .local/env
	@$(PYTHON) -m stack up

dashboard: up  ## Turn the flag on in that stack and say how to use its pages
	@. ./.local/env; \
	psql "$$DATABASE_URL" -X -q -o /dev/null -c 'select dispatch.set_favorites_priority(true)'; \
	echo "The flag is on. Open $$DASHBOARD_URL twice: be Carla in one tab, Frank in the other."

down: $(READY)  ## Stop the stack; its data stays in .local/
	@$(PYTHON) -m stack down

clean: $(READY)  ## Stop the stack and delete its data
	@$(PYTHON) -m stack clean

adopt: $(READY)  ## Install on the marketplace in $DATABASE_URL; shows what it found, asks (YES=1: not)
	@$(PYTHON) -m stack adopt

leave: $(READY)  ## Take it off the database in $DATABASE_URL again; the marketplace stays
	@$(PYTHON) -m stack leave

verify: $(READY)  ## Check the installation in $DATABASE_URL, else in the stack of `make up`
	@if [ -z "$$DATABASE_URL" ] && [ -e .local/env ]; then . ./.local/env; fi; \
	if [ -z "$$DATABASE_URL" ]; then echo 'Set DATABASE_URL, or run `make up` first.' >&2; exit 1; fi; \
	psql "$$DATABASE_URL" -X -f sql/favorites_priority/verify.sql || exit 1

$(BENCH_READY): $(READY) bench/requirements.lock bench/package.json bench/package-lock.json bench/setup.sh
	@bench/setup.sh
	@touch $@

bench: $(BENCH_READY)  ## Run the benchmarks, or $ONLY of them; ONLY=soak takes $DURATION seconds (600)
	@$(PYTHON) -m bench $(if $(ONLY),--only $(ONLY)) --duration $(or $(DURATION),600)

profile: $(BENCH_READY)  ## Count the instructions of a booking, an accept and a sweep, part by part
	@stack/setup.sh profile
	@$(PYTHON) -m bench.profile

chaos: $(READY)  ## Run the stack under load and faults for $DURATION seconds (60); then check all
	@$(PYTHON) -m chaos --seconds $(or $(DURATION),60) $(if $(SEED),--seed $(SEED))

failover: $(READY)  ## Lose the primary of three under load, $TIMES times (1); see failover/
	@stack/setup.sh failover
	@$(PYTHON) -m failover --times $(TIMES)

fuzz: $(READY)  ## Try $INPUTS random inputs (200000) on API, webhook and SQL
	@$(PYTHON) -m pytest -n 2 --maxschedchunk=1 tests/fuzz --inputs $(INPUTS)

screenshots: $(READY)  ## Take the pictures in docs/ again
	@$(PYTHON) -m tests.dashboard.screenshots

sql: $(READY)  ## Rebuild the generated files
	@$(PYTHON) -m stack.build_sql
	@$(PYTHON) -m stack.build_checks
	@$(PYTHON) -m stack.build_types
	@$(PYTHON) -m stack.build_module
	@$(PYTHON) -m stack.build_architecture

release: check  ## Freeze the migrations as they are; later changes go into new ones
	@$(PYTHON) -m stack.build_sql --release

check: $(READY)  ## Lint, check types and SQL, and that the generated files are current
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	$(PYTHON) -m sqlfluff lint --disable-progress-bar --nocolor
	$(PYTHON) -m stack.build_sql --check
	$(PYTHON) -m stack.build_checks --check
	$(PYTHON) -m stack.build_types --check
	$(PYTHON) -m stack.build_module --check
	$(PYTHON) -m stack.build_architecture --check
	$(PYTHON) -m stack.plpgsql_check
	$(PYTHON) -m stack.audit --if-reachable

audit: $(READY)  ## Ask the advisory databases about the pinned packages; fail if they do not answer
	@$(PYTHON) -m stack.audit

.PHONY: help setup demo test debian13 debian14 ubuntu up dashboard down clean verify bench profile chaos failover fuzz sql screenshots
.PHONY: release
.PHONY: adopt leave check audit
