"""Reading image files: what is converted with a note, and what is refused by name."""

from __future__ import annotations

import contextlib
import pickle
import struct

import cv2
import numpy as np
import pytest
from PIL.ImageOps import exif_transpose
from problems_images import photographs, png_bomb

from fastdeg.images import ImageError, list_images, read_image, read_images

pil = pytest.importorskip("PIL.Image")


@pytest.fixture
def photo():
    return photographs()[0][:40, :60]


def _save(path, pixels, **options):
    pil.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_lossless_files_come_back_as_they_are(tmp_path, photo, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    file = read_image(_save(tmp_path / f"photo.{suffix}", photo, **options))
    np.testing.assert_array_equal(file.pixels, photo)
    assert file.notes == ()


def test_grey_palette_and_jpeg(tmp_path, photo):
    assert read_image(_save(tmp_path / "grey.png", photo[..., 0])).pixels.shape == (40, 60)
    pil.fromarray(photo).convert("P").save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").pixels.shape == (40, 60, 3)
    jpeg = read_image(_save(tmp_path / "photo.jpg", photo, quality=95)).pixels
    assert np.abs(jpeg.astype(int) - photo).mean() < 4


def test_sixteen_bits_are_scaled(tmp_path, photo):
    cv2.imwrite(str(tmp_path / "deep.png"), photo[..., ::-1].astype(np.uint16) * 257)
    file = read_image(tmp_path / "deep.png")
    np.testing.assert_array_equal(file.pixels, photo)
    assert file.notes == ("16 bits scaled to 8",)


def test_transparent_is_laid_over_black(tmp_path, photo):
    alpha = np.full((40, 60, 1), 255, np.uint8)
    opaque = read_image(_save(tmp_path / "opaque.png", np.concatenate([photo, alpha], axis=2)))
    np.testing.assert_array_equal(opaque.pixels, photo)
    assert opaque.notes == ()
    alpha[:, :30] = 0
    alpha[:, 30:] = 128
    file = read_image(_save(tmp_path / "alpha.png", np.concatenate([photo, alpha], axis=2)))
    assert (file.pixels[:, :30] == 0).all()
    np.testing.assert_allclose(file.pixels[:, 30:], photo[:, 30:] * (128 / 255), atol=0.51)
    assert file.notes == ("transparent: laid over black",)
    pil.fromarray(np.concatenate([photo[..., :1], alpha], axis=2), "LA").save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png").pixels[:, :30] == 0).all()


def test_cmyk_and_wrong_names_are_read_with_a_note(tmp_path, photo):
    pil.fromarray(photo).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    file = read_image(tmp_path / "print.jpg")
    assert np.abs(file.pixels.astype(int) - photo).mean() < 6
    assert file.notes == ("CMYK converted to RGB without a colour profile",)
    _save(tmp_path / "wrong.png", photo, format="JPEG")
    assert read_image(tmp_path / "wrong.png").notes == ("its content is JPEG, whatever its name says",)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_animations_are_refused(tmp_path, photo, suffix):
    frames = [pil.fromarray(np.roll(photo, k, axis=0)) for k in range(3)]
    frames[0].save(tmp_path / f"moving.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match=rf"moving\.{suffix}: has 3 frames or pages"):
        read_image(tmp_path / f"moving.{suffix}")


def test_still_gif_is_read(tmp_path, photo):
    assert read_image(_save(tmp_path / "still.gif", photo)).pixels.shape == (40, 60, 3)


def test_huge_header_is_refused_before_decoding(tmp_path):
    """Of what is not there to be decoded: that would be another message."""
    (tmp_path / "bomb.png").write_bytes(png_bomb(20_000, 20_000))
    with pytest.raises(ImageError, match=r"bomb\.png: announces 20000 × 20000 = 400 megapixels"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", ["jpg", "gif", "bmp", "ppm", "tif"])
def test_huge_headers_of_every_kind(tmp_path, photo, suffix):
    """Real files of 40 × 60 pixels whose headers are changed to announce 20000 × 20000."""
    data = _save(tmp_path / f"bomb.{suffix}", photo).read_bytes()
    old, new = (40, 60), (20_000, 20_000)
    form = {"jpg": ">HH", "gif": "<HH", "bmp": "<ii", "tif": None, "ppm": None}[suffix]
    if suffix == "ppm":
        data = data.replace(b"60 40", b"20000 20000", 1)
    elif suffix == "tif":
        for tag, side in ((256, 60), (257, 40)):
            entry = next(e for e in (struct.pack("<HHII", tag, kind, 1, side) for kind in (3, 4)) if e in data)
            data = data.replace(entry, entry[:8] + struct.pack("<I", 20_000))
    else:
        sides = old if suffix == "jpg" else old[::-1]
        assert struct.pack(form, *sides) in data
        data = data.replace(struct.pack(form, *sides), struct.pack(form, *new), 1)
    (tmp_path / f"bomb.{suffix}").write_bytes(data)
    with pytest.raises(ImageError, match=r"announces 20000 × 20000 = 400 megapixels, more than the limit of 200"):
        read_image(tmp_path / f"bomb.{suffix}")


def test_other_cmyk_and_deep_files(tmp_path, photo):
    pil.fromarray(photo).convert("CMYK").save(tmp_path / "print.tif")
    with pytest.raises(ImageError, match=r"print\.tif: is CMYK: save it as RGB"):
        read_image(tmp_path / "print.tif")
    cv2.imwrite(str(tmp_path / "deep.tif"), photo[..., 0].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.tif").pixels, photo[..., 0])
    cv2.imwrite(str(tmp_path / "float.tif"), photo[..., 0].astype(np.float32))
    with pytest.raises(ImageError, match="pixels of type float32"):
        read_image(tmp_path / "float.tif")


def test_one_pixel_and_constant_files(tmp_path):
    for name, pixels in (("one.png", np.full((1, 1, 3), 9, np.uint8)), ("flat.png", np.zeros((30, 40), np.uint8))):
        np.testing.assert_array_equal(read_image(_save(tmp_path / name, pixels)).pixels, pixels)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "bmp", "ppm"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_truncated_files_are_refused(tmp_path, photo, suffix, share):
    path = _save(tmp_path / f"cut.{suffix}", photo)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=rf"cut\.{suffix}: (is|has|announces)"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.png", b"", "is empty"),
        ("text.jpg", b"hello, world", "is no PNG, JPEG"),
        ("zero.png", png_bomb(0, 5), "is a damaged or truncated PNG: "),
        ("noise.png", png_bomb(50, 50), "is a damaged or truncated PNG: "),
        ("sound.webp", b"RIFF\x10\0\0\0WAVEfmt ", "is a damaged or truncated WebP: "),
        ("head.jpg", b"\xff\xd8\xff\xe0", "truncated"),
        ("odd.jpg", b"\xff\xd8\xff\xe0\0\x04ab\0\0\0\0", "is a damaged or truncated JPEG: "),
        ("odd.ppm", b"P6 wide high 255\n", "is a damaged or truncated PNM: "),
    ],
)
def test_files_that_are_no_images(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=words) as caught:
        read_image(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name) + ": ")
    assert "\n" not in str(caught.value)


def test_a_damaged_png_is_told_once_and_not_by_the_decoder(tmp_path, photo, capfd):
    data = bytearray(_save(tmp_path / "hurt.png", photo).read_bytes())
    middle = data.index(b"IDAT") + 200
    data[middle] ^= 1
    (tmp_path / "hurt.png").write_bytes(data)
    with pytest.raises(ImageError, match=r"hurt\.png: is a damaged or truncated PNG: .*checksum in b'IDAT'"):
        read_image(tmp_path / "hurt.png")
    assert capfd.readouterr() == ("", "")


def test_random_damage_never_escapes_as_another_error(tmp_path, photo):
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "webp", "gif", "tif", "bmp", "ppm"):
        data = np.frombuffer(_save(tmp_path / f"x.{suffix}", photo).read_bytes(), np.uint8)
        for trial in range(60):
            damaged = data.copy()
            where = rng.integers(0, len(data) if trial % 2 else min(60, len(data)), 4)
            damaged[where] = rng.integers(0, 256, 4)
            (tmp_path / f"x.{suffix}").write_bytes(damaged.tobytes())
            with contextlib.suppress(ImageError):
                read_image(tmp_path / f"x.{suffix}", max_pixels=10**6)


def test_folders(tmp_path, photo):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        read_images(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no image files in this folder"):
        read_images(tmp_path)
    (tmp_path / "readme.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    _save(tmp_path / "b.png", photo)
    _save(tmp_path / "a.PNG", photo[:20], format="PNG")
    assert [p.name for p in list_images(tmp_path)] == ["a.PNG", "b.png"]
    read = read_images(tmp_path)
    assert [image.shape for image in read.images] == [(20, 60, 3), (40, 60, 3)]
    assert read.notes == [f"{tmp_path}: left out sub-folders (1) and files that are no images (1)"]
    with pytest.raises(NotADirectoryError, match="expected a folder"):
        read_images(tmp_path / "b.png")
    with pytest.raises(FileNotFoundError, match=r"c\.png: no such file"):
        read_images([tmp_path / "b.png", tmp_path / "c.png"])
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path / "folder.png")


def test_a_folder_with_good_and_bad_files(tmp_path, photo):
    _save(tmp_path / "good.png", photo)
    (tmp_path / "bad1.png").write_bytes(b"")
    (tmp_path / "bad2.jpg").write_bytes(b"junk")
    with pytest.raises(ImageError, match=r"bad1.png: is empty \(0 bytes\) \(and 1 more unusable: bad2.jpg\)"):
        read_images(tmp_path)
    read = read_images(tmp_path, skip_bad=True)
    assert [p.name for p in read.paths] == ["good.png"]
    assert [e.path.name for e in read.skipped] == ["bad1.png", "bad2.jpg"]
    assert all(note.startswith("skipped ") for note in read.notes)
    (tmp_path / "good.png").unlink()
    with pytest.raises(ImageError, match="no file is usable"):
        read_images(tmp_path, skip_bad=True)


def test_all_bad_files_are_named_dangling_links_too(tmp_path, photo):
    _save(tmp_path / "good.png", photo)
    for k in range(6):
        (tmp_path / f"bad{k}.png").write_bytes(b"")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ImageError) as caught:
        read_images(tmp_path)
    assert all(f"bad{k}.png" in str(caught.value) for k in range(6))
    assert "link.png" in str(caught.value)
    read = read_images(tmp_path, skip_bad=True)
    assert [p.name for p in read.paths] == ["good.png"]
    assert "link" in read.skipped[-1].reason


@pytest.mark.parametrize("max_bytes", [0, 3 * 40 * 60 * 3])
def test_pixels_beyond_so_many_bytes_are_read_where_they_are_used(tmp_path, photo, max_bytes):
    for k in range(5):
        _save(tmp_path / f"{k}.jpg", photo[:, ::-1] if k % 2 else photo)
    (tmp_path / "0.jpg").rename(tmp_path / "0.png")
    (tmp_path / "bad.png").write_bytes(b"")
    whole = read_images(tmp_path, skip_bad=True)
    listed = read_images(tmp_path, skip_bad=True, max_bytes=max_bytes)
    assert [file.kept for file in listed.files] == [k * photo.nbytes < max_bytes for k in range(5)]
    assert listed.notes == whole.notes
    assert len(listed.notes) == 2
    assert listed.skipped[0].path == tmp_path / "bad.png"
    for name, pixels in whole.by_name.items():
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(listed.files_by_name[name])).pixels, pixels)
    with pytest.raises(ImageError, match=r"bad.png: is empty \(0 bytes\)"):
        read_images(tmp_path, max_bytes=max_bytes)


def test_at_most_so_many_and_progress(tmp_path, photo):
    for k in range(7):
        _save(tmp_path / f"{k}.png", photo)
    told = []
    read = read_images(tmp_path, max_images=3, progress=lambda fraction, message: told.append(fraction))
    assert [p.stem for p in read.paths] == ["0", "3", "6"]
    assert told[-1] == 1


def test_too_small_images_are_refused_by_name_and_skipped(tmp_path):
    cv2.imwrite(str(tmp_path / "good.png"), np.zeros((40, 50, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "low.png"), np.zeros((30, 90, 3), np.uint8))
    with pytest.raises(ImageError, match=r"low\.png: is 90 × 30: expected sides of at least 40 pixels$"):
        read_images(tmp_path, min_side=40)
    read = read_images(tmp_path, min_side=40, skip_bad=True)
    assert [path.name for path in read.paths] == ["good.png"]
    with pytest.raises(ValueError, match="min_side: expected an integer"):
        read_image(tmp_path / "good.png", min_side=0)


def test_images_of_one_name_in_two_folders_are_both_there(tmp_path, photo):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        _save(tmp_path / folder / "a.png", photo)
    _save(tmp_path / "one" / "b.png", photo)
    paths = [tmp_path / "one" / "a.png", tmp_path / "two" / "a.png", tmp_path / "one" / "b.png"]
    assert list(read_images(paths).by_name) == [str(paths[0]), str(paths[1]), "b.png"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pixels_are_turned_as_the_orientation_tag_says(tmp_path, orientation, suffix):
    rng = np.random.default_rng(0)
    image = pil.fromarray(np.kron(rng.integers(0, 256, (3, 2, 3)), np.ones((16, 16, 1))).astype(np.uint8))
    tags = pil.Exif()
    tags[0x0112] = orientation
    path = tmp_path / f"image.{suffix}"
    image.save(path, exif=tags)
    found = read_image(path)
    expected = np.array(exif_transpose(pil.open(path)))
    np.testing.assert_array_equal(found.pixels, expected)
    assert found.notes == (("turned as its orientation tag says",) if orientation > 1 else ())
