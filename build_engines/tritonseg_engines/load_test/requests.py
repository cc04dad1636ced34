"""Pictures as requests that are written before the first is sent, and what answers must have.

    IMAGE or ENCODED_IMAGE   as a client sends them, a picture a request
    CLASS_MAP                UINT8 [1, H, W]; whole, and of the picture's size
    MODEL_DIGEST             UINT8 [1, 32], where the model gives it; the same in every answer

A request names no outputs, so that it gets what perf_analyzer gets, which names all.
"""

from __future__ import annotations

from dataclasses import dataclass

from tritonclient.grpc import service_pb2

from tritonseg_engines.load_test.load import LoadTarget
from tritonseg_steps.contract import CLASS_MAP, IMAGE, MODEL_DIGEST


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedRequest:
    """A picture's request as bytes.

    Attributes:
        name: Of the picture, for messages.
        size_hw: Height and width of its mask, in pixels.
        message: A serialized ModelInferRequest.
    """

    name: str
    size_hw: tuple[int, int]
    message: bytes


def prepare_requests(target: LoadTarget) -> list[PreparedRequest]:
    """Read every picture of a target.

    Raises:
        InvalidImageError: A picture that a client would refuse.
    """
    from tritonseg_engines.perf_input import read_sent_picture  # slow, and the sender has no use

    requests = []
    for picture in target.pictures:
        sent = read_sent_picture(picture, transport=target.transport)
        request = service_pb2.ModelInferRequest(model_name=target.model)
        request.inputs.add(
            name=sent.tensor,
            datatype="UINT8" if sent.tensor == IMAGE else "BYTES",
            shape=[1, *sent.shape],
        )
        request.raw_input_contents.append(sent.content)
        requests.append(
            PreparedRequest(
                name=str(picture), size_hw=sent.size_hw, message=request.SerializeToString()
            )
        )
    return requests


def digest_of(answer: bytes) -> bytes:
    """Return the digest in an answer, or nothing where the model gives none."""
    return _contents(answer)[1].get(MODEL_DIGEST, b"")


def complaint(answer: bytes, request: PreparedRequest, digest: bytes) -> str | None:
    """Return what is wrong with an answer, or None.

    Masks are not compared: that is what a gate and `tritonseg evaluate` do, with time of their own.

    Args:
        answer: A serialized ModelInferResponse.
        request: What it is the answer to.
        digest: The digest of the first answer.
    """
    height, width = request.size_hw
    shapes, contents = _contents(answer)
    mask = contents.get(CLASS_MAP, b"")
    if shapes.get(CLASS_MAP) != [1, height, width] or len(mask) != height * width:
        return (
            f"expected {CLASS_MAP} of [1, {height}, {width}] for {request.name}, got "
            f"{shapes.get(CLASS_MAP, 'none')} with {len(mask)} bytes"
        )
    if contents.get(MODEL_DIGEST, b"") != digest:
        return "another build of the model answers than at the beginning"
    return None


def _contents(answer: bytes) -> tuple[dict[str, list[int]], dict[str, bytes]]:
    response = service_pb2.ModelInferResponse.FromString(answer)
    names = [output.name for output in response.outputs]
    shapes = {output.name: list(output.shape) for output in response.outputs}
    return shapes, dict(zip(names, response.raw_output_contents, strict=False))
