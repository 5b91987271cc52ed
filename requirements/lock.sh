#!/usr/bin/env bash
# Writes the locks beside this file anew from pyproject.toml; `make lock` calls it.
#
#   studio.txt   the light image                    studio, postgres
#   worker.txt   the image that trains and replies  train, bagel, four-bit, postgres
#   dev.txt      `make setup` and CI                train, dev (which holds build, postgres and studio)
#
# Each names every package with its exact version and the hashes of its files, for Python 3.11 to 3.13 and every
# system at once (markers tell them apart). torch is left out, and so is CUDA, which torch's wheel for Linux asks for:
# torch is installed first, by version alone, since its build for a processor is another file under the same version.
# What else torch needs is locked as its named version asks.
#
# Versions that still fit stay as they are; `make lock UPGRADE=1` takes the newest of everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${TORCH:?a version of torch, as the Makefile names it}" "${PYTHON:=python3}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PYTHON" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet uv==0.13.9
echo "$TORCH" >"$work/torch.txt"
# The project is installed without build isolation, so what builds it is locked too.
"$PYTHON" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
  >"$work/build.in"

compile() { # OUTPUT ARGUMENT...
  local output=$1
  shift
  "$work/venv/bin/uv" pip compile pyproject.toml "$work/build.in" --output-file "$output" --quiet --universal \
    --python-version 3.11 --constraint "$work/torch.txt" --no-header --no-annotate "$@"
}

lock() { # NAME ARGUMENT...
  local name=$1 output="$work/$1.txt" left_out=(--no-emit-package torch) package
  shift
  if [ -e "requirements/$name.txt" ]; then cp "requirements/$name.txt" "$output"; fi
  compile "$output" "$@"
  for package in $(grep -oE '^(triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)' "$output" || true); do
    left_out+=(--no-emit-package "$package")
  done
  compile "$output" --generate-hashes "${left_out[@]}" "$@"
  { echo "# Written by requirements/lock.sh: make lock"; grep -v '^#' "$output"; } >"requirements/$name.txt"
  echo "requirements/$name.txt: $(grep -c == "requirements/$name.txt") packages"
}

# The images take the versions that the tests ran with.
lock dev --extra train --extra dev "$@"
lock studio --extra studio --extra postgres --constraint requirements/dev.txt
lock worker --extra train --extra bagel --extra four-bit --extra postgres --constraint requirements/dev.txt
