"""Images: the degradation chain, degradation-sensitive features, and the estimator of unlabelled photos."""

from fastdeg.images.degrade import DegradationTransform, degrade
from fastdeg.images.estimator import DegradationEstimator
from fastdeg.images.features import dct_features
from fastdeg.images.io import ImageCollection, ImageError, ImageFile, list_images, read_image, read_images

__all__ = [
    "DegradationEstimator",
    "DegradationTransform",
    "ImageCollection",
    "ImageError",
    "ImageFile",
    "dct_features",
    "degrade",
    "list_images",
    "read_image",
    "read_images",
]
