"""What NVIDIA's compiler says of a graph, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tritonseg_engines.preflight import Preflight

LAYERS_NAMED = 8


def show_preflight(found: Preflight) -> None:
    """Print the answer for every GPU, the layers' precision, and the bounds."""
    for line in (*_answers(found), *_layers(found), *_bounds(found)):
        click.echo(line)


def _answers(found: Preflight) -> Iterator[str]:
    compiler = found.verdicts[0].answer.compiler
    yield f"NVIDIA's compiler, TensorRT-RTX {compiler}, without a GPU:"
    for verdict in found.verdicts:
        answer = verdict.answer
        head = f"  {answer.gpu.name:<7}{answer.gpu.models:<24}"
        if verdict.refusal is not None:
            yield f"{head}refused: {verdict.refusal}"
        else:
            yield (
                f"{head}compiles in {answer.seconds:.1f} s, engine of "
                f"{answer.engine_bytes / 1e6:.1f} MB, {answer.activation_bytes / 2**20:.0f} MiB of "
                f"tensors in batches of {found.largest_batch}"
            )
    for note in dict.fromkeys(note for verdict in found.verdicts for note in verdict.notes):
        yield f"  it remarks: {note}"
    for refusal in found.own_refusals:
        yield f"whatever the compiler says, no build takes it: {refusal}"


def _layers(found: Preflight) -> Iterator[str]:
    from tritonseg_engines.preflight import shares_text

    if not found.layers and not found.uncounted:
        return
    yield f"of what multiplies: {shares_text(found.layers, found.uncounted)}"
    high = [layer for layer in found.layers if layer.why]
    for layer in high[:LAYERS_NAMED]:
        yield f"  {layer.node} in {layer.asked}: {layer.why}"
    if len(high) > LAYERS_NAMED:
        yield f"  and {len(high) - LAYERS_NAMED} more in high precision"
    slower = [layer for layer in found.layers if layer.engine not in (None, layer.asked)]
    for layer in slower[:LAYERS_NAMED]:
        yield f"  {layer.node}: {layer.asked} in the file, the engine computes it in {layer.engine}"


def _bounds(found: Preflight) -> Iterator[str]:
    if found.bounds is None:
        return
    of = f"{found.bounds.memory_bytes / 2**20:.3g} MiB (weights, input and output)"
    counted = "counted multiplications" if found.uncounted else "multiplications"
    times = [f"{name} {ms:.2g} ms" for name, ms in found.bounds.roofline_ms.items()]
    lacking = [f"{name}, which has no {what}" for name, what in found.bounds.lacking.items()]
    yield f"one picture holds at least {of}"
    if times:
        yield (
            f"at the peaks of data sheets its {counted}, or these bytes, take on a "
            f"{', '.join(times)} (no measurements; kernels that multiply less may be faster)"
        )
    if lacking:
        yield f"no time for {'; '.join(lacking)}"
