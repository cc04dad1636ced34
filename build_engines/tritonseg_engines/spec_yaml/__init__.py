"""The YAML form of `ModelSpec`."""

from tritonseg_engines.spec_yaml.specification import read_spec, spec_from_document

__all__ = ["read_spec", "spec_from_document"]
