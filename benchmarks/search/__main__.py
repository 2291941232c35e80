"""Play searches on a problem, one run a seed.

    python -m benchmarks.search --problem branin-currin --method model --seeds 20 --workers 4 --out runs.jsonl

Prints a line a run, or with --json one JSON object a run; with --out runs are appended to a file, and those that are
there already are not played again. `python -m benchmarks.search.report` makes tables and plots of such files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.search.methods import METHODS
from benchmarks.search.problems import PROBLEMS
from benchmarks.search.simulate import play


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__.splitlines()[0])
    parser.add_argument("--problem", choices=sorted(PROBLEMS), required=True)
    parser.add_argument("--method", choices=sorted(METHODS), required=True)
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="runs, with seeds 0 to N - 1")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--budget", type=float, default=60.0, help="compute, in full evaluations")
    parser.add_argument("--until", type=float, default=1.0, help="stop a run at this share of the best hypervolume")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    kept = arguments.out.read_text().splitlines() if arguments.out and arguments.out.exists() else []
    done = {_key(run): run for run in map(json.loads, kept)}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        name = {"problem": arguments.problem, "method": arguments.method, "workers": arguments.workers, "seed": seed}
        if (old := done.get(_key(name))) is not None:
            for asked in ("budget", "until"):
                if old[asked] != getattr(arguments, asked):
                    parser.error(
                        f"{arguments.out}: seed {seed} was played with --{asked} {old[asked]:g}; give another --out"
                    )
            continue
        run = {**name, **_play(arguments, seed)}
        if arguments.out:
            with arguments.out.open("a") as stream:
                stream.write(json.dumps(run) + "\n")
        print(json.dumps(run) if arguments.json else _line(run), flush=True)


def _key(run: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(run[name] for name in ("problem", "method", "workers", "seed"))


def _play(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    problem = PROBLEMS[arguments.problem]()
    strategy, rungs = METHODS[arguments.method].for_problem(problem, seed, arguments.workers)
    played = play(problem, strategy, rungs, workers=arguments.workers, budget=arguments.budget, until=arguments.until)
    later = played.failed[20:]
    return {
        "budget": arguments.budget,
        "until": arguments.until,
        "curve": [[round(cost, 4), round(share, 5)] for cost, share in played.curve],
        "started": len(played.failed),
        "failed": sum(played.failed),
        "failed_after_20": [sum(later), len(later)],
        "decisions": played.decisions,
        "cpu_seconds": round(played.cpu_seconds, 2),
        "slowest_decision": round(played.slowest, 3),
    }


def _line(run: dict[str, Any]) -> str:
    curve = run["curve"]
    at = "  ".join(f"{cost:g}: {max((s for c, s in curve if c <= cost), default=0.0):.3f}" for cost in (5, 10, 20, 60))
    reached = [next((f"{c:.1f}" for c, s in curve if s >= share), "-") for share in (0.8, 0.9, 0.95)]
    return (
        f"{run['problem']} {run['method']} x{run['workers']} seed {run['seed']}: hypervolume at {at}; "
        f"80, 90, 95% at {', '.join(reached)}; {run['failed']} of {run['started']} failed; {run['cpu_seconds']:.1f} s"
    )


if __name__ == "__main__":
    main()
