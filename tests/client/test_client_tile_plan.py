"""Plans of tiles, held against what they must be, for random sizes and models."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from tritonseg import (
    ConfigurationError,
    ModelInfo,
    Preprocessing,
    Reach,
    ResizePolicy,
    Tiling,
)
from tritonseg._tiles.tiling import plan_tiles

NATIVE = ResizePolicy(policy="native")
PREPROCESSING = Preprocessing(
    mean=(0.0, 0.0, 0.0),
    scale=(1.0, 1.0, 1.0),
    color_order="RGB",
    resize=NATIVE,
    network_hw=(None, None),
    multiple_of=1,
    at_least=1,
    at_most_hw=None,
)
HRNET = Reach(before_hw=(316, 316), after_hw=(285, 285), grid_hw=(32, 32))
FAR = Reach(before_hw=(1448, 1448), after_hw=(1417, 1417), grid_hw=(32, 32))
GLOBAL = Reach(unbounded_by="GlobalAveragePool 'se' sees all of it")
MODEL = ModelInfo(
    name="street",
    version="1",
    classes=("road", "car"),
    palette=((0, 0, 0), (1, 1, 1)),
    ignore_index=None,
    license="none",
    source="none",
    precision="fp32",
    runtime="openvino",
    onnx_sha256="0" * 64,
    tritonseg_version="1",
    takes_files=True,
    gives_confidence=True,
    preprocessing=PREPROCESSING,
    reach=HRNET,
)


def model(reach=HRNET, policy=NATIVE, **sizes):
    preprocessing = replace(PREPROCESSING, resize=policy, **sizes)
    return replace(MODEL, reach=reach, preprocessing=preprocessing)


@pytest.mark.parametrize("seed", range(200))
def test_every_pixel_is_decided_once_by_a_tile_that_may_decide_it(seed):
    rng = random.Random(seed)
    grid = rng.choice([1, 2, 8, 32])
    before, after = rng.randrange(0, 200), rng.randrange(0, 200)
    divisor, multiple = rng.choice([1, 1, 16]), rng.choice([1, 1, 8])
    reach = Reach(before_hw=(before,) * 2, after_hw=(after,) * 2, grid_hw=(grid,) * 2)
    info = model(
        rng.choice([reach, reach, GLOBAL, None]),
        ResizePolicy(policy="native", size_divisor=divisor),
        multiple_of=multiple,
    )
    size = rng.choice([None, rng.randrange(64, 1500)])
    overlap = rng.choice([None, rng.randrange(0, 32)]) if size else None
    image_hw = rng.randrange(1, 5000), rng.randrange(1, 5000)
    plan = plan_tiles(image_hw, info, Tiling(size=size, overlap=overlap))
    exact = plan.report.is_exact
    assert exact == (plan.report.reason is None)
    assert plan.report.tile_count == len(plan.rows) * len(plan.columns) == len(list(plan.tiles()))
    for spans, length in ((plan.rows, image_hw[0]), (plan.columns, image_hw[1])):
        decided = [(span.first, span.end) for span in spans]
        assert (decided[0][0], decided[-1][1]) == (0, length)
        assert all(one[1] == other[0] for one, other in itertools.pairwise(decided))
        assert all(span.start <= span.first < span.end <= span.stop for span in spans)
        sides = {span.stop - span.start for span in spans[:-1]}
        assert len(sides) <= 1
        if len(spans) == 1 or not exact:
            continue
        step = grid
        while step % divisor or step % multiple:
            step += grid
        assert all(span.start % step == 0 for span in spans)
        assert all(side % step == 0 for side in sides)
        for span in spans:
            assert span.start == 0 or span.first - span.start >= before
            assert span.stop == length or span.stop - span.end >= after
        assert -(-length // divisor) * divisor % step == 0


@pytest.mark.parametrize(
    ("info", "image_hw", "size_hw", "reason"),
    [
        (model(), (8192, 10240), (1888, 1984), None),
        (model(), (2144, 2048), (1376, 2048), None),  # no larger than two tiles need to be
        (model(FAR), (8192, 10240), (2048, 1920), "the network sees 2865; Tiling(size=3840)"),
        (model(at_most_hw=(1024, 2048)), (4096, 8192), (1024, 1888), None),
        (model(FAR, at_most_hw=(1024, 2048)), (4096, 8192), (1024, 2048), "larger than the 1024"),
        (model(GLOBAL), (4096, 4096), (1024, 1024), "GlobalAveragePool 'se'"),
        (model(None), (4096, 4096), (1024, 1024), "build it again"),
        (replace(MODEL, preprocessing=None), (4096, 4096), (1792, 1792), "how it resizes"),
        (model(), (4096, 10_001), (1792, 1952), "width of 10001 is no multiple of 32"),
        (model(HRNET, ResizePolicy(policy="native", size_divisor=32)), (4096, 10_001),
         (1792, 1952), None),
        (model(HRNET, ResizePolicy(policy="native", size_divisor=32, align="center")),
         (4096, 10_001), (1792, 1952), "padded on both sides"),
        (model(HRNET, ResizePolicy(policy="fit_pad", height=512, width=1024),
               network_hw=(512, 1024)), (4096, 4096), (512, 1024), "'fit_pad' scales"),
        (model(HRNET, ResizePolicy(policy="keep_ratio", long_side=1333, short_side=800)),
         (4096, 4096), (800, 800), "'keep_ratio' scales"),
        (model(network_hw=(512, 1024)), (4096, 4096), (512, 1024), "a height of 512 alone"),
        (model(GLOBAL, at_least=1100), (4096, 4096), (1152, 1152), "sees all"),
        # What is not cut need not fit the grid, and what fits one tile is sent as it is.
        (model(), (1001, 4096), (1001, 1792), None),
        (model(GLOBAL), (700, 1000), (700, 1000), None),
    ],
)  # fmt: skip
def test_auto_goes_by_what_the_model_says(info, image_hw, size_hw, reason):
    report = plan_tiles(image_hw, info, Tiling()).report
    assert report.size_hw == size_hw
    assert report.is_exact == (reason is None)
    assert (reason or "") in (report.reason or "")


def test_the_larger_tile_that_the_reason_names_is_exact():
    assert plan_tiles((64, 8192), model(FAR), Tiling(size=3840)).report.is_exact


def test_too_little_overlap_is_not_exact_and_says_how_much_is_needed():
    assert plan_tiles((4096, 4096), model(), Tiling(size=1024, overlap=608)).report.is_exact
    report = plan_tiles((4096, 4096), model(), Tiling(size=1024, overlap=192)).report
    assert not report.is_exact
    assert "the network sees 601" in (report.reason or "")


def test_blending_by_confidence_is_not_exact():
    report = plan_tiles((4096, 4096), model(), Tiling(blend="confidence")).report
    assert (report.blend, report.is_exact) == ("confidence", False)


def test_tiles_of_a_network_of_one_size_are_all_of_that_size():
    plan = plan_tiles((1000, 3001), model(network_hw=(512, 1024)), Tiling())
    assert {span.stop - span.start for span in plan.rows} == {512}
    assert {span.stop - span.start for span in plan.columns} == {1024}
    assert plan.columns[-1].stop == 3001


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "size"),
        ({"size": (512,)}, "size"),
        ({"size": 70_000}, "size"),
        ({"size": "big"}, "size"),
        ({"overlap": -1}, "overlap"),
        ({"size": 512, "overlap": 512}, "overlap"),
        ({"blend": "scores"}, "blend"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"on_progress": 5}, "on_progress"),
    ],
)
def test_unusable_options_are_refused_where_they_are_given(options, words):
    with pytest.raises(ConfigurationError, match=words):
        Tiling(**options)


@pytest.mark.parametrize(
    ("info", "tiling", "words"),
    [
        (model(), Tiling(size=16), "at least 32"),
        (model(), Tiling(size=1024, overlap=1000), "leave less than the 32"),
        (replace(MODEL, gives_confidence=False), Tiling(blend="confidence"), "gives none"),
        (model(policy=ResizePolicy(policy="center_crop", height=224, width=224)), Tiling(),
         "center_crop"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_the_model_is_refused(info, tiling, words):
    with pytest.raises(ConfigurationError, match=words):
        plan_tiles((4096, 4096), info, tiling)
