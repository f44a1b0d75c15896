"""How plots are laid out: panels with titles, one legend, text that is safe to draw. No state of pyplot is used."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.style import drawable

LEGEND_LINES = 20
MOST = 24  # panels of a figure; the CSV file holds the data of all
Plot = tuple[Figure, Any]  # a figure and the data frame that it shows


def panels(
    titles: Sequence[str], size: tuple[float, float] = (4.2, 3.3), columns: int = 3, sharey: bool | str = True
) -> tuple[Figure, list[Axes]]:
    """A figure with one panel per title, at most MOST, and the panels in the order of the titles."""
    shown = titles[:MOST]
    n_columns = min(columns, len(shown))
    n_rows = -(-len(shown) // n_columns)
    figure = Figure(figsize=(size[0] * n_columns + 1.2, size[1] * n_rows))
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharey=sharey)  # type: ignore[arg-type]
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, title in zip(axes.flat, shown, strict=False):
        axis.set_title(wrapped(title, int(12 * size[0])))
        axis.tick_params(labelleft=True)
    if len(titles) > MOST:
        figure.suptitle(f"{MOST} of {len(titles)} panels; all are in the CSV file")
    return figure, list(axes.flat[: len(shown)])


def label_left(axes: Sequence[Any], text: str) -> None:
    """Name the y axis on the first panel of every line of panels."""
    for axis in axes:
        if axis.get_subplotspec().is_first_col():
            axis.set_ylabel(text)


def wrapped(title: str, width: int) -> str:
    """A title broken into lines of about `width` characters, between conditions."""
    lines: list[str] = []
    for paragraph in title.split("\n"):
        begun = len(lines)
        for part in paragraph.split(", "):
            if len(lines) > begun and len(lines[-1]) + len(part) + 2 <= width:
                lines[-1] += f", {part}"
            else:
                lines.append(part)
    return "\n".join(plain(line, width) for line in lines)


def plain(text: str, width: int = 60) -> str:
    """Text that matplotlib prints as it is. Without this, a dollar sign would begin a formula.

    A character that no font of this machine holds is shown by its number, so that labels stay apart.
    """
    text = text if len(text) <= width else text[: width - 1] + "…"
    shown = (c if ord(c) in drawable() else f"\\u{ord(c):04x}" if c.isprintable() else "?" for c in text)
    return "".join(shown).replace("$", r"\$")


def legend(figure: Any, axes: Sequence[Any]) -> None:
    """One legend for all panels, to the right of them."""
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        columns = -(-len(handles) // LEGEND_LINES)
        figure.legend(handles.values(), handles.keys(), loc="outside right center", ncols=columns)
