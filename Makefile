# Everything that a newcomer types. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
UV_VERSION := 0.13.8
IMAGES := components/images
export UV_SYSTEM_CERTS := 1

.PHONY: help run test test-slow test-containers bench-serving bench-data bench-training lint compile images lock clean
help:  ## List these targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A stamp for each lock: `make` installs again when a lock changed, and is silent otherwise.
.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Shipway needs Python 3.11 or newer, not " + sys.version.split()[0] + "; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet uv==$(UV_VERSION)

.venv/cli.stamp: $(IMAGES)/cli.lock setup.cfg pyproject.toml | .venv/bin/uv
	.venv/bin/uv pip install --quiet --python .venv/bin/python --compile-bytecode --require-hashes -r $<
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable .
	mkdir -p build/typing/shipway
	ln -sfn ../../../components build/typing/shipway/components
	ln -sfn ../../../pipelines build/typing/shipway/pipelines
	touch $@

.venv/dev.stamp: $(IMAGES)/dev.lock .venv/cli.stamp
	.venv/bin/uv pip install --quiet --python .venv/bin/python --compile-bytecode --require-hashes -r $<
	touch $@

run: .venv/cli.stamp  ## Train on a sample and deploy: ends with a model server that answers.
	.venv/bin/shipway sample churn --rows 20000 --out .shipway/sample
	.venv/bin/shipway run train-and-deploy --params pipelines/params/churn.yaml

# Two test processes share two cores: a thread that waits for another must not spin.
PYTEST = OMP_WAIT_POLICY=passive .venv/bin/python -m pytest --numprocesses 2 --dist loadfile
test: .venv/dev.stamp  ## Run the fast tests.
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-slow: .venv/dev.stamp  ## Run the slow tests.
	$(PYTEST) -m "slow and not containers" $(PYTEST_ARGS)

test-containers: .venv/dev.stamp  ## Build the images and run a pipeline in them.
	.venv/bin/python -m pytest tests/containers $(PYTEST_ARGS)

bench-serving: .venv/dev.stamp  ## Compare the model server with others; BENCH_ARGS=--help lists options.
	OMP_WAIT_POLICY=passive .venv/bin/python -m tests.bench.serving $(BENCH_ARGS)

bench-data: .venv/dev.stamp  ## Compare the data steps with others; BENCH_ARGS=--help lists options.
	OMP_WAIT_POLICY=passive .venv/bin/python -m tests.bench.data $(BENCH_ARGS)

bench-quality: .venv/dev.stamp  ## Compare a default and a tuned run with XGBoost, FLAML and AutoGluon on the shared tables.
	OMP_WAIT_POLICY=passive .venv/bin/python -m tests.bench.quality $(BENCH_ARGS)

bench-training: .venv/dev.stamp  ## Compare training with plain XGBoost; BENCH_ARGS=--help lists options.
	OMP_WAIT_POLICY=passive .venv/bin/python -m tests.bench.training $(BENCH_ARGS)

lint: .venv/dev.stamp  ## Check style and types.
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

compile: .venv/cli.stamp  ## Write the pipelines' YAML.
	.venv/bin/shipway compile

# A machine with its own certificates or index mounts them for the build alone:
# make images BASE_IMAGE=... IMAGES_ARGS="--network=host -v /etc/pip.conf:/etc/pip.conf:ro"
images: .venv/cli.stamp  ## Build the images with docker, podman or buildah.
	.venv/bin/shipway images --base-image "$(BASE_IMAGE)" -- $(IMAGES_ARGS)

# kfp goes into the images without what it depends on: with _KFP_RUNTIME set it needs none of it.
RESOLVE = $(CURDIR)/.venv/bin/uv pip compile --quiet --no-header --no-annotate --generate-hashes --upgrade
UNIVERSAL = --universal --python-version 3.11 -c constraints.txt
lock: | .venv/bin/uv  ## Resolve every lock again.
	cd $(IMAGES) && $(RESOLVE) $(UNIVERSAL) dev.in -o dev.lock
	cd $(IMAGES) && $(RESOLVE) $(UNIVERSAL) -c dev.lock cli.in -o cli.lock
	cd $(IMAGES) && $(RESOLVE) --universal --python-version 3.11 --no-deps kfp.in -o kfp.lock
	cd $(IMAGES) && for image in train serve; do $(RESOLVE) $(UNIVERSAL) -c dev.lock $$image.in -o $$image.lock; done
	cd $(IMAGES) && $(RESOLVE) --python-version 3.13 --python-platform x86_64-manylinux_2_40 -c constraints.txt --override data-overrides.txt data.in -o data.lock
	cd $(IMAGES) && $(RESOLVE) --python-version 3.11 --python-platform x86_64-manylinux_2_28 data-local.in -o data-local.lock
	cd $(IMAGES) && for image in train serve data data-local; do cat kfp.lock >> $$image.lock; done && rm kfp.lock

clean:  ## Stop what runs here and remove what was built; models and runs stay.
	if [ -x .venv/bin/shipway ]; then .venv/bin/shipway stop || true; fi
	rm -rf .venv build dist *.egg-info .shipway/envs
