"""The chart rendered by real Helm: schemas of Kubernetes and others, and what must fit together."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart import (
    CHART,
    EXAMPLES,
    KserveModels,
    Object,
    containers_of,
    example,
    merged,
    of_kind,
    pod_of,
    rendered,
    without_files,
)
from dockerfiles import stages

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = ["1.33", "1.35", "1.37"]
"""ImageVolume is in none before; the others' objects are the same since 1.30."""
OF_OTHERS = {
    "ScaledObject": ("cloudcoil.models.keda.v1alpha1", "ScaledObject"),
    "ServiceMonitor": ("cloudcoil.models.prometheus_operator.v1", "ServiceMonitor"),
    "PrometheusRule": ("cloudcoil.models.prometheus_operator.v1", "PrometheusRule"),
}
NO_SCHEMA = {"GRPCRoute"}
"""Of the Gateway API there is none in a package for Python."""
KSERVE = {
    "ServingRuntime": "V1alpha1ServingRuntime",
    "InferenceService": "V1beta1InferenceService",
}

pytestmark = pytest.mark.usefixtures("deploy_tools")


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def values(request: pytest.FixtureRequest) -> Object:
    return example(request.param.stem)


@pytest.fixture
def objects(values: Object) -> list[Object]:
    return rendered(values)


def test_helm_lints_it_strictly(values: Object) -> None:
    import helm_python

    report = helm_python.lint(str(CHART), values, strict=True, namespace="prod")
    assert report["errors"] == []
    found = [one for one in report["messages"] if one["error"] != "icon is recommended"]
    assert found == []


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_what_is_rendered(objects: list[Object], version: str) -> None:
    import kubernetes_validate

    own = [one for one in objects if one["kind"] not in {*OF_OTHERS, *NO_SCHEMA, *KSERVE}]
    assert own
    for one in own:
        kubernetes_validate.validate(one, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    import kubernetes_validate

    objects = rendered(example("cpu-demo"))
    pod_of(objects)["spec"]["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(of_kind(objects, "Deployment")[0], VERSIONS[-1], strict=True)


def model_complaint(one: Object) -> str | None:
    module, name = OF_OTHERS[one["kind"]]
    model = getattr(importlib.import_module(module), name)
    known = model.model_validate(one).model_dump(by_alias=True, exclude_unset=True, mode="json")
    return dropped(one, known)


def dropped(given: Any, known: Any, path: str = "") -> str | None:
    """What a model left out, because it is no field of it."""
    if isinstance(given, dict):
        for key, value in given.items():
            if key not in known:
                return f"{path}.{key}"
            if (found := dropped(value, known[key], f"{path}.{key}")) is not None:
                return found
    if isinstance(given, list):
        pairs = enumerate(zip(given, known, strict=True))
        return next(filter(None, (dropped(a, b, f"{path}[{i}]") for i, (a, b) in pairs)), None)
    return None


def test_keda_and_the_operator_take_theirs(objects: list[Object]) -> None:
    for one in objects:
        if one["kind"] in OF_OTHERS:
            assert model_complaint(one) is None


def test_a_field_that_keda_does_not_know_is_found() -> None:
    (scaled,) = of_kind(rendered(example("gpu-build")), "ScaledObject")
    scaled["spec"]["minReplicasCount"] = scaled["spec"].pop("minReplicaCount")
    assert model_complaint(scaled) == ".spec.minReplicasCount"


def test_kserve_takes_its_objects(deploy_tools: Path) -> None:
    import kubernetes_validate

    objects = rendered(example("kserve"))
    assert {one["kind"] for one in objects} == {*KSERVE, "ServiceAccount"}
    models = KserveModels(deploy_tools / "kserve")
    for kind, model in KSERVE.items():
        (one,) = of_kind(objects, kind)
        assert list(models.complaints(model, one)) == []
    (runtime,) = of_kind(objects, "ServingRuntime")
    spec = {key: runtime["spec"][key] for key in ("containers", "volumes")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
    kubernetes_validate.validate(pod, VERSIONS[-1], strict=True)
    runtime["spec"]["supportedModelFormat"] = []
    (found,) = models.complaints(KSERVE["ServingRuntime"], runtime)
    assert found == ".spec.supportedModelFormat is no field of V1alpha1ServingRuntimeSpec"


def test_kserve_starts_the_servers_own_line() -> None:
    (runtime,) = of_kind(rendered(example("kserve")), "ServingRuntime")
    own = stages("Dockerfile.cpu")[-1].command("ENTRYPOINT")
    assert runtime["spec"]["containers"][0]["command"] == [
        word.replace("=/models", "=/mnt/models") for word in own
    ]


def test_it_is_as_it_was(objects: list[Object], request: pytest.FixtureRequest) -> None:
    """TRITONSEG_GOLDEN=write takes what is rendered for right; look at the difference in git."""
    name = request.node.callspec.id
    text = yaml.safe_dump_all(without_files(objects), sort_keys=True)
    if os.environ.get("TRITONSEG_GOLDEN") == "write":
        (GOLDEN / f"{name}.yaml").write_text(text)
    assert text == (GOLDEN / f"{name}.yaml").read_text()


def has_deployment(values: Object) -> bool:
    return not values.get("kserve", {}).get("enabled", False)


def test_every_container_is_nobody_and_can_change_nothing(objects: list[Object]) -> None:
    if of_kind(objects, "Deployment"):
        pod = pod_of(objects)
        security = pod["spec"]["securityContext"]
        assert pod["spec"]["automountServiceAccountToken"] is False
        containers = containers_of(pod)
    else:
        (service,) = of_kind(objects, "InferenceService")
        security = service["spec"]["predictor"]["securityContext"]
        (runtime,) = of_kind(objects, "ServingRuntime")
        containers = runtime["spec"]["containers"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == 1000
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= container["resources"].keys()
        assert "memory" in container["resources"]["limits"]


def test_what_is_named_is_there(objects: list[Object], values: Object) -> None:
    if not has_deployment(values):
        pytest.skip("KServe makes the pods and services")
    pod = pod_of(objects)
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    mounts = {m["name"] for one in containers_of(pod) for m in one["volumeMounts"]}
    assert mounts == volumes
    assert {"tmp", "shm"} <= mounts
    made = {one["metadata"]["name"] for one in of_kind(objects, "ConfigMap")}
    for volume in pod["spec"]["volumes"]:
        assert volume.get("configMap", {"name": None})["name"] in {None, *made}
    ports = {port["name"] for one in pod["spec"]["containers"] for port in one["ports"]}
    labels = pod["metadata"]["labels"].items()
    (service,) = of_kind(objects, "Service")
    assert service["spec"]["clusterIP"] == "None"
    assert {port["targetPort"] for port in service["spec"]["ports"]} == ports
    (policy,) = of_kind(objects, "NetworkPolicy")
    (budget,) = of_kind(objects, "PodDisruptionBudget")
    (deployment,) = of_kind(objects, "Deployment")
    selectors = [
        service["spec"]["selector"],
        deployment["spec"]["selector"]["matchLabels"],
        policy["spec"]["podSelector"]["matchLabels"],
        budget["spec"]["selector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in pod["spec"]["topologySpreadConstraints"]),
    ]
    assert all(selector.items() <= labels for selector in selectors)
    open_ports = {port["port"] for one in policy["spec"]["ingress"] for port in one["ports"]}
    served = {p["containerPort"] for one in pod["spec"]["containers"] for p in one["ports"]}
    assert open_ports == served
    scaled = [*of_kind(objects, "HorizontalPodAutoscaler"), *of_kind(objects, "ScaledObject")]
    for one in scaled:
        assert one["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert ("replicas" in deployment["spec"]) == (not scaled)


def test_the_server_gets_words_that_it_takes(objects: list[Object]) -> None:
    """As click reads them: models and options, then `--`, then tritonserver's."""
    from tritonseg_engines.cli.serve_command import command

    if not of_kind(objects, "Deployment"):
        pytest.skip("KServe starts the same words")
    pod = pod_of(objects)
    (server,) = (one for one in containers_of(pod) if one["name"] == "server")
    words = [*stages("Dockerfile.cpu")[-1].command("ENTRYPOINT")[2:], *server["args"]]
    words[0] = f"--repository={CHART}"  # a folder that is there
    read = command.make_context("serve", words).params
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert read["metrics_port"] == ports["metrics"]
    assert read["verify_metrics_port"] == ports["canaries"]
    behind_tls = any(one["name"] == "envoy" for one in containers_of(pod))
    assert read["host"] == ("127.0.0.1" if behind_tls else "0.0.0.0")
    assert ("exec" if behind_tls else "grpc") in server["readinessProbe"]


REFUSED = {
    "no image": ("cpu-volume", {"image": {"repository": ""}}, "image.repository is not set"),
    "no claim": ("cpu-volume", {"source": {"pvc": {"claimName": ""}}}, "source.pvc.claimName"),
    "no source": ("cpu-volume", {"source": {"type": "none"}}, "build"),
    "unknown key": ("cpu-volume", {"replica": 2}, "replica"),
    "a drain that is cut": ("cpu-volume", {"terminationGracePeriodSeconds": 9}, "terminationGr"),
    "memory in words": ("cpu-volume", {"sharedMemory": "much"}, "sharedMemory"),
    "scaled by nothing": ("gpu-image", {"autoscaling": {"servedModel": ""}}, "servedModel"),
    "kserve and a build": ("kserve", {"build": {"enabled": True}}, "kserve.enabled goes with"),
    "no certificate": ("mtls", {"mtls": {"secretName": ""}}, "mtls.secretName is not set"),
    "a route past mTLS": (
        "mtls", {"gateway": {"enabled": True, "parentRefs": [{"name": "public"}]}}, "mtls"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_in_words(case: str) -> None:
    import helm_python

    name, changes, words = REFUSED[case]
    with pytest.raises(helm_python.errors.HelmError, match=words):
        rendered(merged(example(name), changes))
