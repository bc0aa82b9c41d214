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
UV      := _build/uv/bin/uv
HATCH   := _build/hatch/bin/hatchling
# The lock with checksums: all but torch and torchvision, of which every build has others.
HASHES  := requirements-hashes.txt
UNHASHED := --no-emit-package torch --no-emit-package torchvision
# What README promises for `make book` and `make test`.
OLDEST_PYTHON := 3.11.2
NEWEST_PYTHON := 3.13
# What README promises for the package; each has a file of the oldest versions that it works with.
PACKAGE_PYTHONS := 3.10 3.11 3.12 3.13
# No address of an index, no path, no reason behind a line: the same file on every machine.
LOCK_STYLE  := --no-header --no-annotate --no-emit-index-url --no-emit-find-links --excludes tools/lock_excludes.txt
LOCK_HEADER := \# Written by `make lock` from requirements.in. Checksums, of all but torch: requirements-hashes.txt.
HASHES_HEADER := \# Written by `make lock` from requirements.txt. Without torch and torchvision: each of their builds has other checksums.
OLDEST_STYLE  := $(LOCK_STYLE) --excludes tools/oldest/excludes.txt --only-binary :all:
OLDEST_HEADER := \# Written by `make lock` from the lower bounds of pyproject.toml: on this Python, the oldest with wheels. Without torch.

# One thread per process: test workers and notebook kernels are processes, and two cores have no room for more.
export OMP_NUM_THREADS := 1
export PYTHONHASHSEED := 0

BOOK_SOURCES := _config.yml _toc.yml \
  $(shell find book -type f -not -path '*/.*' 2>/dev/null) \
  $(shell find _web -type f -not -path '*/.*' 2>/dev/null) \
  $(shell find gst_tutorial -type f -not -path '*/__pycache__/*' 2>/dev/null)
# These read the built book, so they run after the build.
PAGE_TESTS := $(wildcard tests/book/test_pages*.py tests/book/test_browser_book*.py tests/book/test_live_book*.py)

.PHONY: help book serve test test-unit test-doctest test-notebooks test-pages test-colab lab notebooks lint bench slides exercises archive pdf wheel \
        repository lock check-lock clean
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
	@echo "make slides       slides for a lecture, in _build/slides"
	@echo "make exercises    the exercises as notebooks without solutions, in _build/exercises"
	@echo "make archive      the book as one zip that works without a network, in _build"
	@echo "make pdf          the book as PDFs, for teachers and for students, in _build (needs Chromium)"
	@echo "make wheel        the package as a release has it, in _build/dist"
	@echo "make repository REPO=owner/name    set the name of the repository wherever it is used"
	@echo "make lock         write requirements*.txt and tools/oldest anew, and check them on each Python that README names"
	@echo "make clean        remove what was built; .venv stays"

# ---- set-up ----

$(READY): requirements.txt $(HASHES) pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "error: '$(PYTHON)' was not found. Install Python 3.11 or newer, or name yours: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1); the pinned versions of this book need Python 3.11 or newer." >&2; \
	  echo "       Name a newer interpreter: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) with $$("$(PYTHON)" --version)"; "$(PYTHON)" -m venv $(VENV) || { \
	  echo "error: Python's venv module is missing (Debian: apt-get install python3-venv)." >&2; exit 1; }; }
	@echo "Installing the versions of requirements.txt into $(VENV): some minutes the first time"
	@$(BIN)/python -m pip install --disable-pip-version-check -qq --no-deps --require-hashes -r $(HASHES)
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
	$(BIN)/python -m tools.publish.archive $(HTML) _build

# The packages need nothing but hatchling, in an environment of its own, with the lock's checksums.
wheel: $(HATCH)
	$(HATCH) build -d _build/dist

$(HATCH): $(HASHES)
	@"$(PYTHON)" -m venv _build/hatch
	@awk '/^[^ ]/ {wanted = /^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==/} wanted' $(HASHES) > _build/hatch/lock.txt
	@_build/hatch/bin/python -m pip install --disable-pip-version-check -qq --no-deps --require-hashes -r _build/hatch/lock.txt
	@touch $@

pdf: $(BUILT)
	$(BIN)/python -m tools.publish.pdf $(HTML) _build

slides: $(READY)
	$(BIN)/python -m tools.publish.slides _build/slides

exercises: $(READY)
	$(BIN)/python -m tools.publish.exercises _build/exercises

# ---- tests: every part runs, even after one has failed ----

test: $(READY)
	@$(MAKE) --no-print-directory --keep-going test-unit test-doctest test-notebooks test-pages test-colab

test-unit: $(READY)
	$(BIN)/python -m pytest tests $(addprefix --ignore=,$(PAGE_TESTS) tests/publishing/test_colab.py) -n 2 --dist loadfile --cov --cov-report=term

test-doctest: $(READY)
	$(BIN)/python -m pytest --doctest-modules gst_tutorial

test-notebooks: $(READY)
	$(BIN)/python -m pytest --nbval book --nbval-current-env --nbval-cell-timeout=180 \
	  --nbval-sanitize-with tests/book/nbval_sanitize.cfg -n 2 --dist loadfile

test-pages: $(BUILT)
	$(BIN)/python -m pytest $(PAGE_TESTS)

test-colab: $(READY)
	$(BIN)/python -m pytest tests/publishing/test_colab.py -n 2 --dist load

# ---- working on the book ----

lab: $(READY)
	@if [ "$$(id -u)" -eq 0 ]; then \
	  echo "error: JupyterLab refuses to run as root. Run 'make lab' as another user, or, in a container that holds nothing else," >&2; \
	  echo "       start it yourself: $(BIN)/jupyter lab --allow-root book" >&2; exit 1; fi
	$(BIN)/jupyter lab book

NOTEBOOKS ?= $(wildcard book/*.ipynb)
notebooks: $(READY)
	$(BIN)/python -m tools.notebooks.run run $(NOTEBOOKS)
	$(BIN)/python -m tools.pages.status

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check gst_tutorial tests tools benchmarks
	$(BIN)/python -m tools.notebooks.run check $(wildcard book/*.ipynb)

bench: $(READY)
	$(BIN)/python -m benchmarks

ifneq ($(filter repository,$(MAKECMDGOALS)),)
  ifeq ($(REPO),)
    $(error Name the repository: make repository REPO=owner/name)
  endif
endif

repository: $(READY)
	$(BIN)/python -m tools.publish.repository "$(REPO)"

# One file for every Python that README names. Pins that are in it already stay unless requirements.in changes them, and a
# package gets one version for all Pythons where there is one. The oldest versions differ from Python to Python, since an old
# release has no wheels for a newer Python: a file each. `check-lock` installs nothing: it resolves the files for the Pythons
# that they are for, wheels only, and names what does not fit.
lock: $(UV) requirements.in pyproject.toml
	$(UV) pip compile --quiet $(LOCK_STYLE) --universal --fork-strategy fewest --python-version $(OLDEST_PYTHON) \
	  --no-strip-extras requirements.in --output-file requirements.txt
	@sed -i.old '1i $(LOCK_HEADER)' requirements.txt && rm requirements.txt.old
	@! grep -E '^(nvidia|cuda|triton)' requirements.txt || { \
	  echo "error: requirements.txt has GPU libraries (above): add them to tools/lock_excludes.txt" >&2; exit 1; }
	$(UV) pip compile --quiet $(LOCK_STYLE) --universal --no-deps --python-version $(OLDEST_PYTHON) --no-strip-extras \
	  --generate-hashes $(UNHASHED) requirements.txt --output-file $(HASHES)
	@sed -i.old '1i $(HASHES_HEADER)' $(HASHES) && rm $(HASHES).old
	@for version in $(PACKAGE_PYTHONS); do \
	  file=tools/oldest/$$version.txt && \
	  $(UV) pip compile --quiet $(OLDEST_STYLE) --universal --resolution lowest-direct --upgrade --python-version $$version \
	    pyproject.toml tools/oldest/colab.in --output-file $$file && \
	  sed -i.old '1i $(OLDEST_HEADER)' $$file && rm $$file.old || exit 1; \
	done
	@$(MAKE) --no-print-directory check-lock

check-lock: $(UV)
	@_build/uv/bin/python -m pip install --disable-pip-version-check -qq --dry-run --ignore-installed --no-deps \
	  --require-hashes -r $(HASHES) && echo "$(HASHES): there are files with these checksums" || \
	  { echo "error: files of $(HASHES) are missing or have other checksums" >&2; exit 1; }
	@for version in $(OLDEST_PYTHON) $(NEWEST_PYTHON); do \
	  $(UV) pip compile --quiet $(LOCK_STYLE) --python-version $$version --only-binary :all: requirements.txt >/dev/null && \
	  echo "requirements.txt resolves on Python $$version" || \
	  { echo "error: requirements.txt does not resolve on Python $$version" >&2; exit 1; }; \
	done
	@for version in $(PACKAGE_PYTHONS); do \
	  file=tools/oldest/$$version.txt && \
	  $(UV) pip compile --quiet $(OLDEST_STYLE) --python-version $$version pyproject.toml $$file >/dev/null && \
	  echo "$$file resolves on Python $$version" || \
	  { echo "error: $$file does not resolve on Python $$version" >&2; exit 1; }; \
	done

# The resolver has an environment of its own, so that .venv holds what requirements.txt says and nothing else.
$(UV):
	@"$(PYTHON)" -m venv _build/uv && _build/uv/bin/python -m pip install --disable-pip-version-check -qq uv==0.13.9

clean:
	rm -rf _build dist .pytest_cache .ruff_cache .coverage
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
