#!/usr/bin/env bash
# What `make oci-check` takes and this project does not, into a folder:
#   scripts/oci_tools.sh FOLDER
# FOLDER/bin has Debian's docker-registry and skopeo. What is installed already is only linked.
# Nothing is installed into the system, and nothing runs as a service.
set -euo pipefail
folder=$(mkdir -p "$1/bin" && cd "$1" && pwd)

fetch() {
  command -v apt-get dpkg-deb > /dev/null || {
    echo "$1 comes from Debian's package, by apt-get and dpkg-deb" >&2
    exit 1
  }
  for package in "$@"; do
    # From Debian 13 on, libraries whose time has 64 bits have another name.
    (cd "$folder" && { apt-get -qq download "$package" 2> /dev/null \
      || apt-get -qq download "${package}t64"; })
  done
  for package in "$folder"/*.deb; do
    dpkg-deb --extract "$package" "$folder/root"
    rm "$package"
  done
}

provide() {
  [ -e "$folder/bin/$1" ] && return
  if installed=$(command -v "$1"); then
    ln -s "$installed" "$folder/bin/$1"
    return
  fi
  fetch "$@"
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' \
    "$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu" \
    "$folder/root/usr/bin/$1" > "$folder/bin/$1"
  chmod +x "$folder/bin/$1"
}

provide docker-registry
provide skopeo libgpgme11 libassuan0 libdevmapper1.02.1
"$folder/bin/docker-registry" --version
"$folder/bin/skopeo" --version
