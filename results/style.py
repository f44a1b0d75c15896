"""One look for every plot: one color and one marker per method, in colors that color-blind readers can tell apart."""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

# The colors of Okabe and Ito, and one more. Bounds are black and gray.
COLORS = {
    "cram": "#0072B2",
    "no_refresh": "#D55E00",
    "no_snapshot": "#CC79A7",
    "refresh_only": "#56B4E9",
    "current_decoder": "#8C613C",
    "frozen": "#009E73",
    "er": "#E69F00",
    "naive": "#7A1F5C",
    "joint": "#000000",
    "joint_codes": "#666666",
    "all_decoders": "#999999",
}
OTHERS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
MARKERS = {
    "cram": "o", "no_refresh": "s", "no_snapshot": "^", "refresh_only": "v", "current_decoder": "D", "frozen": "P",
    "er": "h", "naive": "X", "joint": "*", "joint_codes": "p", "all_decoders": "<",
}  # fmt: skip
MORE_MARKERS = (">", "d", "H", "8", "<", "*", "p", "D", "X", "s", "^", "v")
# Families of fonts that hold scripts which the usual one lacks.
SCRIPTS = ("Noto Sans", "Noto Serif CJK", "Arial Unicode", "WenQuanYi", "IPA", "Takao", "Source Han", "Droid Sans",
           "Microsoft YaHei", "SimHei", "SimSun", "MS Gothic", "Meiryo", "Malgun", "Nanum", "Unifont", "Nirmala",
           "PingFang", "Hiragino", "Apple SD", "Lohit", "Garuda", "FreeSans", "Symbola")  # fmt: skip
# Variants of a method share its color and marker. Dashes and fillings tell them apart.
DASHES = ("-", "--", ":", "-.")
FILLS = ("full", "none", "left", "top")


def applied() -> AbstractContextManager[None]:
    """While this lasts, figures are drawn and saved in this style. Afterwards matplotlib is as it was."""
    import matplotlib
    import seaborn

    look = {**seaborn.axes_style("whitegrid"), **seaborn.plotting_context("paper"), "font.family": [*families()]}
    return matplotlib.rc_context({**look,
        "figure.dpi": 110, "savefig.dpi": 150, "savefig.bbox": "tight", "axes.titlesize": "medium",
        "svg.fonttype": "path", "svg.hashsalt": "results", "legend.frameon": False,
        "figure.constrained_layout.use": True,
    })  # fmt: skip


def color(method: str) -> str:
    """The method's color, the same in every plot. A plug-in's method gets a color by its name."""
    if method in COLORS:
        return COLORS[method]
    return OTHERS[hashlib.sha256(method.encode()).digest()[0] % len(OTHERS)]


def look(row: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """Line style of a table's row: color and marker of the method, dashes and filling of the variant.

    Plug-in methods that happen to share a color have markers of their own, as far as there are any.
    """
    alike = [other for other in rows if color(other[0]) == color(row[0])]
    place = alike.index(row)
    others = list(dict.fromkeys(other[0] for other in alike if other[0] not in MARKERS))
    marker = MARKERS.get(row[0]) or MORE_MARKERS[others.index(row[0]) % len(MORE_MARKERS)]
    return {
        "color": color(row[0]),
        "linestyle": DASHES[place % len(DASHES)],
        "marker": marker,
        "fillstyle": FILLS[(place + place // len(DASHES)) % len(FILLS)],
        "markersize": 5,
        "markeredgecolor": color(row[0]),
        "markeredgewidth": 0.8,
    }


@cache
def families() -> tuple[str, ...]:
    """The fonts for labels: the usual one, then those of this machine that hold other scripts."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *sorted(name for name in installed if name.startswith(SCRIPTS)))


@cache
def drawable() -> frozenset[int]:
    """The characters that the fonts for labels hold."""
    from matplotlib import font_manager, ft2font

    files = {font.name: font.fname for font in font_manager.fontManager.ttflist if font.name in families()}
    return frozenset(code for file in files.values() for code in ft2font.FT2Font(file).get_charmap())
