"""What a call may say for itself, and what the environment says where the code does not."""

from __future__ import annotations

import pickle

import grpc
import numpy as np
import pytest

import tritonseg

IMAGE = np.zeros((2, 3, 3), np.uint8)
VARIABLES = ("URL", "MODEL", "MODEL_VERSION", "TIMEOUT_S", "TRANSPORT", "COMPRESSION", "TOKEN")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(f"TRITONSEG_{variable}", raising=False)


class TestModelOfACall:
    def test_is_the_one_it_names(self, connect, triton):
        client = connect(triton.url, model="another", model_version="3")
        result = client.segment(IMAGE, model="street-demo")
        assert (result.model.name, result.model_version) == ("street-demo", "10")
        assert client.describe(model="street-demo").name == "street-demo"
        assert client.is_ready(model="street-demo")
        client.wait_ready(model="street-demo", timeout_s=1)
        (outcome,) = client.segment_many([IMAGE], model="street-demo", model_version="9")
        assert outcome[1].model_version == "9"

    def test_without_one_anywhere(self, connect, triton):
        client = connect(triton.url, model=None)
        assert "model" not in repr(client)
        for call in (client.describe, client.is_ready, client.wait_ready):
            with pytest.raises(tritonseg.ConfigurationError, match="which model"):
                call()
        with pytest.raises(tritonseg.ConfigurationError, match="which model"):
            client.segment(IMAGE)
        with pytest.raises(tritonseg.ConfigurationError, match="which model"):
            client.segment_many([IMAGE])
        assert not triton.calls

    def test_version_of_the_client_is_for_its_own_model(self, connect, triton):
        client = connect(triton.url, model_version="9")
        assert client.segment(IMAGE).model_version == "9"
        assert client.segment(IMAGE, model="street-demo").model_version == "9"
        assert client.segment(IMAGE, model_version="1").model_version == "1"
        assert (
            connect(triton.url, model="another", model_version="9")
            .segment(IMAGE, model="street-demo")
            .model_version
            == "10"
        )

    def test_error_names_it(self, client):
        with pytest.raises(tritonseg.ModelNotFoundError) as caught:
            client.segment(IMAGE, model="another", request_id="r1")
        assert (caught.value.model_name, caught.value.request_id) == ("another", "r1")

    @pytest.mark.parametrize("model", ["", "../x", "A", 7])
    def test_unusable(self, client, model):
        with pytest.raises(tritonseg.ConfigurationError, match="model must match"):
            client.segment(IMAGE, model=model)

    def test_retries_of_all_models_have_one_budget(self, connect, triton):
        client = connect(triton.url)
        client.segment(IMAGE)
        triton.fail(grpc.StatusCode.UNAVAILABLE, "queue full")
        for version in ("1", "9", "10") * 20:
            with pytest.raises(tritonseg.OverloadedError):
                client.segment(IMAGE, model_version=version)
        assert triton.calls["ModelInfer"] - 1 <= 60 + 10 + 0.2 * (1 + 60 + 3) + 1


class TestTransportOfACall:
    def test_is_the_one_it_names(self, connect, triton, encoded):
        client = connect(triton.url)
        client.segment(encoded)
        client.segment(encoded, transport="encoded")
        list(client.segment_many([encoded], transport="encoded"))
        sent = [request.inputs[0].name for request in triton.raw_requests]
        assert sent == ["IMAGE", "ENCODED_IMAGE", "ENCODED_IMAGE"]

    @pytest.mark.parametrize("transport", ["", "jpeg", 7])
    def test_unusable(self, client, transport):
        with pytest.raises(tritonseg.ConfigurationError, match="transport must be"):
            client.segment(IMAGE, transport=transport)
        with pytest.raises(tritonseg.ConfigurationError, match="transport must be"):
            client.segment_many([IMAGE], transport=transport)


class TestModels:
    def test_all_versions_of_what_is_served(self, client, triton):
        models = client.models()
        assert [(model.name, model.version) for model in models] == [
            ("street-demo", version) for version in ("1", "9", "10")
        ]
        assert models[0].classes == client.model.classes

    def test_without_a_model_of_its_own(self, connect, triton):
        assert len(connect(triton.url, model=None).models()) == 3

    def test_nothing_that_is_not_ready(self, client, triton):
        triton.is_ready = False
        assert client.models() == ()

    def test_nothing_without_a_contract(self, client, triton):
        del triton.parameters["tritonseg_contract"]
        assert client.models() == ()

    def test_broken_contract_is_no_silence(self, client, triton):
        triton.parameters["tritonseg_model"] = "{"
        with pytest.raises(tritonseg.ProtocolError, match="tritonseg_model"):
            client.models()

    @pytest.mark.parametrize("version", ["", "a", "1.0", "٣"])
    def test_versions_that_are_none(self, client, triton, version):
        triton.versions = [version]
        with pytest.raises(tritonseg.ProtocolError, match="expected a number for the version"):
            client.models()

    def test_where_the_list_is_closed(self, client, triton):
        text = "This protocol is restricted, expecting header 'triton-grpc-protocol-key'"
        triton.fail(grpc.StatusCode.UNAVAILABLE, text, method="RepositoryIndex")
        with pytest.raises(tritonseg.AccessDeniedError, match="headers="):
            client.models()


class TestCompression:
    @pytest.mark.parametrize("compression", ["gzip", "deflate"])
    def test_mask_is_the_same(self, connect, triton, photo, compression):
        expected = connect(triton.url).segment(photo).class_map
        result = connect(triton.url, compression=compression).segment(photo)
        assert np.array_equal(result.class_map, expected)

    def test_saves_bytes(self, connect, triton, wire):
        flat = np.zeros((500, 500, 3), np.uint8)
        sent = []
        for compression in ("none", "gzip"):
            before = wire.bytes_sent
            connect(wire.address, compression=compression).segment(flat)
            sent.append(wire.bytes_sent - before)
        assert sent[0] > 750_000
        assert sent[1] < 20_000

    @pytest.mark.parametrize("compression", ["", "zstd", True])
    def test_unusable(self, compression):
        with pytest.raises(tritonseg.ConfigurationError, match="compression must be one of"):
            tritonseg.SegmentationClient("h:1", model="m", compression=compression)


class TestEnvironment:
    def test_stands_in_for_arguments(self, connect, triton, monkeypatch, encoded):
        monkeypatch.setenv("TRITONSEG_URL", triton.url)
        monkeypatch.setenv("TRITONSEG_MODEL", "street-demo")
        monkeypatch.setenv("TRITONSEG_MODEL_VERSION", "9")
        monkeypatch.setenv("TRITONSEG_TRANSPORT", "encoded")
        monkeypatch.setenv("TRITONSEG_TIMEOUT_S", "0.5")
        with tritonseg.SegmentationClient() as client:
            assert client.segment(encoded).model_version == "9"
            assert triton.raw_requests[-1].inputs[0].name == "ENCODED_IMAGE"
            triton.delay(5)
            with pytest.raises(tritonseg.DeadlineExceededError, match="timeout_s"):
                client.segment(encoded)

    def test_arguments_go_first(self, triton, monkeypatch):
        for variable in VARIABLES[:-1]:
            monkeypatch.setenv(f"TRITONSEG_{variable}", "of no use")
        client = tritonseg.SegmentationClient(
            triton.url,
            model="street-demo",
            model_version="9",
            timeout_s=5,
            transport="raw",
            compression="none",
        )
        with client:
            assert client.segment(IMAGE).model_version == "9"

    def test_version_goes_with_the_model(self, triton, monkeypatch):
        monkeypatch.setenv("TRITONSEG_MODEL", "another")
        monkeypatch.setenv("TRITONSEG_MODEL_VERSION", "9")
        with tritonseg.SegmentationClient(triton.url, model="street-demo") as client:
            assert client.segment(IMAGE).model_version == "10"

    @pytest.mark.parametrize(
        ("variable", "value", "match"),
        [
            ("URL", "http://h:8000", "TRITONSEG_URL: .*without a scheme"),
            ("MODEL", "../x", "TRITONSEG_MODEL: model must match"),
            ("MODEL_VERSION", "latest", "TRITONSEG_MODEL_VERSION: model_version must be"),
            ("TIMEOUT_S", "soon", "TRITONSEG_TIMEOUT_S: timeout_s must be .*'soon'"),
            ("TIMEOUT_S", "-1", "TRITONSEG_TIMEOUT_S: timeout_s must be"),
            ("TIMEOUT_S", "nan", "TRITONSEG_TIMEOUT_S: timeout_s must be"),
            ("TRANSPORT", "jpeg", "TRITONSEG_TRANSPORT: transport must be"),
            ("COMPRESSION", "zip", "TRITONSEG_COMPRESSION: compression must be"),
            ("TOKEN", "secret", "TRITONSEG_TOKEN: token= goes over an encrypted"),
        ],
    )
    def test_blames_the_variable(self, monkeypatch, variable, value, match):
        monkeypatch.setenv("TRITONSEG_URL", "h:1")
        monkeypatch.setenv(f"TRITONSEG_{variable}", value)
        with pytest.raises(tritonseg.ConfigurationError, match=match) as caught:
            tritonseg.SegmentationClient()
        assert variable != "TOKEN" or value not in str(caught.value)

    def test_empty_is_not_there(self, monkeypatch):
        for variable in VARIABLES:
            monkeypatch.setenv(f"TRITONSEG_{variable}", "")
        tritonseg.SegmentationClient("h:1").close()
        with pytest.raises(tritonseg.ConfigurationError, match="which server"):
            tritonseg.SegmentationClient()

    def test_token_goes_with_credentials(self, monkeypatch):
        monkeypatch.setenv("TRITONSEG_TOKEN", "s3cret")
        monkeypatch.setenv("TRITONSEG_URL", "h:1")
        client = tritonseg.SegmentationClient(credentials=grpc.ssl_channel_credentials())
        assert ("authorization", "Bearer s3cret") in client._settings.headers
        assert "s3cret" not in repr(client)
        client.close()

    def test_token_is_for_the_server_of_the_environment(self, monkeypatch):
        monkeypatch.setenv("TRITONSEG_TOKEN", "s3cret")
        monkeypatch.setenv("TRITONSEG_URL", "h:1")
        for options in ({"credentials": grpc.ssl_channel_credentials()}, {}):
            client = tritonseg.SegmentationClient("other:1", **options)
            assert client._settings.headers == ()
            client.close()

    def test_own_authorization_goes_first(self, monkeypatch):
        monkeypatch.setenv("TRITONSEG_TOKEN", "s3cret")
        monkeypatch.setenv("TRITONSEG_URL", "h:1")
        client = tritonseg.SegmentationClient(headers={"authorization": "Basic own"})
        assert client._settings.headers == (("authorization", "Basic own"),)
        client.close()

    def test_pickled_as_it_is(self, monkeypatch):
        monkeypatch.setenv("TRITONSEG_URL", "h:1")
        monkeypatch.setenv("TRITONSEG_MODEL", "m")
        client = tritonseg.SegmentationClient(compression="gzip")
        pickled = pickle.dumps(client)
        client.close()
        monkeypatch.setenv("TRITONSEG_URL", "other:1")
        monkeypatch.setenv("TRITONSEG_MODEL", "n")
        other = pickle.loads(pickled)
        assert other._settings == client._settings
        other.close()


@pytest.fixture
def encoded(photo):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, format="PNG")
    return buffer.getvalue()
