#!/usr/bin/env bash
# A node of the Ray cluster, in the foreground: `ray.sh head`, or `ray.sh worker` that joins RAY_ADDRESS.
# RAY_CPUS and RAY_GPUS say what a worker offers; left empty, all that Ray finds. The dashboard and its jobs API, by which
# anyone could run code, stay off; every connection shows the token of RAY_AUTH_TOKEN_PATH. Of itself Ray would take 30 % of
# the memory for its objects, few here, and keep them on disk where /dev/shm has less.
set -euo pipefail
role=${1:?head or worker}
address=$(hostname -i | cut -d ' ' -f 1)
words=(--node-ip-address "$address" --object-store-memory 1000000000 --disable-usage-stats --block)
if [ "$role" = head ]; then
    words+=(--head --port "${RAY_ADDRESS##*:}" --include-dashboard=false --num-cpus 0 --num-gpus 0)
else
    words+=(--address "$RAY_ADDRESS")
    if [ -n "${RAY_CPUS:-}" ]; then words+=(--num-cpus "$RAY_CPUS"); fi
    if [ -n "${RAY_GPUS:-}" ]; then words+=(--num-gpus "$RAY_GPUS"); fi
fi
export RAY_prestart_worker_first_driver=0 # a driver would wait for a worker on each of its node's CPUs, and hear no signal
unset RAY_ADDRESS # `ray start --head` takes it for a cluster to join
exec ray start "${words[@]}"
