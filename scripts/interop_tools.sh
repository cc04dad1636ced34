#!/usr/bin/env bash
# The tools of docs/interop.md that are not on a machine with this project, into a folder:
#   scripts/interop_tools.sh FOLDER
# FOLDER/bin/perf_analyzer, FOLDER/kserve (an environment), FOLDER/model-analyzer (another),
# FOLDER/forms (a third, which has all that this project's has, too) and FOLDER/node_modules. What is there already is left. PYTHON is the interpreter of the environments,
# DEBIAN_MIRROR where Debian's packages come from. Node is left out where there is no npm.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
python=${PYTHON:-python3}
pip() { "$python" -m pip --quiet --disable-pip-version-check "$@"; }

# Debian 13's libraries beside a program that needs a newer glibc than this system's; nothing of the
# system is changed. Source: ld.so(8), --library-path.
debian_libraries() {
  local apt="$folder/apt" packages=(libc6 libstdc++6 libgcc-s1 libssl3t64 libzstd1 zlib1g)
  command -v apt-get dpkg-deb > /dev/null || {
    echo "perf_analyzer needs glibc 2.38, or apt-get to fetch Debian's beside it" >&2
    exit 1
  }
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$folder/debian"
  echo "deb ${DEBIAN_MIRROR:-http://deb.debian.org/debian} trixie main" > "$apt/sources.list"
  local options=(
    -qq -o "Dir::State=$apt" -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=/dev/null"
    -o "Dir::Cache=$apt" -o "Dir::Etc::SourceList=$apt/sources.list"
    -o "Dir::Etc::SourceParts=/dev/null" -o APT::Architecture=amd64 -o "APT::Sandbox::User=$USER"
  )
  apt-get "${options[@]}" update
  (cd "$apt" && apt-get "${options[@]}" download "${packages[@]}")
  for package in "$apt"/*.deb; do dpkg-deb --extract "$package" "$folder/debian"; done
  rm -r "$apt"
}

perf_analyzer() {
  local program="$folder/perf_analyzer/perf_analyzer/bin/perf_analyzer"
  # By its platform's name, because pip takes a stub of version 0.1.0 where no wheel fits.
  pip download --no-deps --only-binary=:all: --platform manylinux_2_38_x86_64 \
    --python-version 3.12 --dest "$folder" 'perf-analyzer==2.60.*'
  "$python" -m zipfile -e "$folder"/perf_analyzer-*.whl "$folder/perf_analyzer"
  rm "$folder"/perf_analyzer-*.whl
  chmod +x "$program"
  mkdir -p "$folder/bin"
  if "$program" --version > /dev/null 2>&1; then
    ln -s "$program" "$folder/bin/perf_analyzer"
    return
  fi
  debian_libraries
  cat > "$folder/bin/perf_analyzer" << LINES
#!/bin/sh
exec "$folder/debian/usr/lib64/ld-linux-x86-64.so.2" \
  --library-path "$folder/debian/usr/lib/x86_64-linux-gnu" "$program" "\$@"
LINES
  chmod +x "$folder/bin/perf_analyzer"
  "$folder/bin/perf_analyzer" --version
}

environment() {  # name, then what goes into it
  "$python" -m venv "$folder/$1"
  "$folder/$1/bin/python" -m pip --quiet --disable-pip-version-check install "${@:2}"
  touch "$folder/$1/installed"
}

# What results are turned into, beside the NumPy, Pillow and torch with which the tests run.
forms() {
  "$python" -m venv "$folder/forms"
  "$folder/forms/bin/python" - "$("$python" -c 'import site; print(site.getsitepackages()[0])')" \
    << 'LINES'
import pathlib, site, sys
beside = pathlib.Path(site.getsitepackages()[0], "tests_environment.pth")
beside.write_text(f"import site; site.addsitedir({sys.argv[1]!r})\n")
LINES
  "$folder/forms/bin/python" -m pip --quiet --disable-pip-version-check install \
    'numpy<2' 'supervision==0.31.*' 'fiftyone==1.22.*' 'transformers==5.*' 'rasterio==1.4.*' \
    'pyogrio==0.13.*'
  touch "$folder/forms/installed"
}

USER=${USER:-$(id -un)}
[ -x "$folder/bin/perf_analyzer" ] || perf_analyzer
[ -e "$folder/kserve/installed" ] || environment kserve 'kserve==0.21.*' pillow
[ -e "$folder/model-analyzer/installed" ] || environment model-analyzer 'triton-model-analyzer==1.58.*'
[ -e "$folder/forms/installed" ] || forms
if command -v npm > /dev/null; then
  [ -d "$folder/node_modules" ] || npm install --prefix "$folder" --silent --no-audit --no-fund \
    '@grpc/grpc-js@1.14' '@grpc/proto-loader@0.8'
else
  echo "no npm here: the Node client is left out" >&2
fi
