"""What can go wrong at build time, as one tree.

EngineBuildError
├─ SpecificationError(ValueError)  a model specification (YAML or zoo) that cannot be right
├─ CheckpointError(ValueError)     a weights file that is not the one the model needs
├─ OnnxModelError(ValueError)      an ONNX file that is broken or that no engine can be built from
├─ CalibrationError(ValueError)    calibration or evaluation pictures that cannot be used
├─ EvaluationError(ValueError)     a labelled data set, or a run over one, that gives no true figure
├─ RepositoryError                 a repository that cannot be written or contradicts itself
├─ VerificationError               a deployment that is not what its receipt says, or has none
├─ ArtefactError                   a repository that no registry takes, has or vouches for
├─ ServerStartError                a Triton server that cannot be found or does not get ready
├─ BulkError                       pictures in bulk that cannot be listed, gone on with or written
└─ LoadTestError                   a load that cannot be measured here

Messages say what was expected, what came, and what to do.
"""

from __future__ import annotations


class EngineBuildError(Exception):
    """Base of every error that `tritonseg_engines` raises on purpose."""


class SpecificationError(EngineBuildError, ValueError):
    """A model specification is incomplete, contradictory or has an unknown key."""


class CheckpointError(EngineBuildError, ValueError):
    """A weights file is unreadable, unsafe, or belongs to another model."""


class OnnxModelError(EngineBuildError, ValueError):
    """An ONNX file is unreadable or outside what an engine can be built from."""


class CalibrationError(EngineBuildError, ValueError):
    """Pictures given for calibration or evaluation cannot be used."""


class EvaluationError(EngineBuildError, ValueError):
    """A labelled data set, or a run over one, would give a figure that is not what it seems."""


class RepositoryError(EngineBuildError):
    """A model repository cannot be written, or disagrees with its own manifest."""


class VerificationError(EngineBuildError):
    """A served model or repository is not what its build's receipt says, or cannot be asked."""


class ArtefactError(EngineBuildError):
    """A repository cannot be pushed to a registry, or what is there is not what it should be."""


class ServerStartError(EngineBuildError):
    """A Triton server cannot be found, started, or does not become ready."""


class BulkError(EngineBuildError):
    """A job over many pictures cannot be planned, is another than the one that was begun, or ends.

    A picture that fails is none: it has a row in the results.
    """


class LoadTestError(EngineBuildError):
    """A load cannot be measured, or the tool that was to measure it does not run here."""


def reason_of(error: BaseException) -> str:
    """Return what a library says in one line, without the place that onnx repeats behind it."""
    text, _, _context = str(error).partition("\n\n==> Context")
    return " ".join(text.split())
