"""What a run is made of, resolved from its config: benchmark, stream, spec and a fresh method."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

import benchmarks
from benchmarks import protocols
from benchmarks.stream import Experience, build_stream
from harness.common import plugins, sources
from harness.common.files import sha256
from harness.common.settings import declared
from harness.common.sources import ROOT, sources_hash
from harness.common.words import unknown
from harness.config.run_config import RunConfig
from harness.training.batches import Augmentation, ClipSource
from methods import METHODS, find
from methods.answers import QUESTIONS, answered
from methods.contract import Method, Spec
from methods.shared import pretrained
from methods.shared.classifier import pixel_classifier
from methods.shared.settings import SHARED


class Context:
    """Resolved from a run's config. With `described`, its benchmark without frames, nothing is decoded: for a plan."""

    def __init__(self, config: RunConfig, described: benchmarks.Benchmark | None = None):
        self.config = config
        plugins.load_listed(plugins.of_run(config.plain()), ROOT)
        self.cls = answered(find(config.method.name), asdict(config.replay))
        self._check_uses()
        self.device = _device(config.execution.device)
        chosen, cache = config.benchmark, Path(config.execution.paths["cache"])
        self.benchmark = described or benchmarks.load(chosen.name, chosen.options, cache)
        self.table, self.reader = self.benchmark.table, self.benchmark.reader
        self.stream = build_stream(
            self.table, config.label, chosen.options["tasks"], config.order_seed, config.setting,
            given=bool(config.compressor.load),
        )  # fmt: skip
        self.spec = Spec(
            clip_shape=(self.benchmark.frames, self.benchmark.height, self.benchmark.width, 3),
            n_classes=self.stream.n_classes,
            n_pretraining_classes=len(self.stream.pretraining_classes),
            n_experiences=self.stream.n_experiences,
            device=self.device,
            budget=config.memory.budget,
            count=config.memory.count,
            compressor=config.compressor,
            classifier=config.classifier,
            replay=config.replay,
            training=config.training,
            weights=_weights(config),
            answers={question: dict(config.answers.get(f"{question}s", {})) for question in QUESTIONS},
        )
        self._labels = {name: np.unique(self.table.frame[name], return_inverse=True)[1] for name in self.table.labels}

    def method(self) -> Method:
        """A fresh method; its weights come from torch's global generator, its draws from its own."""
        generator = torch.Generator().manual_seed(self.config.seed + 1)
        return self.cls(self.spec, self.cls.Settings(**self._settings()), generator)

    def reference_bytes(self) -> int | None:
        """Bytes of the network that a pixel method trains with these settings; None where there can be no such network.

        Nothing is drawn for it.
        """
        spec = self.spec
        try:
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                network = pixel_classifier(spec.clip_shape, spec.compressor, spec.classifier, spec.n_classes)
        except Exception:  # of a network that clips of this size do not fit, for a method that does not need it
            return None
        return sum(tensor.nbytes for tensor in network.state_dict().values())

    def imports(self) -> list[str]:
        """What of the packages that can read any clip the file of a user's method imports."""
        file = METHODS.entries[self.cls.name].file if self.cls.name in METHODS else None
        return [] if file is None else sources.imports_of(file, ("benchmarks", "harness.training"))

    def items(self) -> tuple[Experience, ...]:
        """What accuracy is measured on."""
        return self.stream.test_stream if self.config.evaluate == "test" else self.stream.valid_stream

    def clips(self, experience: Experience) -> ClipSource:
        augmentation = Augmentation.of(self.benchmark, experience.indices)
        return ClipSource(self.reader, experience.indices, experience.targets, self._labels, self.device, augmentation)

    def _settings(self) -> dict[str, Any]:
        """The method's own settings, with the paths of files, whose bytes must be those that the config names."""
        settings, paths = dict(self.config.method.settings), self.config.execution.paths
        for entry in fields(self.cls.Settings):
            if declared(entry).kind == "file" and settings.get(entry.name):
                name = f"{self.config.method.name}.{entry.name}"
                if not Path(paths[name]).is_file() or sha256(Path(paths[name])) != settings[entry.name]:
                    raise ValueError(f"{name}: '{paths[name]}' is not the file that the run was asked for with; "
                                     "ask for it again")  # fmt: skip
                settings[entry.name] = paths[name]
        return settings

    def _check_uses(self) -> None:
        """ValueError where the method says that it uses a shared setting that there is none of."""
        known = [name for group, cls in SHARED.items() for name in (group, *(f"{group}.{f.name}" for f in fields(cls)))]
        for name in self.cls.uses:
            if name not in known:
                raise ValueError(f"method {self.cls.name}: {unknown('shared setting in uses', name, known)}")

    def fields(self) -> dict[str, Any]:
        """What the record says of the run itself."""
        config, plain, names = self.config, self.config.plain(), self.stream.classes
        rule = protocols.PROTOCOLS.get(config.protocol) if config.protocol in protocols.PROTOCOLS else None
        primary = rule.primary if rule else "final_accuracy"
        digest = rule.hash(self.table.hash) if rule else self.table.hash[:12]
        return {
            "schema": "1",
            "run_id": config.run_id(self.benchmark.clips_hash),
            "protocol": {"id": config.protocol, "hash": digest, "primary": primary},
            "benchmark": config.benchmark.name,
            **{key: plain[key] for key in ("label", "setting", "profile", "evaluate", "method", "seed", "order_seed")},
            "bound": self.cls.bound,
            "opaque": self.cls.opaque,
            "class_order": [[names[c] for c in task] for task in self.stream.class_order],
            **({"domains": [list(part) for part in self.stream.domain_order]} if self.stream.domain_order else {}),
            "config": plain,
            "used_groups": list(self.cls.uses),
            "skipped_clips": sum(other == "" for other in self.benchmark.changed.values()),
            "clip_table_hash": self.benchmark.clips_hash,
            "sources": sources_hash(),
        }


def _weights(config: RunConfig) -> dict[str, torch.Tensor] | None:
    """Of the compressor that `compressor.load` names; ValueError if its file is another one by now."""
    settings = config.compressor
    if not settings.load:
        return None
    path = Path(config.execution.paths["compressor"])
    if pretrained.sha256(path) != settings.load:
        raise ValueError(f"compressor.load: '{path}' was changed since the run was asked for; ask for it again")
    return pretrained.load(path, settings)


def _device(wanted: str) -> str:
    """auto: the GPU where torch sees one. ValueError for cuda where it does not."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda, but torch sees no CUDA device here (device=auto takes one where there is one)")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
