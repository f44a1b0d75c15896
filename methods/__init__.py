"""Methods, one file each; importing this package registers all of them (and imports torch)."""

from methods import (  # noqa: F401
    all_decoders,
    avalanche,
    cram,
    current_decoder,
    er,
    frozen,
    joint,
    joint_codes,
    naive,
    no_refresh,
    no_snapshot,
    refresh_only,
)
