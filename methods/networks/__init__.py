"""Networks by name: of the classifier (on codes and on pixels) and of the compressor (encoder and decoder).

An entry names a class with the two constructors that `ClassifierNetwork` and `CompressorNetwork` describe in
methods/networks/kinds.py. This file lists the built-in ones and imports none of them, for they import torch.
"""

from typing import Any

from harness.common.registry import Registry

CLASSIFIERS: Registry[Any] = Registry("classifier network", base="methods.networks.kinds:ClassifierNetwork")
CLASSIFIERS.add("small", "methods.networks.small:Small", "a small convolutional network, time folded into channels")
CLASSIFIERS.add("s3d", "methods.networks.s3d:S3D", "S3D of torchvision (Xie et al. 2018), with a stem for codes")

COMPRESSORS: Registry[Any] = Registry("compressor network", base="methods.networks.kinds:CompressorNetwork")
COMPRESSORS.add("patch", "methods.networks.patch:Patch", "one linear map a patch, then residual layers")
COMPRESSORS.add("convolutional", "methods.networks.convolutional:Convolutional", "3-D convolutions with strides")
