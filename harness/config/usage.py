"""The text of `python -m harness.run --help`, made from the dataclasses of the settings; imports no torch, no Hydra."""

from collections.abc import Sequence

from benchmarks import SETTINGS
from harness.common import plugins
from harness.common.settings import line, lines
from harness.config.schema import GROUPS, all_settings
from methods import METHODS

HEAD = """usage: python -m harness.run methods=[cram,er,no_refresh] [name=value ...]

Runs methods on a stream of video clips and prints a table; each finished run leaves a record in its folder under out.
The same command again continues what is not finished. Values are written in Hydra's syntax: lists as [a,b], a single
value is taken for a list of one, commas sweep any setting (compressor.steps=50,100 doubles the runs), and of a name
given twice the last one holds.

  python -m harness.run methods=[cram,er] replicates=3 memory.budget=700kB out=runs
  python -m harness.run methods=[cram,er] plan=true
  python -m harness.run preset=smoke
  python -m harness.list methods [NAME]   also: benchmarks, protocols, profiles, presets, metrics, plots (--help: all)
"""
TAIL = """One method only: NAME.setting=value or method.NAME.setting=value (python -m harness.list methods NAME).
Exit code: 0 if every run asked for is done, 1 if some are not, 2 for a command that cannot be run, 130 if interrupted.
"""


def text(words: Sequence[str] = ()) -> str:
    """The whole help; with the settings of the plug-ins that are named among the words."""
    parts = [HEAD, "Chosen by name (harness.list shows them)"]
    parts += [line(name, "", says.help) for name, says in GROUPS.items()]
    for prefix, settings in all_settings().items():
        title = f"{prefix[:-1]}: {(settings.__doc__ or '').partition(chr(10))[0]}" if prefix else "The command"
        parts += ["", title, *lines(settings, prefix)]
    for plugin in plugins.load(plugins.named(words)):
        own = {name: METHODS.get(name).Settings for name in plugin.registered.get("method", ())}
        own |= {name: SETTINGS[name] for name in plugin.registered.get("benchmark", ())}
        for name, settings in own.items():
            parts += ["", f"{name}: of {plugin.path}", *lines(settings, f"{name}.")]
    return "\n".join([*parts, "", TAIL])
