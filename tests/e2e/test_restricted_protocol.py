"""A real Triton that answers inferences only to who knows a header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from own_mask import own_mask
from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import AccessDeniedError, SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer

IMAGE = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)


def test_the_header_opens_what_is_closed_without(tmp_path: Path) -> None:
    export = tmp_path / "export.onnx"
    onnx.save(TinyModel().model(), export)
    build_model(tiny_spec(), export, tmp_path / "repository")
    rule = "--grpc-restricted-protocol=inference:seg-key=a secret"
    config = ServerConfig(repositories=(tmp_path / "repository",), extra_arguments=(rule,))
    expected, is_stable = own_mask(export, tiny_spec(), IMAGE)
    with TritonServer(config) as server:
        with SegmentationClient(server.grpc_url, model="tiny") as stranger:
            assert stranger.is_ready()
            with pytest.raises(AccessDeniedError, match="triton-grpc-protocol-seg-key") as caught:
                stranger.segment(IMAGE)
            assert caught.value.attempts == 1
        headers = {"triton-grpc-protocol-seg-key": "a secret"}
        with SegmentationClient(server.grpc_url, model="tiny", headers=headers) as client:
            class_map = client.segment(IMAGE).class_map
    assert np.array_equal(class_map[is_stable], expected[is_stable])
