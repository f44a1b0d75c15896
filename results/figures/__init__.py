"""The drawing of each plot: a function (runs, pooled) that returns (figure, data frame), or raises NoData."""
