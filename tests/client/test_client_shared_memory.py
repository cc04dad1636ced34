"""Pictures in shared memory, where a server or this machine does not play along."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import grpc
import numpy as np
import pytest

import tritonseg

REGISTER = "SystemSharedMemoryRegister"


def left_behind():
    return list(Path("/dev/shm").glob(f"tritonseg-{os.getpid()}-*"))


@pytest.fixture
def client(connect, triton):
    return connect(triton.url, transport="shared_memory")


def test_server_that_refuses_gets_the_pixels(client, triton, photo, caplog):
    with caplog.at_level(logging.WARNING, "tritonseg"):
        first, second = client.segment(photo), client.segment(photo)
    assert np.array_equal(first.class_map, photo[..., 0] % 5)
    assert np.array_equal(second.class_map, photo[..., 0] % 5)
    assert triton.calls["ModelInfer"] == 2
    assert len(caplog.messages) == 1  # and asked once
    assert not left_behind()


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EACCES, errno.ENOENT])
def test_machine_without_memory_to_share(client, triton, photo, monkeypatch, caplog, reason):
    def refused(*_):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "posix_fallocate", refused)
    with caplog.at_level(logging.WARNING, "tritonseg"):
        result = client.segment(photo)
    assert np.array_equal(result.class_map, photo[..., 0] % 5)
    assert os.strerror(reason) in caplog.text
    assert not left_behind()


def test_files_go_as_pixels(client, triton, tmp_path, photo):
    from PIL import Image

    path = tmp_path / "a.png"
    Image.fromarray(photo).save(path)
    client.segment(path)
    assert triton.raw_requests[-1].inputs[0].name == "IMAGE"


def test_one_that_hangs_ends_with_the_call(client, triton, photo):
    client.describe()
    triton.delay(5, method=REGISTER)
    with pytest.raises(tritonseg.DeadlineExceededError):
        client.segment(photo, timeout_s=0.5)
    assert not left_behind()


@pytest.mark.parametrize("url", ["dns:///triton:8001", "ipv4:10.0.0.1:8001,10.0.0.2:8001"])
def test_is_not_for_several_servers(url):
    with pytest.raises(tritonseg.ConfigurationError, match="one server on this host"):
        tritonseg.SegmentationClient(url, model="m", transport="shared_memory")
    client = tritonseg.SegmentationClient(url, model="m")
    with pytest.raises(tritonseg.ConfigurationError, match="one server on this host"):
        client.segment(np.zeros((1, 1, 3), np.uint8), transport="shared_memory")
    client.close()


def test_overload_while_sharing_is_overload(client, triton, photo):
    triton.fail(grpc.StatusCode.UNAVAILABLE, "busy", method=REGISTER)
    with pytest.raises(tritonseg.ModelNotReadyError):
        client.segment(photo)
    assert not left_behind()
