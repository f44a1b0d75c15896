"""What several methods share: the base classes of methods on codes and on pixels, buffers, compressor, classifier.

`settings` declares the groups that all methods read (SHARED). `code_method` and `pixel_method` bring phases in the
usual order; `buffer` keeps clips within a byte budget, as raw frames, codes or files of a video codec; `quantizer` is
inside the compressor. The way of the data: clips uint8 -> codes int64 -> features -> logits.

It imports methods.contract, methods.networks and `harness.common`; no single method.
"""
