"""What a step answers after one request of a batch failed, with memory that is used again."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tritonseg_steps.step_request import NetworkError


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`tritonseg_steps.step`, whose import of Triton's own module exists inside Triton alone.

    Stands in for values only: tensors and responses are what they were made of.
    """
    module = ModuleType("triton_python_backend_utils")
    module.Tensor = lambda name, array: (name, array)
    module.TritonError = type("TritonError", (), {"INVALID_ARG": 3, "INTERNAL": 13})
    module.TritonError.__init__ = lambda self, text, code: setattr(self, "text", text)
    module.InferenceResponse = lambda tensors=(), error=None: SimpleNamespace(
        tensors=tensors, error=error
    )
    module.Logger = SimpleNamespace(log_error=lambda text: None)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("tritonseg_steps.step", "tritonseg_steps.step_response"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import tritonseg_steps.step as steps

    yield steps
    for name in ("tritonseg_steps.step", "tritonseg_steps.step_response"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def request(value: float) -> Any:
    tensor = SimpleNamespace(name=lambda: "X", as_numpy=lambda: np.array([[value]], np.float32))
    return SimpleNamespace(
        inputs=lambda: [tensor], parameters=lambda: "", is_cancelled=lambda: False
    )


def test_the_others_keep_their_answers(steps: Any) -> None:
    memory = np.zeros((1, 1), np.float32)

    class Reusing(steps.Step):
        def prepare(self, config: Any) -> None: ...

        def run(self, requests: Any) -> list[Any]:
            answers = []
            for one in requests:
                if not np.isfinite(one.tensors["X"]).all():
                    raise NetworkError("the network gave NaN")
                memory[:] = one.tensors["X"]
                answers.append({"Y": memory})
            return answers

    first, bad, third = Reusing().execute([request(1), request(np.nan), request(3)])
    assert "the network gave NaN" in bad.error.text
    assert [float(one.tensors[0][1][0, 0]) for one in (first, third)] == [1, 3]
