from tritonseg_steps.normalize_step import NormalizeStep as TritonPythonModel

__all__ = ["TritonPythonModel"]
