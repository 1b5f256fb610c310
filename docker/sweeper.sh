#!/usr/bin/env bash
# `sweeper ...`; for the commands that run trials as a node of the cluster at RAY_ADDRESS, without CPUs of its own, for
# Ray's drivers must be on a node.
set -euo pipefail
case ${1:-} in
run | resume)
    address=$(hostname -i | cut -d ' ' -f 1)
    ray start --address "$RAY_ADDRESS" --node-ip-address "$address" --num-cpus 0 --num-gpus 0 \
        --object-store-memory 1000000000 --disable-usage-stats >&2
    ;;
esac
exec sweeper "$@"
