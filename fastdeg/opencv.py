"""Why OpenCV cannot be loaded, in one sentence: a system library is missing, or two of its packages overlap."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


def installed() -> list[str]:
    """Return the packages of OpenCV that are installed, with their versions; more than one is one too many."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found


def require() -> None:
    """Load OpenCV.

    Raises
    ------
    ImportError
        When it cannot be loaded, with what to do.
    """
    try:
        import cv2

        _ = cv2.GaussianBlur  # missing where the files of two packages are mixed, or one of the two was removed
    except (ImportError, AttributeError) as error:
        raise ImportError(explanation(str(error))) from error


def explanation(reason: str) -> str:
    """Return one sentence about a failure, and the commands that mend it."""
    packages, headless = installed(), "pip install opencv-python-headless"
    names = " ".join(package.split()[0] for package in packages)
    if len(packages) > 1:
        return (
            f"OpenCV cannot be loaded ({reason}): {' and '.join(packages)} are installed side by side and overwrite "
            f"each other's files; keep one of them: pip uninstall -y {names} && {headless}"
        )
    if "cannot open shared object file" in reason:
        library = reason.split(":")[0]
        return (
            f"OpenCV cannot be loaded, since the system has no {library}: apt-get install libgl1 libglib2.0-0, or take "
            f"the package that needs no display: pip uninstall -y {names or PACKAGES[0]} && {headless}"
        )
    return f"OpenCV cannot be loaded ({reason}): pip install --force-reinstall {names or PACKAGES[0]}"
