# Every target works from a clean checkout; `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint fuzz-api bench-batch bench-stream bench-anomaly bench-api bench-load soak bench-archive \
  bench-analytics bench-forecast bench-grafana rules dashboards lock secrets clean

BIN := .venv/bin
# PS002, PS015: routines are CREATE OR REPLACE by design, in schemas where nobody else may create anything.
# A procedure that COMMITs cannot carry SET search_path; these begin with SET LOCAL instead.
PGSPOT_OPTIONS := --append --ignore PS002 --ignore PS015 \
  --proc-without-search-path 'rollup.refresh_pending()' \
  --proc-without-search-path 'silver.rekey_pending()' \
  --proc-without-search-path 'ops.refresh_job(p_job_id integer,p_config jsonb)' \
  --proc-without-search-path 'vault.reveal(p_subscriber_id bigint,p_reason text,INOUT p_identity text)' \
  --proc-without-search-path 'ops.enforce_retention()' \
  --proc-without-search-path 'analytics.run_task(p_task text)' \
  --proc-without-search-path 'analytics.run_job(p_job_id integer,p_config jsonb)' \
  --proc-without-search-path 'ops.retention_job(p_job_id integer,p_config jsonb)'

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: Debian packages, .venv, the project
	@./bootstrap.sh

demo: setup ## start the stack, load the samples, show Gold
	$(BIN)/telestream demo

test: ## run all tests
	@./bootstrap.sh --tests
	$(BIN)/pytest --numprocesses auto --dist worksteal

lint: setup ## check style, types, imports and SQL
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar db/sql migrations/versions
	find db/sql -name '*.sql' -print0 | xargs -0 -r -n 1 $(BIN)/pgspot $(PGSPOT_OPTIONS) .ci/pgspot.sql
	find migrations/versions -name '*.sql' ! -name '*.down.sql' -print0 | xargs -0 -r $(BIN)/squawk

# Each of the five tests takes so long.
FUZZ_SECONDS ?= 60
fuzz-api: setup ## send random documents, requests and messages to the API for five minutes
	TELESTREAM_FUZZ_SECONDS=$(FUZZ_SECONDS) TELESTREAM_FUZZ_SEED=$$(date +%s) \
	  $(BIN)/pytest --timeout=0 -rP tests/graphql_api/test_api_fuzz.py

bench-batch: setup ## measure the batch path against a bare \copy
	$(BIN)/telestream bench batch

bench-stream: setup ## measure Kafka to Gold against a bare loop, and the latency of events and alerts
	$(BIN)/telestream bench stream

bench-anomaly: setup ## measure precision and recall of the anomaly detection
	$(BIN)/telestream bench anomaly

bench-api: setup ## measure the GraphQL API under load, uncached and cached, and alerts to 1,000 subscribers
	$(BIN)/telestream bench api

bench-load: setup ## measure the API while files are loaded and events stream, then each panel of Grafana's dashboards
	$(BIN)/telestream bench load
	$(BIN)/telestream bench grafana

SOAK_ROUNDS ?= 60
soak: setup ## the same for an hour and a half (SOAK_ROUNDS): does anything grow?
	$(BIN)/telestream bench load --rounds $(SOAK_ROUNDS)

bench-archive: setup ## measure the archive: rows per second, bytes per row
	$(BIN)/telestream bench archive

bench-analytics: setup ## measure fingerprints, the rules against fraud, churn and the forecast: quality, seconds
	$(BIN)/telestream bench analytics
	$(BIN)/telestream bench fraud
	$(BIN)/telestream bench churn
	$(BIN)/telestream bench forecast

bench-forecast: setup ## measure the capacity forecast: error against seasonal naive, coverage, seconds, memory
	$(BIN)/telestream bench forecast

bench-grafana: setup ## measure what each panel of Grafana's dashboards takes
	$(BIN)/telestream bench grafana

rules: setup ## write the alert rules of Prometheus from k8s/prometheus/make_rules.py
	$(BIN)/python k8s/prometheus/make_rules.py

dashboards: setup ## write Grafana's dashboards from grafana/panels
	$(BIN)/python -m telestream.grafana.build

COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command 'make lock' --quiet --extra otel
lock: ## rewrite requirements.lock, and the part of it an image has, from pyproject.toml (needs uv)
	$(COMPILE) --extra embedded --extra dev -o requirements.lock
	$(COMPILE) --constraint requirements.lock -o requirements-runtime.lock

# The containers run as other users than the one who owns these files: it is the folder that keeps others out.
SECRETS := superuser_password owner_password api_password loader_password consumer_password grafana_password metrics_password \
  grafana_admin_password redis_password vault_key
secrets: $(SECRETS:%=secrets/%) ## make the passwords and the vault key that docker-compose.yml wants, where they are missing
# Of others, to be put in by hand; empty: not used.
GIVEN_SECRETS := slack_webhook_url pagerduty_routing_key
secrets: $(GIVEN_SECRETS:%=secrets/%)
$(GIVEN_SECRETS:%=secrets/%):
	@mkdir -p -m 700 secrets && touch $@ && chmod 644 $@
secrets/%:
	@mkdir -p -m 700 secrets && openssl rand -hex 32 > $@ && chmod 644 $@

clean: ## remove .venv, built pages and caches; the stack's data stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist src/*.egg-info
	rm -rf graphql/web/dist graphql/web/node_modules
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
