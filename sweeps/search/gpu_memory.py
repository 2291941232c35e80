"""Memory of the GPUs, from nvidia-smi: the driver need not load torch, and holds no CUDA context."""

from __future__ import annotations

import subprocess

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

_QUERY = ("nvidia-smi", "--query-gpu=memory.free,mig.mode.current", "--format=csv,noheader,nounits")
_SECONDS = 60.0
_MEBIBYTE_GB = 2**20 / 1e9


def free_memory_gb() -> float | None:
    """What is free of this machine's GPUs, GB (1e9): of the one where it is least.

    None: there is no nvidia-smi, or a GPU is cut into instances (MIG), whose memory it does not tell.
    """
    try:
        said = subprocess.run(_QUERY, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    free = []
    for line in said.splitlines():
        memory, _, instances = (part.strip() for part in line.partition(","))
        if instances == "Enabled" or not memory.isdecimal():
            return None
        free.append(int(memory) * _MEBIBYTE_GB)
    return min(free, default=None)


def cluster_memory_gb() -> float | None:
    """The same over all machines with GPUs of the Ray cluster that this process is connected to; None also where one
    does not answer."""
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    ask = ray.remote(num_cpus=0)(free_memory_gb)
    asked = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote() for node in nodes
    ]
    try:
        answers = ray.get(asked, timeout=_SECONDS)
    except ray.exceptions.RayError:
        return None
    return None if None in answers else min(answers, default=None)
