"""The drawing of each plot: a function (loaded, pooled) -> (figure, data), or NoData with the reason."""


class NoData(Exception):
    """Why a plot cannot be drawn from these records."""
