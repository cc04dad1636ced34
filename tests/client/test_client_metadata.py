"""What the server says about the model is believed only if it is well-formed to the letter."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonseg import ModelInfo, ProtocolError
from tritonseg._model.metadata import latest_version, parameters_of, parse_model_info
from tritonseg_steps import contract, encoded_image

MODEL, PROVENANCE = "tritonseg_model", "tritonseg_provenance"


def parse(parameters, version="1"):
    return parse_model_info(
        "street-demo",
        version=version,
        parameters=parameters,
        takes_files=True,
        gives_confidence=False,
    )


def change(parameters, key, **fields):
    document = {**json.loads(parameters[key]), **fields}
    return {**parameters, key: json.dumps(document)}


def test_well_formed(parameters, classes, palette):
    assert parse(parameters) == ModelInfo(
        name="street-demo",
        version="1",
        classes=classes,
        palette=palette,
        ignore_index=255,
        license="Apache-2.0",
        source="trained for this test",
        precision="fp32",
        runtime="openvino",
        onnx_sha256="0123456789abcdef" * 4,
        tritonseg_version="0.1.0",
        takes_files=True,
        gives_confidence=False,
    )


def test_spelling_is_the_servers_contract():
    from tritonseg._calls import protocol as _protocol
    from tritonseg._model import metadata as _metadata

    assert _metadata.CONTRACT_VERSION == contract.CONTRACT_VERSION
    assert _metadata.CONTRACT_PARAMETER == contract.CONTRACT_PARAMETER
    assert _metadata.MODEL_PARAMETER == contract.MODEL_PARAMETER
    assert _metadata.PROVENANCE_PARAMETER == contract.PROVENANCE_PARAMETER
    assert _metadata.MAX_CLASSES == contract.MAX_CLASSES
    for name in ("IMAGE", "ENCODED_IMAGE", "CLASS_MAP", "CONFIDENCE", "CONFIDENCE_REQUEST"):
        assert getattr(_protocol, name) == getattr(contract, name)


def test_files_are_sent_by_the_rules_by_which_the_server_decodes():
    from tritonseg._pictures import header as _header

    assert _header.MAX_BYTES == encoded_image.MAX_BYTES
    assert _header.MAX_PIXELS == encoded_image.MAX_PIXELS
    assert set(encoded_image.OPAQUE_MODES) == _header.OPAQUE_MODES


@pytest.mark.parametrize("version", ['"1"', '"2"', "3", "null", '"1.0"', '["1"]'])
def test_other_contract_says_what_to_upgrade(parameters, version):
    with pytest.raises(ProtocolError, match="installing a newer tritonseg"):
        parse({**parameters, "tritonseg_contract": version})


def test_no_contract_says_how_to_build(parameters):
    del parameters["tritonseg_contract"]
    with pytest.raises(ProtocolError, match="tritonseg build"):
        parse(parameters)


@pytest.mark.parametrize("key", [MODEL, PROVENANCE])
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"text"', "{'a': 1}", "[" * 100_000, " " * 1_000_001]
)
def test_documents_that_are_no_object(parameters, key, text):
    with pytest.raises(ProtocolError, match=key):
        parse({**parameters, key: text})
    with pytest.raises(ProtocolError, match=key):
        parse({name: value for name, value in parameters.items() if name != key})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classes", []),
        ("classes", "road"),
        ("classes", None),
        ("classes", ["road", "car", "sky", "person", ""]),
        ("classes", ["road", "car", "sky", "person", 5]),
        ("classes", ["road", "car", "sky", "person", "road"]),
        ("classes", [str(index) for index in range(257)]),
        ("palette", []),
        ("palette", {}),
        ("palette", [[1, 2, 3]] * 4),
        ("palette", [[1, 2, 3]] * 6),
        ("palette", [[1, 2, 3]] * 4 + [[1, 2, 256]]),
        ("palette", [[1, 2, 3]] * 4 + [[1, 2, -1]]),
        ("palette", [[1, 2, 3]] * 4 + [[1, 2, 3.0]]),
        ("palette", [[1, 2, 3]] * 4 + [[1, 2, True]]),
        ("palette", [[1, 2, 3]] * 4 + [[1, 2]]),
        ("palette", [[1, 2, 3]] * 4 + ["red"]),
        ("ignore_index", -1),
        ("ignore_index", 256),
        ("ignore_index", "255"),
        ("ignore_index", True),
        ("license", None),
        ("license", 5),
        ("source", ["x"]),
    ],
)
def test_malformed_model(parameters, field, value):
    with pytest.raises(ProtocolError, match=f"{MODEL}.*'{field}' must be"):
        parse(change(parameters, MODEL, **{field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("onnx_sha256", "0123"),
        ("onnx_sha256", "0123456789ABCDEF" * 4),
        ("onnx_sha256", "0123456789abcdef" * 4 + "\n"),
        ("precision", None),
        ("runtime", 7),
        ("tritonseg_version", []),
    ],
)
def test_malformed_provenance(parameters, field, value):
    with pytest.raises(ProtocolError, match=f"{PROVENANCE}.*'{field}' must be"):
        parse(change(parameters, PROVENANCE, **{field: value}))


@pytest.mark.parametrize(
    ("key", "field"),
    [(MODEL, field) for field in ("classes", "palette", "ignore_index", "license", "source")]
    + [(PROVENANCE, field) for field in ("onnx_sha256", "precision", "runtime")],
)
def test_missing_field(parameters, key, field):
    document = json.loads(parameters[key])
    del document[field]
    with pytest.raises(ProtocolError, match=f"'{field}' must be .*, got nothing"):
        parse({**parameters, key: json.dumps(document)})


def test_limits_are_inclusive(parameters):
    names = [f"class {index}" for index in range(256)]
    palette = [[index, 255 - index, 0] for index in range(256)]
    model = parse(change(parameters, MODEL, classes=names, palette=palette, ignore_index=None))
    assert (len(model.classes), model.palette[255], model.ignore_index) == (256, (255, 0, 0), None)


def test_later_releases_may_say_more(parameters):
    assert parse(change(parameters, MODEL, homepage="…")) == parse(parameters)


@pytest.mark.parametrize(("versions", "latest"), [(["1"], "1"), (["9", "10", "2"], "10")])
def test_latest_version_is_the_highest_number(versions, latest):
    assert latest_version("street-demo", versions) == latest


@pytest.mark.parametrize("versions", [[], ["a"], ["1", ""], ["²"], ["-1"]])
def test_versions_that_are_none(versions):
    with pytest.raises(ProtocolError, match="version"):
        latest_version("street-demo", versions)


@pytest.mark.parametrize(
    ("version", "own"), [("1", "of 1"), ("2", "of all"), ("11", "of 11"), ("3", "of all")]
)
def test_what_a_version_has_of_its_own_goes_before_what_all_have(version, own):
    texts = {"key": "of all", "key@1": "of 1", "key@11": "of 11", "other": "kept"}
    for read in (parameters_of, contract.parameters_of):  # the client's, and the server's
        assert read(texts, version).items() >= {"key": own, "other": "kept"}.items()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(["classes", "palette", "ignore_index", "license", "x"]), children
        )
    ),
    max_leaves=12,
)


@given(value=json_values)
def test_any_json_is_refused_by_protocol_error(value):
    parameters = {"tritonseg_contract": '"3"', MODEL: json.dumps(value), PROVENANCE: "{}"}
    with pytest.raises(ProtocolError):
        parse(parameters)
