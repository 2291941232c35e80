"""nerfstudio's own commands on what a sweep's trial is exported as."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sweeps.cli import main
from sweeps.driver_process import child_environment
from sweeps.search.trial import F3RMTrainer, TrialJob, run_attempt
from sweeps.settings import Settings
from sweeps.spec.sweep import check_spec, parse_spec
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.processes import this_process
from sweeps.store.records import TrialRecord
from sweeps.store.repository import Repository
from tests.conftest import TINY_PARAMETERS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STEPS = 20


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("exported")
    return Settings.from_environment({"F3RM_DATA_DIR": str(folder / "data"), "F3RM_CACHE_DIR": str(folder / "cache")})


@pytest.fixture(scope="module")
def trial(settings: Settings, tiny_scene: Path) -> TrialRecord:
    """A trial of a sweep on the tiny scene, trained in this process, its checkpoint kept."""
    document = {
        "name": "exported",
        "scene": str(tiny_scene),
        "parameters": {**TINY_PARAMETERS, "max_num_iterations": STEPS},
        "space": {"feat_loss_weight": {"type": "float", "low": 1e-3, "high": 1.0}},
        "objectives": ["psnr"],
    }
    plan = check_spec(parse_spec(document))
    repository = Repository.open(settings.store_url)
    sweep, _ = repository.create_sweep(plan.spec)
    held = DrivenSweep.acquire(repository.database, sweep.id, this_process(), lease_seconds=300, max_attempts=3)
    configuration = plan.configuration({"feat_loss_weight": 0.1}, 0)
    held.add_trial(0, parameters={}, configuration=configuration, optuna_trial=0, total_steps=STEPS)
    job = TrialJob(
        sweep_id=sweep.id,
        number=0,
        token=held.start_attempt(0).token,
        configuration=configuration,
        scene=str(tiny_scene),
        objectives=("psnr",),
        steps=STEPS,
        threads=1,
        sweep_folder=settings.sweep_dir(sweep.id),
    )
    assert run_attempt(job, AttemptStore(repository.database), F3RMTrainer()) == "completed"
    trained = repository.get_trial(sweep.id, 0)
    repository.close()
    return trained


@pytest.fixture
def exported(settings: Settings, trial: TrialRecord, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    return settings


def run(settings: Settings, command: str, *words: object) -> str:
    """Run a command of nerfstudio's; give what it printed."""
    program = Path(sys.executable).parent / command
    done = subprocess.run(
        [program, *map(str, words)], capture_output=True, text=True, env=child_environment(settings), check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def test_ns_train_knows_the_method(settings: Settings) -> None:
    said = run(settings, "ns-train", "f3rm", "--help")
    assert "--pipeline.model.feat-loss-weight" in said
    assert "--pipeline.datamanager.dino-model" in said


def test_ns_train_trains_from_an_exported_config(exported: Settings, trial: TrialRecord, tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    assert main(["export", trial.sweep_id, "--trial", "0", "--format", "nerfstudio", "-o", str(file)]) == 0
    text = file.read_text()
    assert text.startswith(f"# Trial 0 of sweep exported ({trial.sweep_id}), seed {trial.seed}\n")
    assert ", torch " in text.split("!!python")[0]
    config = yaml.load(text, Loader=yaml.Loader)
    config.output_dir, config.timestamp = tmp_path, "now"
    file.write_text(yaml.dump(config))
    run(exported, "ns-train", "f3rm", "--load-config", file)
    trained = tmp_path / "room" / "f3rm" / "now"
    assert [ckpt.name for ckpt in (trained / "nerfstudio_models").iterdir()] == [f"step-{STEPS - 1:09d}.ckpt"]


class TestCheckpoint:
    @pytest.fixture
    def config(self, exported: Settings, trial: TrialRecord, tmp_path: Path) -> Path:
        assert main(["export", trial.sweep_id, "--format", "checkpoint", "-o", str(tmp_path)]) == 0
        return tmp_path / f"exported-{trial.sweep_id}" / "f3rm" / "trial-0" / "config.yml"

    def test_ns_eval_scores_it_as_the_trial_was(
        self, exported: Settings, trial: TrialRecord, config: Path, tmp_path: Path
    ) -> None:
        scores = tmp_path / "scores.json"
        run(exported, "ns-eval", "--load-config", config, "--output-path", scores)
        results = json.loads(scores.read_text())["results"]
        assert results["psnr"] == pytest.approx(trial.metrics["psnr"], abs=1e-3)
        assert results["ssim"] == pytest.approx(trial.metrics["ssim"], abs=1e-3)

    def test_ns_viewer_opens_it(self, exported: Settings, config: Path, tmp_path: Path) -> None:
        log = tmp_path / "viewer.log"
        with log.open("w") as output:
            viewer = subprocess.Popen(
                [
                    Path(sys.executable).parent / "ns-viewer",
                    "--load-config",
                    str(config),
                    "--viewer.websocket-host",
                    "127.0.0.1",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**child_environment(exported), "PYTHONUNBUFFERED": "1"},
            )
        try:
            deadline = time.monotonic() + 120
            while "http://127.0.0.1" not in log.read_text() and viewer.poll() is None and time.monotonic() < deadline:
                time.sleep(0.5)
            assert "http://127.0.0.1" in log.read_text(), log.read_text()
            assert "Done loading checkpoint" in log.read_text()
        finally:
            viewer.kill()
            viewer.wait()
