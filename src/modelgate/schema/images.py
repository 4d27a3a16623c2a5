"""Decode images in base64, and resize them to arrays. Requires the extra ``images``."""

import base64
import binascii
import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["EXAMPLE_IMAGE", "ImageSpec", "create_image_spec"]

ImageMode: TypeAlias = Literal["L", "RGB", "RGBA"]
Fit: TypeAlias = Literal["stretch", "cover", "contain"]
Resample: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]

EXAMPLE_IMAGE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
)
"""PNG of one grey pixel."""

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
"""Accepted formats. For some other formats, Pillow starts a program such as Ghostscript."""

_DATA_URL = re.compile(r"data:([^,;]*)(?:;[^,;]*)*;base64,", re.ASCII | re.IGNORECASE)
_MAX_SIDE = 4096


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Options for converting images to arrays, in a column of the kind ``image``.

    Resize the training images with `read`, so that the model gets the same pixels in production.

    Args:
        size: Width and height in pixels.
        mode: Colour mode: ``L`` for grey, ``RGB`` or ``RGBA``.
        fit: How to resize an image whose proportions differ from *size*: ``stretch`` distorts it, ``cover``
            crops it, ``contain`` adds a border.
        resample: Filter that computes the pixels of a resized image.
        background: Colour of added borders and of transparent pixels: a level of grey from 0 to 255.
        scale: Factor for the levels of grey or colour, which range from 0 to 255. If None, the array contains
            the levels as uint8.
        invert: Whether to invert the levels, for a model trained on light strokes on a dark ground.
        max_pixels: Maximum number of pixels in an image, before it is resized.

    Raises:
        ConfigurationError: The value of an option is not valid, or Pillow is missing.

    Example:
        >>> spec = ImageSpec(size=(2, 1), mode="L", scale=1 / 255)
        >>> spec.read(EXAMPLE_IMAGE).shape
        (1, 2)
    """

    size: tuple[int, int]
    mode: ImageMode = "RGB"
    fit: Fit = "stretch"
    resample: Resample = "bilinear"
    background: int = 0
    scale: float | None = None
    invert: bool = False
    max_pixels: int = 25_000_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size) if isinstance(self.size, list) else self.size)
        sides = self.size if isinstance(self.size, tuple) else ()
        if len(sides) != 2 or not all(_is_within(side, 1, _MAX_SIDE) for side in sides):
            self._reject("size", f"(width, height), two whole numbers from 1 to {_MAX_SIDE}")
        for option, accepted in (("mode", ImageMode), ("fit", Fit), ("resample", Resample)):
            if getattr(self, option) not in get_args(accepted):
                self._reject(option, f"one of {', '.join(get_args(accepted))}")
        if not _is_within(self.background, 0, 255):
            self._reject("background", "a whole number from 0 to 255")
        if self.scale is not None and (
            isinstance(self.scale, bool)
            or not isinstance(self.scale, int | float)
            or not 0 < self.scale < float("inf")
        ):
            self._reject("scale", "None or a number above 0")
        if not isinstance(self.invert, bool):
            self._reject("invert", "True or False")
        if not _is_within(self.max_pixels, 1, 2**31):
            self._reject("max_pixels", "a whole number from 1 to 2147483648")
        _import_pillow()

    def _reject(self, option: str, accepted: str) -> None:
        raise ConfigurationError(f"{option} must be {accepted} (got {getattr(self, option)!r})")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array: (height, width) for the mode ``L``, else (height, width, channels)."""
        width, height = self.size
        return (height, width) if self.mode == "L" else (height, width, len(self.mode))

    def read(self, image: str | bytes) -> npt.NDArray[Any]:
        """Return *image* as an array of `shape`: float32 if there is a `scale`, else uint8.

        Args:
            image: Content of an image file, as bytes, as base64 text, or as a data URL.

        Raises:
            ValueError: *image* is not in one of the `FORMATS`, is damaged, or is too large. The message
                continues a sentence that begins with the column name: ``must be an undamaged image``.
        """
        content = _decode_base64(image) if isinstance(image, str) else image
        pillow = _import_pillow()
        # Pillow warns about large images; `max_pixels` rejects them.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                opened = pillow.open(io.BytesIO(content), formats=FORMATS)  # reads the header only
                pixels = opened.width * opened.height
            except pillow.DecompressionBombError:
                pixels = self.max_pixels + 1
            except Exception:
                raise ValueError(f"must be an image in one of the formats {', '.join(FORMATS)}") from None
            if pixels > self.max_pixels:
                raise ValueError(f"must be an image of at most {self.max_pixels} pixels")
            try:
                resized = self._resize(opened)
            except Exception:
                raise ValueError("must be an undamaged image") from None
        levels = np.asarray(resized, dtype=np.uint8)
        levels = 255 - levels if self.invert else levels
        return levels if self.scale is None else levels.astype(np.float32) * np.float32(self.scale)

    def _resize(self, image: "PIL.Image.Image") -> "PIL.Image.Image":
        from PIL import ImageOps

        # A JPEG is decoded at a half, quarter or eighth of its size if that is enough: 11 ms instead of 311
        # for 12 megapixels.
        image.draft(None, (max(self.size),) * 2)
        image = self._convert(ImageOps.exif_transpose(image))
        resample = getattr(_import_pillow().Resampling, self.resample.upper())
        if self.fit == "cover":
            return ImageOps.fit(image, self.size, resample)
        if self.fit == "contain":
            colour = (
                self.background
                if self.mode == "L"
                else (self.background,) * 3 + (255,) * (self.mode == "RGBA")
            )
            return ImageOps.pad(image, self.size, resample, colour)
        return image.resize(self.size, resample)

    def _convert(self, image: "PIL.Image.Image") -> "PIL.Image.Image":
        """Convert *image* to `mode`, with `background` behind transparent pixels."""
        if image.mode.startswith("I"):
            # Pillow would not scale levels of 16 bits to 8, but clip them at 255.
            levels = np.asarray(image, dtype=np.float64)
            image = _import_pillow().fromarray((levels / 257).clip(0, 255).astype(np.uint8))
        if self.mode == "RGBA":
            return image.convert("RGBA")
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            ground = _import_pillow().new("RGBA", image.size, (self.background,) * 3 + (255,))
            ground.alpha_composite(image)
            image = ground
        return image.convert(self.mode)


def create_image_spec(options: Mapping[str, Any]) -> ImageSpec:
    """Create an `ImageSpec` from a mapping of *options*.

    Raises:
        ConfigurationError: An option does not exist, or has an invalid value.
    """
    known = [option.name for option in fields(ImageSpec)]
    for name in options:
        if name not in known:
            raise ConfigurationError(f"image: option must be one of {', '.join(known)} (got {name!r})")
    return ImageSpec(**{"size": None, **options})


def _decode_base64(text: str) -> bytes:
    match = _DATA_URL.match(text)
    if match is not None and not (match[1].lower().startswith("image/") or not match[1]):
        raise ValueError("must be a data URL of an image")
    encoded = "".join(text[match.end() if match else 0 :].split()).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be an image as base64 text or a data URL") from None


_URL_SAFE = str.maketrans("-_", "+/")


def _is_within(value: object, lower: int, upper: int) -> bool:
    return type(value) is int and lower <= value <= upper


def _import_pillow() -> Any:
    try:
        import PIL.Image
    except ImportError:
        raise ConfigurationError(
            'a column of the kind image needs Pillow: pip install "modelgate[images]"'
        ) from None
    return PIL.Image
