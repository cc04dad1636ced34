#!/bin/sh
# Builds a model for this machine, or takes what such a machine has built before:
#   build_engines.sh CACHE MODELS WORD...
# with WORDs for `tritonseg build`. CACHE/HARDWARE/RUNTIME/DIGEST holds a repository, which appears there
# at once, so a build that was cut off leaves nothing that could be taken for one. DIGEST is of
# tritonseg's version, of the words, and of the files beside those that they name, because an ONNX may
# keep its weights in others.
set -eu
cache=$1 models=$2
shift 2

slug() { tr -cs 'A-Za-z0-9._-' '-' | sed 's/-*$//'; }

if command -v nvidia-smi > /dev/null; then
  # The driver is none of it: a plan does not depend on it.
  hardware=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader | head -n 1 | slug)
  runtime=tensorrt-$(python3 -c 'import tensorrt; print(tensorrt.__version__)')
else
  hardware=cpu-$(uname -m)-$(grep -m 1 -o -w avx512_vnni /proc/cpuinfo || echo no-vnni)
  runtime=openvino-$(python3 -c 'import openvino; print(openvino.__version__)' | slug)
fi
digest=$(
  {
    tritonseg --version
    for word in "$@"; do
      printf '%s\n' "$word"
      if test -f "$word"; then folder=$(dirname "$word") depth=1
      elif test -d "$word"; then folder=$word depth=9
      else continue; fi
      find "$folder" -maxdepth "$depth" -type f -exec sha256sum {} + | sort
    done
  } | sha256sum | cut -c 1-32
)
place=$cache/$hardware/$runtime/$digest

if test -d "$place" && tritonseg doctor --repository "$place"; then
  echo "taken from the cache: $place"
else
  mkdir -p "$cache/$hardware/$runtime"
  fresh=$(mktemp -d "$cache/$hardware/$runtime/.building-XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  tritonseg build "$@" --repository "$fresh/repository"
  # What does not pass any more makes way. Of two that build at once, the second takes the first's.
  if test -d "$place"; then mv "$place" "$fresh/old"; fi
  mv -T "$fresh/repository" "$place" || test -d "$place"
  echo "built into the cache: $place"
fi
cp -R "$place/." "$models/"
