"""Images: the degradation chain, degradation-sensitive features, and the estimator of unlabelled photos."""

from fastdeg.degradations.chain import (
    DegradationTransform,
    add_gaussian_noise,
    add_poisson_noise,
    degrade,
    downsample,
    gaussian_blur,
    jpeg_compress,
)
from fastdeg.images.description import DescribedImages
from fastdeg.images.estimator import DegradationEstimator
from fastdeg.images.features import dct_features
from fastdeg.images.files.read import ImageCollection, ImageError, ImageFile, list_images, read_image, read_images

__all__ = [
    "DegradationEstimator",
    "DegradationTransform",
    "DescribedImages",
    "ImageCollection",
    "ImageError",
    "ImageFile",
    "add_gaussian_noise",
    "add_poisson_noise",
    "dct_features",
    "degrade",
    "downsample",
    "gaussian_blur",
    "jpeg_compress",
    "list_images",
    "read_image",
    "read_images",
]
