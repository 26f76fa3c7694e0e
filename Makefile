# make demo: set up and run federated rounds on this machine; make test: set up and prove that it works.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fedgrass

# The dependencies live in a cache, keyed by what is pinned; .venv is a thin environment on top of it.
PINNED = $(PYTHON) -c 'import sys, tomllib; \
  groups = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
  print("\n".join(sorted({line for name in sys.argv[1:] for line in groups[name]})))'
GROUPS := agent training functions sandbox development

.PHONY: help setup demo test test-aarch64 lint docs screenshots build trials bench bench-peers clean python

help:
	@echo 'make demo    set up, then run 10 federated rounds with 8 devices on this machine'
	@echo 'make test    set up, then run all tests'
	@echo 'make lint    ruff, mypy, and of the template cfn-lint, sam validate, checkov and parliament'
	@echo 'make docs    docs/ and a reference of the code as a site, in build/website/site; fails if a link leads nowhere'
	@echo 'make screenshots    the pictures of what people see, in docs/pictures (needs chromium)'
	@echo 'make test-aarch64    the tests of what runs on devices, on emulated 64-bit ARM (as root; needs debootstrap and qemu-user)'
	@echo 'make build   the Greengrass components: recipes and artifacts in greengrass-build/ and components/runtime/greengrass-build/'
	@echo 'make trials  what takes longer to prove: functions killed at each call, days of trouble, hostile bytes and members, tasks of all shapes'
	@echo 'make bench   print the figures that README.md and docs/ state'
	@echo 'make bench-peers   before make bench: install Flower and NVIDIA FLARE, to compare with'
	@echo 'make setup   only set up: leaves .venv/bin/fedgrass; FEDGRASS_TORCH_INDEX=https://download.pytorch.org/whl/cpu spares CUDA'
	@echo 'make clean   remove what the targets above made (the cache in $(CACHE) stays)'

# $(call installed,NAME,FILE) leaves in $$environment where what FILE pins is installed, once.
installed = key=$$( { cat $(2); '$(PYTHON)' --version; } | sha256sum | cut -c1-16); environment='$(CACHE)/$(1)-'$$key; \
	if [ ! -e "$$environment/complete" ]; then \
	  echo "Installing what $(2) pins into $$environment"; \
	  rm -rf "$$environment"; '$(PYTHON)' -m venv "$$environment"; \
	  "$$environment/bin/pip" install --quiet --disable-pip-version-check -r $(2); \
	  touch "$$environment/complete"; \
	fi

python:
	@test -n '$(PYTHON)' && '$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'fedgrass needs Python 3.11 or newer; found "$(PYTHON)"' \
	    "($$('$(PYTHON)' --version 2>&1 || echo none))." \
	    'Install it (Debian 12: apt install python3.11 python3.11-venv) or name it: make PYTHON=/path/to/python3.11' >&2; exit 1; }

# FEDGRASS_TORCH_INDEX names an index with other builds of torch, such as that for CPUs, which need nothing of CUDA: what
# follows finds them installed, and is satisfied.
setup: python
	@key=$$( { $(PINNED) $(GROUPS) datasets; cat constraints.txt; '$(PYTHON)' --version; \
	  echo -n "$${FEDGRASS_TORCH_INDEX:-}"; } | sha256sum | cut -c1-16); \
	dependencies='$(CACHE)/python-'$$key; \
	if [ ! -e "$$dependencies/complete" ]; then \
	  echo "Installing the pinned dependencies into $$dependencies (torch is large: some minutes, once)"; \
	  rm -rf "$$dependencies"; mkdir -p "$$dependencies"; \
	  '$(PYTHON)' -m venv "$$dependencies"; \
	  $(PINNED) $(GROUPS) > "$$dependencies/requirements.txt"; \
	  [ -z "$${FEDGRASS_TORCH_INDEX:-}" ] || { grep '^torch' "$$dependencies/requirements.txt" | "$$dependencies/bin/python" -m pip install \
	    --quiet --disable-pip-version-check --no-deps --index-url "$$FEDGRASS_TORCH_INDEX" -r /dev/stdin; }; \
	  "$$dependencies/bin/python" -m pip install --quiet --disable-pip-version-check \
	    -r "$$dependencies/requirements.txt" -c constraints.txt; \
	  "$$dependencies/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps $$($(PINNED) datasets); \
	  touch "$$dependencies/complete"; \
	fi; \
	project=$$(sha256sum < pyproject.toml); \
	if [ ! -x .venv/bin/fedgrass ] || [ "$$(cat .venv/dependencies .venv/project 2>/dev/null)" != \
	    "$$dependencies"$$'\n'"$$project" ]; then \
	  rm -rf .venv; '$(PYTHON)' -m venv --without-pip .venv; \
	  site=$$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	  "$$dependencies/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$site/dependencies.pth"; \
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	  echo "$$dependencies" > .venv/dependencies; echo "$$project" > .venv/project; \
	fi

demo: setup
	@.venv/bin/fedgrass demo

# Much of a test's time is waiting, so there are two processes more than processors; in the order in which they
# are collected, or the few long tests would come last, and one after the other. Each computes with one thread: where
# processors are busy, more would spend most of their time waiting for each other. And what Python has compiled is kept,
# whatever the environment says: the tests start some thousand processes.
test: setup
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pytest -n $$(($$(nproc) + 2)) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# The device's side, with the wheels that a Raspberry Pi gets. Not for CI: it needs root, and takes long.
test-aarch64: setup
	@{ $(PINNED) agent training sandbox development; cat constraints.txt; } | sed -e '/x86_64/d' -e 's/ *[;#].*//' -e '/^$$/d' | \
	  tests/aarch64/run.sh '$(CACHE)/aarch64' "$$(cat .venv/dependencies)/bin/pip" \
	  tests/components/client tests/components/tasks tests/protocol

lint: setup
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy
	@$$(cat .venv/dependencies)/bin/cfn-lint cloud/template.yaml
	@$(call installed,linters,lint/requirements.txt); "$$environment/bin/python" -W ignore -m lint cloud/template.yaml
	@$(call installed,sam,lint/sam-requirements.txt); AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=build/sam \
	  "$$environment/bin/sam" validate --lint --template-file cloud/template.yaml

# What makes the site has an environment of its own; nothing is loaded from elsewhere once it is installed.
docs: setup
	@$(call installed,docs,website/requirements.txt); \
	.venv/bin/python -m website pages build/website/pages; \
	NO_MKDOCS_2_WARNING=1 "$$environment/bin/mkdocs" build --quiet --strict --config-file website/mkdocs.yml; \
	.venv/bin/python -m website check build/website/site; \
	echo 'The site is in build/website/site: open index.html. To search in it, have it served: python3 -m http.server --bind 127.0.0.1 --directory build/website/site'

screenshots: setup
	@.venv/bin/python -m website.screenshots docs/pictures

build: setup
	@.venv/bin/python components/build.py
	@cd components/runtime && ../../.venv/bin/python ../build.py

trials: setup
	@.venv/bin/python -m trials.crash_points
	@.venv/bin/python -m trials.attacks
	@.venv/bin/python -m trials.fuzz_inspection
	@.venv/bin/python -m trials.task_shapes
	@.venv/bin/python -m trials.soak

bench: setup
	@.venv/bin/python -m benchmarks.round --devices 8 --rounds 10
	@.venv/bin/python -m benchmarks.round --devices 40 --rounds 5
	@.venv/bin/python -m benchmarks.round --devices 40 --rounds 5 --call-latency-ms 30
	@.venv/bin/python -m benchmarks.aws_calls
	@.venv/bin/python -m benchmarks.flood
	@.venv/bin/python -m benchmarks.hostile_hour
	@.venv/bin/python -m benchmarks.poisoning
	@.venv/bin/python -m benchmarks.largest_cohort
	@.venv/bin/python -m benchmarks.large_fleet
	@.venv/bin/python -m benchmarks.inspection
	@.venv/bin/python -m benchmarks.dashboard
	@OPENBLAS_NUM_THREADS=1 .venv/bin/python -m benchmarks.arithmetic
	@.venv/bin/python -m benchmarks.averaging
	@.venv/bin/python -m benchmarks.averaging_scale
	@.venv/bin/python -m benchmarks.sharding
	@.venv/bin/python -m benchmarks.simulate
	@.venv/bin/python -m benchmarks.stacked_training
	@if [ -n '$(DIGITS)' ]; then .venv/bin/python -m benchmarks.learning '$(DIGITS)'; \
	else echo 'without benchmarks.learning: DIGITS=FOLDER names a folder with the IDX files of MNIST for it'; fi
	@.venv/bin/python -m benchmarks.device
	@.venv/bin/python -m benchmarks.resumed_install

# The peers have an environment of their own: what they pull in is much, and not ours. Behind it is ours, for torch.
bench-peers: setup
	@key=$$( { cat benchmarks/peers-requirements.txt; '$(PYTHON)' --version; } | sha256sum | cut -c1-16); \
	peers='$(CACHE)/peers-'$$key; \
	if [ ! -e "$$peers/complete" ]; then \
	  echo "Installing Flower and NVIDIA FLARE into $$peers"; \
	  rm -rf "$$peers"; '$(PYTHON)' -m venv "$$peers"; \
	  "$$peers/bin/pip" install --quiet --disable-pip-version-check -r benchmarks/peers-requirements.txt; \
	  touch "$$peers/complete"; \
	fi; \
	"$$(cat .venv/dependencies)/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$("$$peers/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/behind.pth"; \
	ln -sfn "$$peers" .venv/peers

clean:
	rm -rf .venv build greengrass-build components/runtime/greengrass-build components/inference/greengrass-build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
