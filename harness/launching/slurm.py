"""launcher=slurm: the runs become job arrays. They go on after the command ends; with slurm.wait the command stays."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.common import plugins
from harness.common.files import write_json
from harness.config.run_config import Execution, RunConfig
from harness.launching.execution import read_config
from harness.launching.launcher import Launcher
from slurm import launcher, settings, snapshot, status

Configs = dict[Path, RunConfig]  # by the folder of the run


class JobArrays(Launcher):
    """Job arrays of Slurm. The runs of one array ask for the same resources."""

    def check(self, how: Execution, runs: dict[str, RunConfig], planned: bool) -> None:
        out, methods = Path(how.out), list(dict.fromkeys(config.method.name for config in runs.values()))
        for asked, alike in by_settings({out / run_id: config for run_id, config in runs.items()}):
            settings.check(asked, methods)
            if planned:
                print(launcher.plan(out, alike, asked))
        if not planned:
            launcher.check_slurm()

    def start(self, folders: list[Path], how: Execution) -> list[str]:
        out = Path(how.out)
        configs = {folder: read_config(folder) for folder in folders}
        copy_annotations(out, configs)
        code = snapshot.take(out, [plugins.of_run(config.plain()) for config in configs.values()])
        command = [sys.executable, "-m", "harness.run_folders"]
        jobs = [job for asked, runs in by_settings(configs) for job in launcher.submit(out, runs, asked, command, code)]
        print(f"{len(jobs)} jobs submitted; how they do: {launcher.status_command(out)}", file=sys.stderr)
        if how.slurm.wait:
            status.watch(out, {folder.name for folder in folders})
            return []
        return [folder.name for folder in folders]


def copy_annotations(out: Path, configs: Configs) -> None:
    """Let the runs read a copy of the user's annotations, so that the user may edit them before the jobs begin."""
    copies: dict[str, str] = {}
    for folder, config in configs.items():
        given = config.benchmark.options.get("annotations")
        if given:
            copies[given] = copies.get(given) or str(snapshot.annotations(out, Path(given)))
            options = {**config.benchmark.options, "annotations": copies[given]}
            copied = replace(config, benchmark=replace(config.benchmark, options=options))
            write_json(folder / "config.json", copied.plain())


def by_settings(configs: Configs) -> list[tuple[dict[str, Any], dict[Path, str]]]:
    """Settings of Slurm, each with its runs (folder -> method). Parts of a preset may have settings of their own."""
    found: dict[str, tuple[dict[str, Any], dict[Path, str]]] = {}
    for folder, config in configs.items():
        settings = asdict(config.execution.slurm)
        found.setdefault(json.dumps(settings, sort_keys=True), (settings, {}))[1][folder] = config.method.name
    return list(found.values())
