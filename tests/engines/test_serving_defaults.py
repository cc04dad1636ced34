"""The defaults keep their promises for published networks and for odd workloads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository import Serving
from tritonseg_engines.repository.batching import Workload, cpu_serving, gpu_serving
from tritonseg_engines.repository.published_networks import PUBLISHED_NETWORKS, network_facts
from tritonseg_engines.repository.unbuilt import unbuilt_deployment
from tritonseg_engines.zoo import ZOO_SPECS, get_spec

DOCUMENT = Path(__file__).parents[2] / "docs" / "serving_defaults.md"
WORKLOADS = st.builds(
    Workload,
    input_hw=st.tuples(st.integers(1, 8192), st.integers(1, 8192)),
    score_count=st.integers(1, 10**9),
    gmacs=st.none() | st.floats(1e-6, 1e6),
)


@given(WORKLOADS)
def test_promises(workload: Workload) -> None:
    for serving in (gpu_serving(workload), cpu_serving(workload)):
        batch = serving.max_batch_size
        assert batch & (batch - 1) == 0
        assert batch == 1 or batch * workload.tensor_bytes <= 256 * 2**20
    on_gpu = gpu_serving(workload)
    # A queue always holds the next batch, and else no more than half a gigabyte of inputs.
    assert on_gpu.max_queue_size >= 2 * on_gpu.max_batch_size
    queued = on_gpu.max_queue_size * workload.input_bytes
    assert on_gpu.max_queue_size == 2 * on_gpu.max_batch_size or queued <= 512 * 2**20
    assert on_gpu.max_batch_size == 1 or on_gpu.max_batch_size * workload.compute_ms <= 50
    assert on_gpu.queue_delay_us <= max(0.1 * 1000 * workload.compute_ms, 0)
    assert 1 <= on_gpu.step_instances <= 4


def test_a_heavier_network_gets_no_larger_batch() -> None:
    batches = [
        gpu_serving(Workload(input_hw=(512, 512), score_count=1, gmacs=gmacs)).max_batch_size
        for gmacs in (1, 10, 100, 1_000, 10_000)
    ]
    assert batches == sorted(batches, reverse=True)
    assert batches[-1] == 1


@pytest.mark.parametrize("model", ZOO_SPECS)
def test_the_document_has_the_figures_that_are_written(model: str) -> None:
    serving = unbuilt_deployment(get_spec(model)).serving
    row = next(line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {model} "))
    figures = [int(cell) for cell in re.findall(r"\| +(\d+) +(?=\|)", row)]
    assert figures == [
        serving.max_batch_size,
        serving.engine_instances,
        serving.step_instances,
        serving.queue_delay_us,
        serving.max_queue_size,
    ]


@pytest.mark.torch
@pytest.mark.parametrize("model", ZOO_SPECS)
def test_the_facts_are_those_of_the_network(model: str) -> None:
    torch = pytest.importorskip("torch")
    from counting import count_macs
    from tritonseg_engines.zoo import build_network

    spec, facts = get_spec(model), network_facts(model)
    assert spec.input.size_hw is not None
    network = build_network(model).to("meta")
    assert facts.gmacs == pytest.approx(
        count_macs(network, spec.input.size_hw).total / 1e9, rel=2e-3
    )
    for size_hw in (spec.input.size_hw, (405, 601)):
        scores = network(torch.empty(1, 3, *size_hw, device="meta"))
        assert tuple(scores.shape[2:]) == facts.scores_hw(size_hw)


def test_every_published_model_has_facts() -> None:
    assert set(PUBLISHED_NETWORKS) == set(ZOO_SPECS)
    with pytest.raises(RepositoryError, match="score stride is unknown"):
        network_facts("mine")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size: expected an integer from 1"),
        ({"engine_instances": True}, "engine_instances"),
        ({"queue_delay_us": -1}, "queue_delay_us: expected an integer from 0"),
        ({"max_queue_size": 1.5}, "max_queue_size"),
        ({"preferred_batch_sizes": (4, 2)}, "ascending"),
        ({"preferred_batch_sizes": (16,)}, "max_batch_size 8"),
    ],
)
def test_values_out_of_range_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RepositoryError, match=message):
        Serving(**fields)
