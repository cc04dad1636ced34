# `make demo` and `make test` need nothing but a Python 3.10-3.12 and a package index.

# The first that Triton's wheel works with; it needs numpy<2, which has no wheels from 3.13 on.
FITS := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.10; do \
	"$$python" -c '$(FITS)' 2>/dev/null && echo "$$python" && break; done || echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Versions of the few packages whose newest release is gigabytes; see the file.
CONSTRAINTS ?= constraints.txt
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)
IMAGE ?=
PYTEST_OPTIONS ?=
FUZZ ?=
SOAK ?=
PREFLIGHT_ZOO ?=
CHECK_FLOORS ?=

.PHONY: help demo serve test coverage test-lowest test-numpy2 test-pythons check-floors lint docs fuzz fuzz-damage fuzz-requests fuzz-pictures picture-memory evaluate-memory client-soak preflight-zoo zoo-check docker-check interop-check bulk-check bulk-soak bench bench-peers bench-scaling bench-resampling bench-waiting bench-start bench-client bench-pools bench-overload bench-loaders bench-loadgen soak-overload kill-check clean deploy-check oci-check verify-mutations

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/demo-installed  ## ONNX → real Triton → overlay on this machine; IMAGE=path for your own
	@$(BIN)/tritonseg demo $(if $(IMAGE),'$(IMAGE)')

serve: $(VENV)/demo-installed  ## Serve what the demo or `tritonseg build` built
	@test -d out/model_repository || { echo "nothing is built yet; this builds: make demo" >&2; exit 1; }
	@$(BIN)/tritonseg serve

test: $(VENV)/test-installed  ## All tests, with real servers
	$(BIN)/python -m pytest $(PYTEST_OPTIONS)

coverage: $(VENV)/test-installed  ## All tests, and the lines that none of them reaches
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered $(PYTEST_OPTIONS)

docs: $(VENV)/test-installed  ## The pages as a site, out/docs/site
	$(BIN)/python scripts/docs_site.py

# The lowest releases that pyproject.toml allows, which nobody has installed for years but somebody.
LOWEST_VENV ?= $(VENV)-lowest
LOWEST := $(LOWEST_VENV)/bin

test-lowest: $(LOWEST_VENV)/installed  ## The client's tests, Numba's cache and the demo on the lowest dependencies
	$(LOWEST)/python -m pytest -n 2 --dist loadfile tests/client tests/steps/test_compiled.py -k 'not every_bit'
	$(LOWEST)/tritonseg demo -o $(LOWEST_VENV)/demo

# The other pair than Triton's wheel works with: NumPy 2, and the OpenCV that is newest with it.
NUMPY_2_VENV ?= $(VENV)-numpy2
NUMPY_2 := $(NUMPY_2_VENV)/bin

test-numpy2: $(NUMPY_2_VENV)/installed  ## The steps' tests on NumPy 2 and the newest OpenCV
	$(NUMPY_2)/python -m pytest tests/steps --ignore-glob='*resiz*' --ignore-glob='*resampling*' \
		--ignore-glob='*compile*'  # which take torch, NVIDIA's compiler, or no array

$(NUMPY_2_VENV)/installed: pyproject.toml
	@echo "installing NumPy 2 into $(NUMPY_2_VENV)"
	@$(PYTHON) -m venv $(NUMPY_2_VENV)
	@$(NUMPY_2)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@$(NUMPY_2)/uv pip install --quiet --system-certs --python $(NUMPY_2)/python -e '.[build]' \
		'numpy>=2' 'opencv-python-headless>=5' pytest pytest-randomly hypothesis psutil
	@touch $@

check-floors: $(LOWEST_VENV)/installed  ## Wheels of the lowest dependencies, on every Python; CHECK_FLOORS=--extras
	$(LOWEST)/python scripts/check_floors.py $(CHECK_FLOORS)

PYTHONS ?=

test-pythons:  ## The client's tests on the base install, on every Python that is here; PYTHONS='3.10 3.13'
	$(PYTHON) scripts/test_pythons.py $(VENV)-pythons $(PYTHONS)

$(LOWEST_VENV)/installed: pyproject.toml
	@echo "installing the lowest releases into $(LOWEST_VENV)"
	@$(PYTHON) -m venv $(LOWEST_VENV)
	@$(LOWEST)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@$(LOWEST)/uv pip compile --quiet --system-certs --python $(LOWEST)/python pyproject.toml \
		--resolution lowest-direct --extra serve --group test -o $(LOWEST_VENV)/lowest.txt
	@$(LOWEST)/python -m pip install --quiet --disable-pip-version-check -r $(LOWEST_VENV)/lowest.txt
	@$(LOWEST)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

lint: $(VENV)/test-installed  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(VENV)/test-installed  ## Thousands of random exports: right, or refused in one line; FUZZ='--count N'
	PYTHONPATH=scripts:tests/support $(BIN)/python scripts/fuzz.py $(FUZZ)

preflight-zoo: $(VENV)/test-installed  ## NVIDIA's compiler on all six models, without a GPU; PREFLIGHT_ZOO='--models NAME ...'
	PYTHONPATH=scripts $(BIN)/python -m preflight_zoo --page docs/precision.md $(PREFLIGHT_ZOO)

client-soak: $(VENV)/test-installed  ## Mix-ups, leaks, kills, outages of the client at real servers; SOAK='kills --quick'
	PYTHONPATH=scripts:tests/support:tests/benchmarks timeout 3600 $(BIN)/python tests/soak/run.py $(SOAK)

fuzz-damage: $(VENV)/test-installed  ## A thousand damaged exports: the same; FUZZ='--count N'
	PYTHONPATH=scripts:tests/support $(BIN)/python scripts/fuzz_damage.py $(FUZZ)

VERIFY ?=

verify-mutations: $(VENV)/test-installed  ## A thousand changed and good repositories, 60 servers; VERIFY='--count N --servers N'
	PYTHONPATH=scripts:tests/support $(BIN)/python scripts/verify_mutations.py $(VERIFY)

KILLS ?=

kill-check: $(VENV)/test-installed  ## Stubs, Triton and all of `tritonseg serve` killed, and started again; minutes; KILLS='--rounds 1'
	PYTHONPATH=scripts:tests/support $(BIN)/python scripts/kill_check.py $(KILLS)

fuzz-requests: $(VENV)/test-installed  ## Thousands of hostile requests to a real Triton; FUZZ='--count 2000' a layout
	PYTHONPATH=scripts:tests/support $(BIN)/python scripts/fuzz_requests.py $(FUZZ)

fuzz-pictures: $(VENV)/test-installed  ## Ten thousand broken picture files to the client's reader; FUZZ='--count N'
	PYTHONPATH=scripts:tests/support $(BIN)/python -W ignore scripts/fuzz_pictures.py $(FUZZ)

picture-memory: $(VENV)/test-installed  ## What reading a picture takes at its peak, by format; a minute or two
	PYTHONPATH=tests/support $(BIN)/python scripts/picture_memory.py

zoo-check: $(VENV)/test-installed  ## All six models at their cards' sizes; minutes each
	TRITONSEG_CARD_SIZES=1 $(BIN)/python -m pytest tests/e2e/test_zoo.py tests/e2e/test_tiling_zoo.py tests/engines/test_precision_zoo.py -s

docker-check: $(VENV)/test-installed  ## The images by their own lines, without Docker, as root; minutes
	TRITONSEG_DOCKER=1 $(BIN)/python -m pytest tests/docker -s

# 2 GB of other people's tools, which stay there for the next time.
INTEROP ?= $(VENV)-interop

interop-check: $(VENV)/test-installed  ## perf_analyzer, KServe, Node and more against a served model, results in FiftyOne, GDAL and more; minutes
	PYTHON=$(BIN)/python scripts/interop_tools.sh $(INTEROP)
	TRITONSEG_INTEROP=$(INTEROP) $(BIN)/python -m pytest tests/interop
	$(INTEROP)/forms/bin/python -m pytest tests/client/test_client_forms.py

# 1.4 GB: Ray, Arrow and Triton together, which takes NumPy 1; and a stand-in for S3.
BULK_VENV ?= $(VENV)-bulk
BULK := $(BULK_VENV)/bin
BULK_SOAK ?=

bulk-check: $(BULK_VENV)/installed  ## `tritonseg bulk` with Ray, real servers, kills and a stand-in for S3; minutes
	$(BULK)/python -m pytest tests/bulk

bulk-soak: $(BULK_VENV)/installed  ## 20,000 pictures, kills and throughput; BULK_SOAK='kills --pictures 2000'
	PYTHONPATH=tests/support timeout 3600 $(BULK)/python tests/bulk/soak.py $(BULK_SOAK)

$(BULK_VENV)/installed: pyproject.toml
	@echo "installing what bulk jobs need into $(BULK_VENV)"
	@$(PYTHON) -m venv $(BULK_VENV)
	@$(BULK)/python -m pip install --quiet --disable-pip-version-check -e '.[bulk,serve]' 'numpy<2' \
		s3fs 'moto[server]' pycocotools pytest pytest-randomly hypothesis psutil
	@touch $@

# 700 MB: Debian's Prometheus, Helm, the schemas of Kubernetes, KEDA and others.
DEPLOY ?= $(VENV)-deploy

deploy-check: $(VENV)/test-installed  ## Rules, dashboard and chart against Prometheus, Helm and schemas; minutes
	PYTHON=$(BIN)/python scripts/deploy_tools.sh $(DEPLOY)
	TRITONSEG_DEPLOY=$(DEPLOY) $(BIN)/python -m pytest tests/docker/test_prometheus.py \
		tests/docker/test_chart.py tests/docker/test_chart_servers.py tests/docker/test_build_engines.py

# 20 MB: Debian's docker-registry and skopeo.
OCI ?= $(VENV)-oci

oci-check: $(VENV)/test-installed  ## `push` and `pull` against a real registry, and skopeo; a minute
	scripts/oci_tools.sh $(OCI)
	TRITONSEG_OCI=$(OCI) $(BIN)/python -m pytest tests/artefact

evaluate-memory: $(VENV)/test-installed  ## Memory of `tritonseg evaluate` over 10,000 pictures; minutes
	PYTHONPATH=tests/support $(BIN)/python scripts/evaluate_memory.py

bench: $(VENV)/test-installed  ## Latency and throughput against the engine alone and the naive way
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py latency
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py throughput

bench-peers: $(VENV)/test-installed  ## The same picture through other ways to serve it
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py peers

bench-scaling: $(VENV)/test-installed  ## Cost by size of picture, batch, callers and classes
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py scaling

bench-resampling: $(VENV)/test-installed  ## What a trainer's own resize costs
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py resampling

bench-waiting: $(VENV)/test-installed  ## Many callers, pictures of one size and of many
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py waiting

bench-start: $(VENV)/test-installed  ## Seconds to ready: nothing compiled, after a build, in an image
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py start

bench-client: $(VENV)/test-installed  ## What the client costs on top of bare tritonclient
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py client

bench-pools: $(VENV)/test-installed  ## Web workers with thread pools at a queue with a limit
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py pools

OVERLOAD ?=

bench-loaders: $(VENV)/test-installed  ## perf_analyzer against the built-in loader; needs perf_analyzer
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py loaders

bench-loadgen: $(VENV)/test-installed  ## MLCommons' LoadGen against it; needs mlcommons-loadgen
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py loadgen

bench-overload: $(VENV)/test-installed  ## Twice as many requests as can be answered; OVERLOAD='--seconds 60'
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py overload $(OVERLOAD)

SECONDS ?= 1800
LAYOUT ?= ensemble

soak-overload: $(VENV)/test-installed  ## Half an hour of it: refusals, memory, what comes after; SECONDS=60 tries it
	PYTHONPATH=scripts:tests/support $(BIN)/python tests/benchmarks/run.py soak-overload --seconds $(SECONDS) --layout $(LAYOUT)

# An environment of its own, because CuPy needs numpy 2 and nvidia-pytriton numpy 1.
# TENSORRT=tensorrt-cu12==VERSION takes the version of the Triton that will serve. Inside NVIDIA's
# container, which brings TensorRT: TENSORRT= GPU_VENV_OPTIONS=--system-site-packages.
GPU_VENV ?= .venv-gpu
GPU_VENV_OPTIONS ?=
TENSORRT ?= tensorrt-cu12
GPU_CHECK ?=

.PHONY: gpu-check
gpu-check: $(GPU_VENV)/installed  ## Plans of all six models on this GPU: masks, times; GPU_CHECK='--models NAME ...'
	@status=0; \
	$(GPU_VENV)/bin/python -m pytest tests/gpu || status=1; \
	PYTHONPATH=scripts $(GPU_VENV)/bin/python -m gpu_check --page docs/benchmarks.md $(GPU_CHECK) \
		|| status=1; \
	exit $$status

$(GPU_VENV)/installed: pyproject.toml $(CONSTRAINTS)
	@echo "installing what the GPU check needs into $(GPU_VENV)"
	@$(PYTHON) -m venv $(GPU_VENV_OPTIONS) $(GPU_VENV)
	@$(GPU_VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(GPU_VENV)/bin/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[export,gpu]' \
		--group test $(TENSORRT)
	@touch $@

clean:  ## Remove the environment and what the demo made
	rm -rf $(VENV) out .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c '$(FITS)' || { echo "Triton's wheel works with Python 3.10 to 3.12, $(PYTHON) is \
	$$($(PYTHON) --version 2>&1): give one of those, as in: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo-installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing what the demo needs into $(VENV)"
	@$(INSTALL) -e '.[serve]'
	@touch $@

$(VENV)/test-installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing what the tests need into $(VENV)"
	@$(INSTALL) --upgrade 'pip>=25.1'  # the first that installs dependency groups
	@$(INSTALL) -e '.[tune,export,preflight,oci]' --group test --group lint --group docker
	@touch $@
