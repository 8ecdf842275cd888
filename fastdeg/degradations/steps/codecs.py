"""Compression by codecs other than JPEG: WebP, and a frame of H.264 video (extra ``video``)."""

from __future__ import annotations

import io
from typing import Any

import cv2

from fastdeg.degradations.pixels import Image, to_uint8
from fastdeg.degradations.step import Parameter, Settings, Stage, Step

WEBP_QUALITY = Parameter("webp_quality", "real WebP bytes; rounded to a whole number", 1, 100, neutral=None, whole=True)
CRF_MEANING = "a frame of H.264 video at this rate factor; extra `video`"
CRF = Parameter("h264_crf", CRF_MEANING, 0, 51, neutral=None, whole=True)


def _webp(x: Image, settings: Settings, rng: Any = None) -> Image:
    stored: Any = cv2.cvtColor(to_uint8(x), cv2.COLOR_GRAY2BGR if x.ndim == 2 else cv2.COLOR_RGB2BGR)
    quality = int(WEBP_QUALITY.check(settings["webp_quality"]))
    encoded, data = cv2.imencode(".webp", stored, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not encoded:
        raise ValueError(f"image: OpenCV could not encode {x.shape[1]} × {x.shape[0]} pixels as WebP")
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2GRAY if x.ndim == 2 else cv2.COLOR_BGR2RGB)


def _h264(x: Image, settings: Settings, rng: Any = None) -> Image:
    """Encode a video of one frame and decode it again; its sides are made even by repeating the last row or column."""
    H264.check_installed()
    import av

    height, width = x.shape[:2]
    even: Any = cv2.copyMakeBorder(to_uint8(x), 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    frame: Any = even if x.ndim == 3 else cv2.cvtColor(even, cv2.COLOR_GRAY2RGB)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as video:
        stream = video.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = frame.shape[1], frame.shape[0], "yuv420p"
        stream.options = {"crf": str(int(CRF.check(settings["h264_crf"]))), "preset": "veryfast", "threads": "1"}
        video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        video.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as video:
        frame = next(video.decode(video=0)).to_ndarray(format="rgb24")
    decoded = frame[:height, :width]
    return decoded if x.ndim == 3 else cv2.cvtColor(decoded, cv2.COLOR_RGB2GRAY)


WEBP = Step("WebP", Stage.COMPRESSION, (WEBP_QUALITY,), _webp)
H264 = Step("H.264", Stage.COMPRESSION, (CRF,), _h264, needs=("av", "video"))
