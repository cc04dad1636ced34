#!/usr/bin/env bash
# What `make deploy-check` takes and this project does not, into a folder:
#   scripts/deploy_tools.sh FOLDER
# FOLDER/prometheus has Debian's prometheus and promtool, FOLDER/python Helm and the schemas of
# Kubernetes, KEDA and Prometheus' operator, FOLDER/kserve the models of KServe. What is there already is left. PYTHON is the interpreter whose
# environment they are used beside. Nothing is installed into the system, and nothing runs as a service.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
python=${PYTHON:-python3}

prometheus() {
  command -v apt-get dpkg-deb > /dev/null || {
    echo "prometheus and promtool come from Debian's package, by apt-get and dpkg-deb" >&2
    exit 1
  }
  (cd "$folder" && apt-get -qq download prometheus)
  dpkg-deb --extract "$folder"/prometheus_*.deb "$folder/prometheus"
  rm "$folder"/prometheus_*.deb
}

libraries() {
  "$python" -m pip --quiet --disable-pip-version-check install --target "$folder/$1" "${@:2}"
}

[ -x "$folder/prometheus/usr/bin/promtool" ] || prometheus
[ -d "$folder/python" ] || libraries python 'helm-python-sdk==0.2.*' 'kubernetes-validate==1.37.*' \
  'cloudcoil-models-keda>=2.16' 'cloudcoil-models-prometheus-operator>=0.80'
[ -d "$folder/kserve" ] || libraries kserve --no-deps 'kserve==0.21.*'  # to read: it would bring Ray
"$folder/prometheus/usr/bin/promtool" --version | head -1
