"""The written contract between the client, the steps and the build side.

Everything that two of the three must spell alike stands here and nowhere else on the server
side. The client does not import this module: it reads tensor names and metadata off the server,
and a test holds its few constants against these.

Tensors (every one has a leading batch axis; a model of the layout "single" takes and gives what the
ensemble does, one of the layout "fused" IMAGE and CLASS_MAP):

    IMAGE          UINT8 [N, H, W, 3]     RGB, any size; either this
    ENCODED_IMAGE  BYTES [N, 1]           or this: a whole JPEG, PNG or WebP file
    NORMALIZED     FP32  [N, 3, h, w]     what the network takes
    IMAGE_SIZE     INT32 [N, 2]           (H, W) of the picture as displayed
    SCORES         FP32  [N, C, h/s, w/s] at the resolution at which the network computes them
    CLASS_MAP      UINT8 [N, H, W]        class index per pixel of the picture
    CONFIDENCE     UINT8 [N, H, W]        255 * probability of that class: the softmax of the
                                          interpolated scores, or they, if they are probabilities
    CLASS_PIXELS   INT64 [N, C]           pixels of CLASS_MAP per class
    MODEL_DIGEST   UINT8 [N, 32]          which build answered: DIGEST_PARAMETER as bytes

CONFIDENCE and CLASS_PIXELS are computed and sent only where the request parameter of the same
meaning is true, or where the request names the output and not all of them; an ensemble does not
tell its steps which are named. CONFIDENCE only by models whose scores say it. MODEL_DIGEST is
missing where an engine answers with no step behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CONTRACT_VERSION: Final = "3"
"""Raised when tensors or parameters change meaning; a step refuses any other version."""

IMAGE: Final = "IMAGE"
ENCODED_IMAGE: Final = "ENCODED_IMAGE"
NORMALIZED: Final = "NORMALIZED"
IMAGE_SIZE: Final = "IMAGE_SIZE"
SCORES: Final = "SCORES"
CLASS_MAP: Final = "CLASS_MAP"
CONFIDENCE: Final = "CONFIDENCE"
CLASS_PIXELS: Final = "CLASS_PIXELS"
MODEL_DIGEST: Final = "MODEL_DIGEST"

# Parameters of a request; booleans.
CONFIDENCE_REQUEST: Final = "confidence"
CLASS_PIXELS_REQUEST: Final = "class_pixels"

NORMALIZE_SUFFIX: Final = "_normalize"
ENGINE_SUFFIX: Final = "_engine"
ARGMAX_SUFFIX: Final = "_argmax"

# Keys of `parameters` in config.pbtxt; every value is a JSON document. All versions of a model
# share the file: what another version than the highest has of its own stands under KEY@VERSION.
VERSION_MARK: Final = "@"
CONTRACT_PARAMETER: Final = "tritonseg_contract"
"""JSON string: the contract version, on every step and on the ensemble."""
MODEL_PARAMETER: Final = "tritonseg_model"
"""On the ensemble: {"name", "classes": [str], "palette": [[r, g, b]], "ignore_index",
"license", "source", "reach"}. The last says how far a pixel of the class map sees, for clients that
cut pictures into tiles: {"before_hw", "after_hw", "grid_hw"} in pixels, [rows, columns], or
{"unbounded_by": why}; it is missing where it was not computed, as in models of earlier builds."""
PREPROCESSING_PARAMETER: Final = "tritonseg_preprocessing"
"""On the ensemble, normalize and argmax: `Preprocessing` as a JSON object."""
NETWORK_SIZES_PARAMETER: Final = "tritonseg_network_sizes"
"""On the ensemble and every step but a TensorRT engine: `NetworkSizes` as a JSON object. Models of
earlier builds have it on the ensemble and normalize alone."""
UPSAMPLING_PARAMETER: Final = "tritonseg_upsampling"
"""On the ensemble and argmax: `Upsampling` as a JSON object."""
MAX_PIXELS_PARAMETER: Final = "tritonseg_max_pixels"
"""On every step, if an operator adds it: most pixels of a picture, an integer."""
QUEUE_PARAMETER: Final = "tritonseg_queue"
"""On the model that a client calls or, of an ensemble, on its first step: most requests that may
wait, an integer from 1 on; the next is refused as UNAVAILABLE. Possible on any step on the CPU."""
QUEUE_TIME_PARAMETER: Final = "tritonseg_queue_ms"
"""Beside it: how long the last of them may wait for its turn, in milliseconds, an integer from 1
on, by what requests take; 8 may wait all the same."""
IN_FLIGHT_PARAMETER: Final = "tritonseg_in_flight"
"""On an ensemble's first step: most requests that may be between it and the last one's answer, an
integer from 1 on; others wait in front of it. Without it one more than processes that work."""
THREADS_PARAMETER: Final = "tritonseg_threads"
"""On any step on the CPU, if an operator adds it: threads of each instance, an integer from 1 on;
without it, all instances share the cores."""
PROVENANCE_PARAMETER: Final = "tritonseg_provenance"
"""On the ensemble: {"onnx_sha256", "precision", "runtime", "tritonseg_version"}."""
DIGEST_PARAMETER: Final = "tritonseg_digest"
"""On the model that a client calls, and on the step that gives its answer: SHA-256, in hexadecimal
digits, of everything that the build published for clients. A client that remembers names and
colours sees by it that a server came back with another model."""
ENGINE_PARAMETER: Final = "tritonseg_engine"
"""On a CPU engine: {"file", "precision", "int8_cpu", "sha256"}: `int8_cpu` is one of `Int8Cpu`, or
null where the file has no int8 weights; `sha256` is the file's when it was built."""

DIGEST_BYTES: Final = 32
"""Of a SHA-256."""
MAX_CLASSES: Final = 256
"""CLASS_MAP is uint8."""
NO_CLASS: Final = 255
"""In a class map that a graph makes: the network gave none. Where it reaches a caller, from a fused
plan that nothing stands behind, the client raises; the steps answer with an error."""


def parameters_of(parameters: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the parameters of one version of a model: its own, where it has such, before all's.

    Args:
        parameters: Each parameter's text, by key.
        version: As Triton counts it, e.g. "2".
    """
    mark = f"{VERSION_MARK}{version}"
    own = {key[: -len(mark)]: text for key, text in parameters.items() if key.endswith(mark)}
    shared = {key: text for key, text in parameters.items() if VERSION_MARK not in key}
    return {**shared, **own}
