#!/usr/bin/env bash
# Installs a lock, every package by its hashes. Given an index of PyTorch's, torch and torchvision come from there, in
# the lock's versions and without the CUDA packages.
set -euo pipefail
lock=$1 index=${2:-}
if [ -z "$index" ]; then
    pip install --require-hashes --no-deps --requirement "$lock"
    exit
fi
# A requirement begins in the first column, and its hashes follow, indented.
awk '/^[a-z]/ { skip = /^(torch|torchvision|triton|nvidia-|cuda-)/ } !skip' "$lock" >/tmp/others.lock
pip install --require-hashes --no-deps --requirement /tmp/others.lock
mapfile -t torch < <(sed -n 's/^\(torch\(vision\)\{0,1\}==[^ ;]*\).*/\1/p' "$lock")
pip install --no-deps --index-url "$index" "${torch[@]}"
