"""A model repository in an OCI registry: pushed with an SBOM and a signature, pulled if all holds.

One tag is an index with one image for every kind of machine, as container engines, Kubernetes and
KServe take images. docs/artefacts.md says what lies where.
"""
