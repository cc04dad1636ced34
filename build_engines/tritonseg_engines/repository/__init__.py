"""The Triton model repository: what is written, and how it gets there whole."""

from tritonseg_engines.repository.batching import Serving
from tritonseg_engines.repository.deployment import Deployment, Engine, Provenance
from tritonseg_engines.repository.ownership import (
    layout_folders,
    obsolete_folders,
    refuse_replacing,
    refuse_taken,
    remove_obsolete,
)
from tritonseg_engines.repository.served_versions import is_left_out
from tritonseg_engines.repository.versions import kept_versions
from tritonseg_engines.repository.writer import write_model

__all__ = [
    "Deployment",
    "Engine",
    "Provenance",
    "Serving",
    "is_left_out",
    "kept_versions",
    "layout_folders",
    "obsolete_folders",
    "refuse_replacing",
    "refuse_taken",
    "remove_obsolete",
    "write_model",
]
