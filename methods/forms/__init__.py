"""Forms: what a buffer keeps of a clip. One file a form.

A form of fixed size makes rows (`RowForm`: row_bytes, to_rows, from_rows); one of varying size makes payloads
(`PayloadForm`: header, encode, decode). This file lists the built-in ones and imports none of them.
"""

from typing import TYPE_CHECKING

from harness.common.registry import Registry

if TYPE_CHECKING:
    from methods.forms.kinds import Form

FORMS: "Registry[type[Form]]" = Registry("form", base="methods.forms.kinds:Form")
FORMS.add("raw", "methods.forms.raw:RawRows", "uint8 pixels, uncompressed", of="clips")
FORMS.add("jpeg", "methods.forms.jpeg:Jpeg", "a baseline JPEG a clip, tables kept once", of="clips")
FORMS.add("h264", "methods.forms.h264:H264", "bare H.264 slices, parameter sets kept once", of="clips")
FORMS.add("codes", "methods.forms.codes:CodeRows", "indices of a product quantizer, bit-packed", of="codes")


def of_clips() -> list[str]:
    """Names of the forms that clips can be kept in."""
    return [name for name, entry in FORMS.entries.items() if entry.facts.get("of", "clips") == "clips"]
