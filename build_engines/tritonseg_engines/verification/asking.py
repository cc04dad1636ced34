"""Ask a served model about its canaries, over gRPC as any caller does."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import tritonclient.grpc as triton
from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.utils import InferenceServerException

from tritonseg_engines.errors import VerificationError
from tritonseg_engines.repository.messages import texts_of
from tritonseg_engines.repository.receipts import Receipt
from tritonseg_engines.verification.canary import Canary
from tritonseg_steps.contract import CLASS_MAP, IMAGE, MODEL_DIGEST
from tritonseg_steps.digest import PUBLISHED, published_digest

ANSWER_TIMEOUT_S: Final = 60.0
"""For one canary, by which a busy server may first answer others."""
BUSY: Final = "StatusCode.UNAVAILABLE"
"""What a server says that has more to do than it can, or that is not there."""
BUSY_PATIENCE_S: Final = 5.0
"""For one canary: at twice what it can do a server refuses every second request, and hardly ever
each of those of some seconds."""
BUSY_WAIT_S: Final = 0.25
ANSWERS: Final = ("StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND")
"""What a server says of a picture that its model does not take, or of a model that it has not."""
OTHER_BUILD: Final = "answers as another build than the receipt's"


class UnansweredError(VerificationError):
    """A server gave no class map, which may be over the next time.

    Attributes:
        busy: Whether it refused to wait; else it failed, or said nothing until the time was over.
    """

    def __init__(self, message: str, *, busy: bool) -> None:
        super().__init__(message)
        self.busy = busy


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a served model gave for its canaries.

    Attributes:
        problem: What is wrong first; None if every class map is right.
        equal_pixels: Share of pixels with the build's class by canary, 0-1, as far as asked.
        seconds: That the answers took.
    """

    problem: str | None
    equal_pixels: Mapping[str, float]
    seconds: float


def ask_canaries(
    url: str,
    model: str,
    version: str,
    receipt: Receipt,
    *,
    timeout_s: float = ANSWER_TIMEOUT_S,
    compares_digests: bool = True,
) -> Verdict:
    """Ask one version of a model about each of its canaries, and stop at the first that is wrong.

    Args:
        url: `HOST:PORT` of the server's gRPC.
        model: Name of the model that clients call.
        version: As Triton counts it.
        receipt: Of its build.
        timeout_s: For one answer.
        compares_digests: Whether the build must be the receipt's by what it publishes, too, and
            not by its masks alone.

    Raises:
        UnansweredError: It had no time for them, or failed.
        VerificationError: The receipt's canaries cannot be read or drawn.
    """
    canaries = canaries_of(receipt)
    equal: dict[str, float] = {}
    start_s = time.monotonic()
    with triton.InferenceServerClient(url) as client:
        asker = _Asker(client, model, version, timeout_s)
        try:
            problem = asker.published_problem(receipt) if compares_digests else None
            digest = receipt.digest if compares_digests else None
            for canary in canaries if problem is None else ():
                problem = asker.problem(canary, digest, equal)
                if problem is not None:
                    break
        except InferenceServerException as error:
            problem = _refusal(error)
    return Verdict(problem=problem, equal_pixels=equal, seconds=time.monotonic() - start_s)


def canaries_of(receipt: Receipt) -> tuple[Canary, ...]:
    """Return the canaries of a receipt.

    Raises:
        VerificationError: They cannot be read.
    """
    try:
        return tuple(Canary.from_json(one) for one in receipt.canaries)
    except ValueError as error:
        raise VerificationError(f"{receipt.path.name}: {error}") from error


class _Asker:
    def __init__(self, client: Any, model: str, version: str, timeout_s: float) -> None:
        self._client, self._model, self._version = client, model, version
        self._timeout_s = timeout_s

    def published_problem(self, receipt: Receipt) -> str | None:
        """Return that names, colours or preprocessing are another build's; None where not told."""
        config = self._config()
        if config is None or receipt.digest is None:
            return None
        texts = texts_of(config, self._version)
        documents = {key: json.loads(texts.get(key, "null")) for key in PUBLISHED}
        fused = receipt.document["layout"] == "fused"
        if published_digest(documents, fused=fused) == receipt.digest:
            return None
        return f"{OTHER_BUILD}: what its config publishes is not what the receipt's digest is of"

    def problem(self, canary: Canary, digest: str | None, equal: dict[str, float]) -> str | None:
        """Ask about one canary; return what is wrong with the answer, None if it is right."""
        image = triton.InferInput(IMAGE, [1, *canary.size_hw, 3], "UINT8")
        image.set_data_from_numpy(canary.picture()[None])
        wanted = [CLASS_MAP, *([MODEL_DIGEST] if self._gives_digest() and digest else [])]
        answer = self._infer(image, wanted)
        class_map = answer.as_numpy(CLASS_MAP)
        if class_map is None or len(class_map) != 1:
            return f"canary {canary.name}: the answer has no {CLASS_MAP}"
        equal[canary.name] = canary.equal_pixels(class_map[0])
        if MODEL_DIGEST in wanted:
            row = answer.as_numpy(MODEL_DIGEST)
            if row is None or row.tobytes().hex() != digest:
                return f"{OTHER_BUILD}: its {MODEL_DIGEST} is not the receipt's"
        return canary.difference(class_map[0])

    def _infer(self, image: triton.InferInput, wanted: Sequence[str]) -> triton.InferResult:
        """Ask for a picture, and again where the server is full for a moment."""
        outputs = [triton.InferRequestedOutput(name) for name in wanted]
        given_up_at_s = time.monotonic() + BUSY_PATIENCE_S
        while True:
            try:
                return self._client.infer(
                    self._model,
                    [image],
                    model_version=self._version,
                    outputs=outputs,
                    client_timeout=self._timeout_s,
                )
            except InferenceServerException as error:
                if error.status() != BUSY or time.monotonic() > given_up_at_s:
                    raise
                time.sleep(BUSY_WAIT_S)

    def _gives_digest(self) -> bool:
        metadata = self._client.get_model_metadata(
            self._model, self._version, client_timeout=self._timeout_s
        )
        return MODEL_DIGEST in [output.name for output in metadata.outputs]

    def _config(self) -> pb.ModelConfig | None:
        with suppress(InferenceServerException):  # an API that may be closed
            answer = self._client.get_model_config(
                self._model, self._version, client_timeout=self._timeout_s
            )
            config: pb.ModelConfig = answer.config
            return config
        return None


def _refusal(error: InferenceServerException) -> str:
    """Return what the server said instead of a class map.

    Raises:
        UnansweredError: It may say something else the next time.
    """
    status, words = error.status(), " ".join(str(error.message()).split())
    if status in ANSWERS:
        return f"the server gives an error for a canary instead of a class map: {words}"
    raise UnansweredError(
        f"no answer for a canary ({status}: {words})", busy=status == BUSY
    ) from error
