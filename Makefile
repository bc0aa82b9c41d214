# make book    build the book and print the file to open          make test   run every test and check
# make help    all targets
#
# The first call makes .venv and installs the exact versions of requirements.txt. PYTHON=python3.12 chooses the interpreter.

PYTHON  ?= python3
PORT    ?= 8000
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.installed
HTML    := _build/html
BUILT   := _build/.built
REPO    ?=

# One thread per process: test workers and notebook kernels are processes, and two cores have no room for more.
export OMP_NUM_THREADS := 1
export PYTHONHASHSEED := 0

BOOK_SOURCES := _config.yml _toc.yml \
  $(shell find book -type f -not -path '*/.*' 2>/dev/null) \
  $(shell find _web -type f -not -path '*/.*' 2>/dev/null) \
  $(shell find gst_tutorial -name '*.py' -o -name '*.csv' -o -name '*.json' 2>/dev/null)
# These read the built book, so they run after the build.
PAGE_TESTS := $(wildcard tests/test_pages*.py tests/test_browser_book*.py tests/book/test_live_book*.py)

.PHONY: help book serve test test-unit test-doctest test-notebooks test-pages test-colab lab notebooks lint bench slides archive pdf \
        repository lock clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo "make book         build the book (strict) and print the file to open"
	@echo "make serve        build it and serve it on http://127.0.0.1:$(PORT)/"
	@echo "make test         unit tests, doctests, notebooks against their stored outputs, strict build, built pages"
	@echo "make lab          open the notebooks in JupyterLab"
	@echo "make notebooks    run the notebooks, store outputs and run times (NOTEBOOKS=book/01_*.ipynb for some of them)"
	@echo "make lint         ruff on the package, tests, tools and notebooks; notebook hygiene"
	@echo "make bench        benchmarks: ratios measured side by side"
	@echo "make slides       slides of the key figures, in _build/slides"
	@echo "make archive      the book as one zip that works without a network, in _build"
	@echo "make pdf          the book as one PDF, in _build (needs Chromium)"
	@echo "make repository REPO=owner/name    set the name of the repository wherever it is used"
	@echo "make lock         write requirements.txt anew from its first section"
	@echo "make clean        remove what was built; .venv stays"

# ---- set-up ----

$(READY): requirements.txt pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "error: '$(PYTHON)' was not found. Install Python 3.11 or newer, or name yours: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1); the pinned versions of this book need Python 3.11 or newer." >&2; \
	  echo "       Name a newer interpreter: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) with $$("$(PYTHON)" --version)"; "$(PYTHON)" -m venv $(VENV) || { \
	  echo "error: Python's venv module is missing (Debian: apt-get install python3-venv)." >&2; exit 1; }; }
	@echo "Installing the versions of requirements.txt into $(VENV): some minutes the first time"
	@$(BIN)/python -m pip install --disable-pip-version-check -qq -r requirements.txt
	@$(BIN)/python -m pip install --disable-pip-version-check -qq --no-deps --no-build-isolation --editable .
	@touch $@

# ---- the book ----

$(BUILT): $(READY) $(BOOK_SOURCES)
	@rm -rf $(HTML) $@
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	@touch $@

book: $(BUILT)
	@echo "The book is built. Open: $(CURDIR)/$(HTML)/index.html"

serve: $(BUILT)
	@echo "Serving the book at http://127.0.0.1:$(PORT)/ (Ctrl+C stops it)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

archive: $(BUILT)
	$(BIN)/python tools/make_archive.py $(HTML) _build

pdf: $(BUILT)
	$(BIN)/python tools/make_pdf.py $(HTML) _build

slides: $(READY)
	$(BIN)/python tools/make_slides.py _build/slides

# ---- tests: every part runs, even after one has failed ----

test: $(READY)
	@$(MAKE) --no-print-directory --keep-going test-unit test-doctest test-notebooks test-pages test-colab

test-unit: $(READY)
	$(BIN)/python -m pytest tests $(addprefix --ignore=,$(PAGE_TESTS) tests/test_colab.py) -n 2 --dist loadfile --cov --cov-report=term

test-doctest: $(READY)
	$(BIN)/python -m pytest --doctest-modules gst_tutorial

test-notebooks: $(READY)
	$(BIN)/python -m pytest --nbval book --nbval-current-env --nbval-cell-timeout=180 \
	  --nbval-sanitize-with tests/nbval_sanitize.cfg -n 2 --dist loadfile

test-pages: $(BUILT)
	$(BIN)/python -m pytest $(PAGE_TESTS)

test-colab: $(READY)
	$(BIN)/python -m pytest tests/test_colab.py

# ---- working on the book ----

lab: $(READY)
	$(BIN)/jupyter lab book

NOTEBOOKS ?= $(wildcard book/*.ipynb)
notebooks: $(READY)
	$(BIN)/python tools/notebooks.py run $(NOTEBOOKS)
	$(BIN)/python tools/status.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check gst_tutorial tests tools benchmarks
	$(BIN)/python tools/notebooks.py check $(wildcard book/*.ipynb)

bench: $(READY)
	$(BIN)/python -m benchmarks

ifneq ($(filter repository,$(MAKECMDGOALS)),)
  ifeq ($(REPO),)
    $(error Name the repository: make repository REPO=owner/name)
  endif
endif

repository: $(READY)
	$(BIN)/python tools/set_repository.py "$(REPO)"

lock: $(READY)
	$(BIN)/python tools/lock.py

clean:
	rm -rf _build dist .pytest_cache .ruff_cache .coverage
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
