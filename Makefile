# make run: from a fresh clone to a served log-in page.  make test: everything that CI asks for.
PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3))
VAR := $(or $(ROOST_VAR),var)
VENV := .venv
BIN := $(VENV)/bin
STATIC_FILES := $(shell find static -type f 2>/dev/null)

.PHONY: run setup hooks test check check-js check-pages system-packages lock clean

run: setup
	@exec $(BIN)/python manage.py up

# What has not changed since the last time is not done again.
setup: $(VENV)/installed $(VAR)/static-collected hooks
	@$(BIN)/python manage.py demo --migrate

# Commit messages say why (.githooks/commit-msg). Hooks that you have chosen yourself stay.
hooks:
	@if [ -e .git ] && command -v git >/dev/null && ! git config core.hooksPath >/dev/null; then \
	  git config core.hooksPath .githooks || true; fi

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Roost needs Python 3.11; $(PYTHON) is another. Name yours: make run PYTHON=/path/to/python3.11"; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt constraints.txt | $(VENV)/bin/python
	@echo "installing the Python packages; the first time takes minutes"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements-scale.txt requirements-extras.txt constraints.txt $(VENV)/installed
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@

$(VAR)/static-collected: $(VENV)/installed $(STATIC_FILES)
	@echo "collecting static files"
	@$(BIN)/python manage.py collectstatic --noinput --verbosity 0
	@touch $@

# Two workers, a file each: every worker has a folder, hence a database, of its own. What loads torch or a browser comes
# in a second run, since neither leaves a process as it was: in the order named, a real Label Studio's tests last.
TWO_WORKERS := -n 2 --dist loadfile
LIGHT := tests/web tests/toolbox tests/shared $(wildcard tests/test_*.py)
HEAVY := tests/browser tests/train tests/backend

test: system-packages check node_modules/.package-lock.json
	$(BIN)/python -m pytest $(TWO_WORKERS) $(LIGHT)
	$(BIN)/python -m pytest $(TWO_WORKERS) --no-loadscope-reorder $(HEAVY)
	$(BIN)/python -m tests.services

check: $(VENV)/installed-dev check-js check-pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check-js:
	node --test tests/js/*.test.js

# Format, lint and types of the JavaScript and the CSS.
BIOME := node_modules/.bin/biome
TSC := node_modules/.bin/tsc
check-pages: node_modules/.package-lock.json
	@if [ -x $(BIOME) ] && [ -x $(TSC) ]; then $(BIOME) check --error-on-warnings && $(TSC) && echo "tsc: no type is wrong"; \
	else echo "biome and tsc are not here (they come with npm): JavaScript and CSS are not checked"; fi

# biome and tsc check the pages, axe-core tests that they are accessible; what npm can't bring is skipped and says why.
node_modules/.package-lock.json: package.json package-lock.json
	@if ! command -v npm >/dev/null; then echo "npm is not here: the accessibility test and the checks of pages will be skipped"; \
	else npm ci --silent || echo "npm could not install package.json's: what needs them will be skipped"; fi

# Tests want a browser, a JavaScript engine, jemalloc, Postgres and Redis (they start servers of their own); only root
# on Debian gets them installed, others are told.
system-packages:
	@missing=""; \
	command -v node >/dev/null || missing="$$missing nodejs"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	ls /usr/lib/*/libjemalloc.so.2 >/dev/null 2>&1 || missing="$$missing libjemalloc2"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="$$missing postgresql"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "Not installed here:$$missing. Tests that need them are skipped, or fail with the reason."; \
	fi

# After changing a requirement: the exact versions that now lie in .venv.
lock: $(VENV)/installed-dev
	@{ head -1 constraints.txt; $(BIN)/python -m pip list --format=freeze --exclude uv --exclude pip --exclude setuptools \
	  --exclude wheel | sed -E 's/\+[a-z0-9.]+$$//' | grep -viE '^(nvidia-[cn]|triton)'; } > constraints.new
	@mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
	@echo "$(VAR)/ is kept: it holds your database and images"
