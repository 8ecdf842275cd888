"""Images: the degradation chain, degradation-sensitive features, and the estimator of unlabelled photos."""

from fastdeg.degradations.chain import degrade
from fastdeg.degradations.steps.blur import gaussian_blur
from fastdeg.degradations.steps.downsampling import downsample
from fastdeg.degradations.steps.jpeg import jpeg_compress
from fastdeg.degradations.steps.noise import add_gaussian_noise, add_poisson_noise
from fastdeg.degradations.transform import DegradationTransform
from fastdeg.images.description import DescribedImages
from fastdeg.images.estimator import DegradationEstimator
from fastdeg.images.features import dct_features
from fastdeg.images.files.read import ImageCollection, ImageError, ImageFile, list_images, read_image, read_images
from fastdeg.images.inference.summaries import SummarizedImages

__all__ = [
    "DegradationEstimator",
    "DegradationTransform",
    "DescribedImages",
    "ImageCollection",
    "ImageError",
    "ImageFile",
    "SummarizedImages",
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
