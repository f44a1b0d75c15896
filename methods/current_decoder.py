"""The classic bug as a control: refreshes through the decoder and codebook of now, which did not write the codes."""

from torch import Tensor

from methods.answers import Answers
from methods.contract import Batch
from methods.cram import CRAM


class CurrentDecoder(CRAM):
    """control: cram that refreshes through the current decoder instead of the previous one"""

    name = "current_decoder"
    answers = Answers(form="codes", upkeep="current_decoder")

    def decode_old(self, batch: Batch) -> Tensor:
        return self.compressor.decode(batch.codes)
