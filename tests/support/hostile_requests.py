"""Requests that no well-behaved client sends, by seed, and what may become of them.

Written as protobuf messages, because client libraries do not let one lie.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

TYPES = {
    "BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "FP16": 2, "BF16": 2, "INT32": 4, "UINT32": 4,
    "FP32": 4, "INT64": 8, "FP64": 8, "BYTES": 4, "NONSENSE": 1,
}  # fmt: skip
"""Bytes of an element."""
SIDES = (
    0,
    -1,
    -5,
    -5,
    1,
    2,
    3,
    9,
    255,
    65_536,
    2**31 - 1,
    2**31,
    2**32,
    2**62,
    2**63 - 1,
    -(2**63),
)
NUMBERS = (
    0, -1, -5, 1, 2, 10, 60_000, 10_000, 100_000, 5_656, 46_341, 2**16, 2**31 - 1, -(2**31),
)  # fmt: skip
"""Of IMAGE_SIZE; the product of some is 0 in 32 bits."""
FLOATS = (np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 0.0, 1e-45)
OUTPUTS = ("CLASS_MAP", "CONFIDENCE", "CLASS_PIXELS", "MODEL_DIGEST", "SCORES", "NORMALIZED", "NO")
TIMEOUT_S = 60
OF_THE_NETWORK = re.compile("the network gave (NaN or infinite scores|another class)")
"""Of scores that a caller made up; INTERNAL, since callers of the ensemble make none."""
OF_TRITON = re.compile(r"^(in ensemble '\w+', )?batch size \d+ for '\w+', max allowed is \d+")
"""Its own INTERNAL for a batch of none with the bytes of one, before any step sees it."""
NAMED = re.compile(
    "IMAGE|ENCODED_IMAGE|IMAGE_SIZE|SCORES|NORMALIZED|parameter|input|output|batch|version|shape|"
    "raw_input_contents|picture"
)
REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
"""NOT_FOUND is Triton's word for a version that is not there."""
TOLD_TOO_MUCH = re.compile(r"internal error|Traceback|\.py\b|0x(?=\d*[a-f])[0-9a-f]{6}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A model that is called.

    Attributes:
        name: Of the Triton model.
        inputs: A good request's arrays by input; of a step that takes either, both are here.
        either: The inputs of which a good request has one.
    """

    name: str
    inputs: dict[str, np.ndarray]
    either: tuple[str, ...] = ()

    def good_request(self, rng: random.Random | None = None) -> pb.ModelInferRequest:
        """Return one that is answered."""
        left_out = (
            set(self.either) - {rng.choice(self.either) if rng else self.either[0]}
            if (self.either)
            else set()
        )
        request = pb.ModelInferRequest(model_name=self.name)
        for name, array in self.inputs.items():
            if name not in left_out:
                add_input(request, name, array)
        return request


def add_input(request: pb.ModelInferRequest, name: str, array: np.ndarray) -> None:
    """Add a tensor as it is."""
    kinds = {"u": "UINT8", "i": "INT32", "f": "FP32", "O": "BYTES"}
    request.inputs.add(name=name, datatype=kinds[array.dtype.kind], shape=array.shape)
    content = array.tobytes() if array.dtype.kind != "O" else b"".join(map(element, array.flat))
    request.raw_input_contents.append(content)


def element(content: bytes) -> bytes:
    """Return one of BYTES as it travels."""
    return struct.pack("<I", len(content)) + content


def hostile_request(target: Target, seed: int) -> pb.ModelInferRequest:
    """Return a good request after one to three things were done to it."""
    rng = random.Random(f"{target.name} {seed}")
    request = target.good_request(rng)
    for change in rng.choices(CHANGES, k=rng.choice((1, 1, 1, 2, 3))):
        change(rng, request)
    return request


def problem(
    stub: service_pb2_grpc.GRPCInferenceServiceStub, request: pb.ModelInferRequest
) -> str | None:
    """Return what is wrong with the answer to a request, or None if it is one or a refusal."""
    try:
        stub.ModelInfer(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        code, words = error.code(), str(error.details())
        if code == grpc.StatusCode.INTERNAL and any(
            known.search(words) for known in (OF_THE_NETWORK, OF_TRITON)
        ):
            return None
        if code in REFUSED and NAMED.search(words) and not TOLD_TOO_MUCH.search(words):
            return None
        return f"{code.name}: {words[:300]}"
    return None


def described(request: pb.ModelInferRequest) -> str:
    """Return a request in one line."""
    inputs = [f"{one.name} {one.datatype} {list(one.shape)}" for one in request.inputs]
    raw = [f"{len(one)}:{one[:12].hex()}" for one in request.raw_input_contents]
    parameters = str(dict(request.parameters.items()))[:120].replace("\n", "")
    outputs = [one.name for one in request.outputs]
    return f"{request.model_name} {inputs} {raw} {parameters} {outputs} {request.model_version}"


def _any_input(rng: random.Random, request: pb.ModelInferRequest) -> int | None:
    return rng.randrange(len(request.inputs)) if request.inputs else None


def _set_raw(request: pb.ModelInferRequest, index: int, content: bytes) -> None:
    if index < len(request.raw_input_contents):
        request.raw_input_contents[index] = content


def _fit(rng: random.Random, request: pb.ModelInferRequest, index: int) -> None:
    """Send as many bytes as the shape says, where that can be done."""
    tensor = request.inputs[index]
    count = 1
    for side in tensor.shape:
        count *= side
    size = count * TYPES.get(tensor.datatype, 1)
    if 0 <= size <= 2**22:
        _set_raw(request, index, rng.randbytes(size))
    elif (size % 2**64) <= 2**22:
        _set_raw(request, index, rng.randbytes(size % 2**64))  # as 64 bits count


def _other_side(rng: random.Random, request: pb.ModelInferRequest) -> None:
    index = _any_input(rng, request)
    if index is None or not request.inputs[index].shape:
        return
    shape = request.inputs[index].shape
    for _ in range(rng.choice((1, 1, 2, 3))):
        shape[rng.randrange(len(shape))] = rng.choice((*SIDES, rng.randrange(1, 300)))
    # Triton 2.51 counts pictures in 32 bits, and lets a caller of none without bytes wait.
    if shape[0] and shape[0] % 2**32 == 0:
        shape[0] = 2**31
    if rng.random() < 0.7:
        _fit(rng, request, index)


def _other_rank(rng: random.Random, request: pb.ModelInferRequest) -> None:
    index = _any_input(rng, request)
    if index is None:
        return
    shape = list(request.inputs[index].shape)
    if shape and rng.random() < 0.5:
        shape.pop(rng.randrange(len(shape)))
    else:
        shape.insert(rng.randint(0, len(shape)), rng.choice((0, 1, 1, -1, 2**31)))
    del request.inputs[index].shape[:]
    request.inputs[index].shape.extend(shape)
    if rng.random() < 0.5:
        _fit(rng, request, index)


def _other_batch(rng: random.Random, request: pb.ModelInferRequest) -> None:
    count = rng.choice((0, 2, 3, 8, 9, 100, -1))
    for index, tensor in enumerate(request.inputs):
        if not tensor.shape or tensor.shape[0] != 1:
            return
        tensor.shape[0] = count
        if index < len(request.raw_input_contents) and rng.random() < 0.9:
            _set_raw(request, index, request.raw_input_contents[index] * max(0, count))


def _other_type(rng: random.Random, request: pb.ModelInferRequest) -> None:
    index = _any_input(rng, request)
    if index is not None:
        request.inputs[index].datatype = rng.choice(list(TYPES))
        if rng.random() < 0.5:
            _fit(rng, request, index)


def _other_length(rng: random.Random, request: pb.ModelInferRequest) -> None:
    index = _any_input(rng, request)
    if index is not None and index < len(request.raw_input_contents):
        content = request.raw_input_contents[index]
        changed = (b"", content[:-1], content[: len(content) // 2], content + b"x", content * 2)
        _set_raw(request, index, rng.choice(changed))


def _other_values(rng: random.Random, request: pb.ModelInferRequest) -> None:
    for index, tensor in enumerate(request.inputs):
        if index >= len(request.raw_input_contents):
            return
        count = len(request.raw_input_contents[index]) // 4
        if tensor.name == "IMAGE_SIZE":
            numbers = [rng.choice((*NUMBERS, rng.randrange(-(2**31), 2**31))) for _ in range(count)]
            if rng.random() < 0.2:
                numbers = [rng.choice(NUMBERS)] * count
            _set_raw(request, index, struct.pack(f"<{count}i", *numbers))
        elif tensor.datatype == "FP32" and rng.random() < 0.5:
            values = np.frombuffer(request.raw_input_contents[index], np.float32, count).copy()
            if count:
                values[rng.randrange(count)] = rng.choice(FLOATS)
            _set_raw(request, index, values.tobytes())
        elif tensor.datatype != "BYTES" and rng.random() < 0.3:
            _set_raw(request, index, rng.randbytes(len(request.raw_input_contents[index])))


def _lying_bytes(rng: random.Random, request: pb.ModelInferRequest) -> None:
    for index, tensor in enumerate(request.inputs):
        if tensor.datatype == "BYTES" and index < len(request.raw_input_contents):
            file = request.raw_input_contents[index][4:]
            said = rng.choice((0, 1, len(file) - 1, len(file) + 1, 2**31 - 1, 2**31, 2**32 - 1))
            _set_raw(request, index, struct.pack("<I", max(0, said)) + file)


def _other_files(rng: random.Random, request: pb.ModelInferRequest) -> None:
    for index, tensor in enumerate(request.inputs):
        if tensor.datatype != "BYTES" or index >= len(request.raw_input_contents):
            continue
        file = request.raw_input_contents[index][4:]
        at = rng.randrange(max(1, len(file)))
        huge_png = (
            file[:16] + struct.pack(">2i", rng.choice(NUMBERS), rng.choice(NUMBERS)) + file[24:]
        )
        files = rng.choice(
            (
                [b""], [b"\0"], [b"\xff\xd8\xff"], [file[:at]], [huge_png], [rng.randbytes(100)],
                [file[:at] + rng.randbytes(4) + file[at + 4 :]], [file] * 2, [file] * 9,
                [b"x"] * 5000, [b""] * 8, [file, b""], [b"\xff\xd8\xff" + rng.randbytes(5000)],
                [b"RIFF\xff\xff\xff\xffWEBP" + rng.randbytes(50)], [file, huge_png],
                [file + bytes(21_000_000)] if rng.random() < 0.1 else [file + b"more"],
            )
        )  # fmt: skip
        _set_raw(request, index, b"".join(map(element, files)))
        if len(tensor.shape) == 2:
            tensor.shape[rng.choice((0, 0, 0, 1))] = len(files)


def _missing_input(rng: random.Random, request: pb.ModelInferRequest) -> None:
    index = _any_input(rng, request)
    if index is not None:
        del request.inputs[index]
        if rng.random() < 0.8 and index < len(request.raw_input_contents):
            del request.raw_input_contents[index]


def _more_inputs(rng: random.Random, request: pb.ModelInferRequest) -> None:
    image = np.zeros((1, rng.randint(1, 40), 40, 3), np.uint8)
    name = rng.choice(("IMAGE", "ENCODED_IMAGE", "IMAGE_SIZE", "SCORES", "NONE", ""))
    add_input(request, name, np.array([[b"x"]], object) if name == "ENCODED_IMAGE" else image)


def _odd_parameters(rng: random.Random, request: pb.ModelInferRequest) -> None:
    # Triton repeats a name in its own refusals, and gRPC drops a status of more than 8 KB.
    name = rng.choice(("confidence", "class_pixels", "confidence", "", "x" * 5_000, "é\n\"'"))
    kind, value = rng.choice(
        (
            ("string_param", "yes"), ("string_param", "true"), ("string_param", ""),
            ("string_param", "z" * 1_000_000), ("string_param", '"}, {"\n\\'),
            ("string_param", "\0"), ("int64_param", 1), ("int64_param", -(2**63)),
            ("double_param", float("nan")), ("double_param", float("inf")), ("double_param", 1e308),
            ("bool_param", True), ("bool_param", False), ("uint64_param", 2**64 - 1),
        )
    )  # fmt: skip
    setattr(request.parameters[name], kind, value)


def _other_outputs(rng: random.Random, request: pb.ModelInferRequest) -> None:
    for name in rng.choices(OUTPUTS, k=rng.randint(1, 4)):
        output = request.outputs.add(name=name)
        if rng.random() < 0.1:
            output.parameters["classification"].int64_param = rng.choice((-1, 0, 5, 2**40))
        if rng.random() < 0.1:
            output.parameters["shared_memory_region"].string_param = "none"


def _typed_contents(rng: random.Random, request: pb.ModelInferRequest) -> None:
    index = _any_input(rng, request)
    if index is not None:
        contents = request.inputs[index].contents
        contents.int_contents.extend(rng.choices(range(-5, 100_000), k=rng.randint(1, 5)))
        contents.bytes_contents.append(rng.randbytes(rng.randint(0, 50)))
        if rng.random() < 0.7:
            del request.raw_input_contents[:]


def _other_version(rng: random.Random, request: pb.ModelInferRequest) -> None:
    request.model_version = rng.choice(("2", "-1", "one", "1" * 100, "0"))


CHANGES: Sequence[Callable[[random.Random, pb.ModelInferRequest], None]] = (
    _other_side, _other_side, _other_rank, _other_batch, _other_batch, _other_type, _other_length,
    _other_values, _other_values, _lying_bytes, _other_files, _other_files, _missing_input,
    _more_inputs, _odd_parameters, _other_outputs, _typed_contents, _other_version,
)  # fmt: skip
