# make setup      a virtual environment in .venv with everything, in the versions of requirements.lock
# make setup-latest  the same with the newest versions within the ranges of requirements*.txt
# make app        the page: python app.py, in the browser
# make demo       the four steps on synthetic talking heads
# make test       what CI runs: lint and all tests
# make test-fast  lint and the tests not marked slow
# make messages   updates and compiles the translations (docs/translating.md)
# make schema     generates docs/result.schema.json from the types of the result
# make lint       ruff check and ruff format --check
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
# The number of test processes; the tests of one file share a process.
WORKERS ?= 2
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# A virtual environment with pip; $(1): the target, for the message.
define NEW_VENV
@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
	|| { echo "Python 3.10-3.13 is needed; name one: make $(1) PYTHON=python3.12"; exit 1; }
@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
endef
INSTALL := $(PY) -m pip install --disable-pip-version-check -q

.PHONY: setup setup-latest app demo test test-fast messages schema lint clean

setup: $(READY)

$(READY): requirements.lock
	$(call NEW_VENV,setup)
	$(INSTALL) --require-hashes -r requirements.lock
	@touch $@

setup-latest:
	$(call NEW_VENV,setup-latest)
	$(INSTALL) --upgrade -r requirements-dev.txt
	@touch $(READY)

# Without what only tests need; the versions of requirements.lock.
$(VENV)/.app-ready: requirements.txt requirements-web.txt requirements.lock
	$(call NEW_VENV,app)
	@echo 'Installing what is needed, once: about 6 GB, some minutes.'
	@echo '正在安装所需的软件（仅首次）：约 6 GB，需要几分钟。'
	@sed -n 's/^\([a-z0-9].*[^ ]\) *\\$$/\1/p' requirements.lock >$(VENV)/versions.txt
	$(INSTALL) -r requirements.txt -r requirements-web.txt -c $(VENV)/versions.txt
	@touch $@

app: $(VENV)/.app-ready
	$(PY) app.py

demo: setup
	$(PY) tools/demo.py

messages: setup
	$(PY) tools/update_messages.py

schema: setup
	$(PY) tools/write_schema.py

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

test: lint
	$(PYTEST)

test-fast: lint
	$(PYTEST) -m "not slow"

clean:
	rm -rf .pytest_cache .ruff_cache build dist lipsync.egg-info data/demo checkpoints/demo logs/demo
