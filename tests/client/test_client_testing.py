"""The fake server that ships, used as services use it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import grpc
import numpy as np
import pytest

import tritonseg
from tritonseg import testing
from tritonseg.testing import FakeTriton

IMAGE = np.full((4, 6, 3), (1, 200, 0), np.uint8)


def test_the_example_runs(capsys):
    code = testing.__doc__.partition("Example::")[2].partition("\nA fixture")[0]
    exec(inspect.cleandoc(code))
    assert capsys.readouterr().out == "the service has to wait\n"


@pytest.fixture
def fake():
    with FakeTriton() as fake:
        yield fake


@pytest.fixture
def client(fake):
    with tritonseg.SegmentationClient(fake.url, model=fake.model, timeout_s=5) as client:
        yield client


def test_masks_are_what_the_test_says(fake, client):
    assert client.segment(IMAGE).class_map.tolist() == [[1] * 6] * 4
    fake.mask = lambda image_hwc: np.full(image_hwc.shape[:2], 2, np.uint8)
    result = client.segment(IMAGE, confidence=True, request_id="frame-17")
    assert (result.coverage["sky"], result.confidence.max()) == (1.0, 200)
    received = fake.requests[-1]
    assert (received.request_id, received.confidence) == ("frame-17", True)
    assert np.array_equal(received.image_hwc, IMAGE)
    assert fake.calls["ModelInfer"] == 2


def test_a_model_that_fails(fake, client):
    def broken(image_hwc):
        raise ValueError("no")

    fake.mask = broken
    with pytest.raises(tritonseg.InferenceFailedError):
        client.segment(IMAGE)


def test_an_answer_that_is_broken(fake, client):
    fake.edit_answer = lambda response: response.raw_output_contents.pop()
    with pytest.raises(tritonseg.ProtocolError):
        client.segment(IMAGE)
    fake.edit_answer = lambda response: None
    fake.mask = lambda image_hwc: np.zeros((1, 1), np.uint8)
    with pytest.raises(tritonseg.ProtocolError, match="CLASS_MAP"):
        client.segment(IMAGE)


def test_it_comes_back_at_the_same_address(fake, client):
    url = fake.url
    fake.stop()
    with pytest.raises(tritonseg.TransportError):
        client.segment(IMAGE)
    fake.start()
    assert fake.url == url
    client.wait_ready(timeout_s=5)
    assert client.segment(IMAGE).class_map.max() == 1


def test_failures_are_counted(fake, client):
    fake.fail(grpc.StatusCode.INTERNAL, "no", times=1)
    with pytest.raises(tritonseg.InferenceFailedError, match="no"):
        client.segment(IMAGE)
    client.segment(IMAGE)
    fake.fail(grpc.StatusCode.INTERNAL)
    fake.fail(grpc.StatusCode.INTERNAL, times=0)
    client.segment(IMAGE)


def test_a_slow_server(fake, client):
    fake.delay(3)
    with pytest.raises(tritonseg.DeadlineExceededError):
        client.segment(IMAGE, timeout_s=0.2)


def test_a_model_that_takes_no_files_and_gives_no_confidence():
    with (
        FakeTriton(takes_files=False, gives_confidence=False, classes=("one",)) as fake,
        tritonseg.SegmentationClient(fake.url, model=fake.model, transport="encoded") as client,
    ):
        assert (client.model.takes_files, client.model.gives_confidence) == (False, False)
        assert client.model.classes == ("one",)
        assert client.segment(IMAGE).class_map.max() == 0


@pytest.mark.parametrize("classes", [(), tuple(map(str, range(257)))])
def test_no_such_model(classes):
    with pytest.raises(tritonseg.ConfigurationError, match="1 to 256 classes"):
        FakeTriton(classes=classes)


def test_the_fixture_is_a_new_server_for_each_test(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tritonseg.pytest_plugin"]\n')
    (tmp_path / "test_service.py").write_text(
        "import numpy as np, pytest\n"
        "from tritonseg import SegmentationClient\n"
        "@pytest.mark.parametrize('turn', [1, 2])\n"
        "def test_it(fake_triton, turn):\n"
        "    with SegmentationClient(fake_triton.url, model=fake_triton.model) as client:\n"
        "        client.segment(np.zeros((2, 2, 3), np.uint8))\n"
        "    assert len(fake_triton.requests) == 1\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in ended.stdout, ended.stdout
