"""The functions that draw plots: each takes (runs, pooled) and returns (figure, data frame), or raises NoData."""
