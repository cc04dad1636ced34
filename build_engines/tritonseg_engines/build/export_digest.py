"""One SHA-256 for an export, whatever number of files it is in.

An ONNX file above 2 GB, and any that an exporter was told to split, has its weights in files beside
it: two trainings of one network then have the same ONNX file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx

from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.errors import OnnxModelError


def export_sha256(path: Path) -> str:
    r"""Return the digest of an export in hexadecimal digits.

    That of the file itself, where it holds its weights. Where they lie in other files, that of the
    text `<digest of the ONNX file>\n`, followed by `<digest>  <name>\n` for each of those
    files, sorted by name as the ONNX file spells it, of which each line but the first is what
    `sha256sum` prints.

    Raises:
        OnnxModelError: A file cannot be read.
    """
    try:
        names = sorted(set(_external_names(onnx.load(path, load_external_data=False))))
        own = sha256_of(path)
        if not names:
            return own
        lines = [own, *(f"{sha256_of(path.parent / name)}  {name}" for name in names)]
    except OSError as error:
        raise OnnxModelError(
            f"{error.filename or path}: cannot be read: {error.strerror}"
        ) from error
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _external_names(model: onnx.ModelProto) -> Iterator[str]:
    for tensor in _tensors_of_graph(model.graph):
        yield from _location(tensor)
    for function in model.functions:
        for tensor in _tensors_of_nodes(function.node):
            yield from _location(tensor)


def _location(tensor: onnx.TensorProto) -> Iterator[str]:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        yield from (entry.value for entry in tensor.external_data if entry.key == "location")


def _tensors_of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for graph in (attribute.g, *attribute.graphs):
                yield from _tensors_of_graph(graph)
