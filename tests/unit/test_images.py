"""Image columns: what callers send, and what models get."""

import base64
import io
import itertools
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from modelgate import (
    CSV,
    Column,
    ConfigurationError,
    Deployment,
    Gate,
    ImageSpec,
    InvalidValues,
    ResultCache,
    Schema,
)
from modelgate.schema.json_schema import to_json_schema
from modelgate.testing import Client
from support.marks import slow

DIGITS = ImageSpec(size=(8, 8), mode="L", scale=16 / 255)
SCHEMA = Schema.of(photo=DIGITS)
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]
FORMATS = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "GIF": ["1", "L", "P", "RGB"],
    "BMP": ["1", "L", "P", "RGB"],
    "WEBP": ["L", "RGB", "RGBA"],
    "TIFF": MODES,
}


def encode(image, file_format="PNG", **options):
    """Return the content of an image file."""
    with io.BytesIO() as buffer:
        image.save(buffer, file_format, **options)
        return buffer.getvalue()


def to_base64(content):
    return base64.b64encode(content).decode()


def make_photo(levels):
    """Return a picture file of *levels* from 0 to 16, as base64 text."""
    return to_base64(encode(Image.fromarray((levels * 255 / 16).round().astype(np.uint8))))


@pytest.fixture(scope="module")
def digits():
    """A classifier of handwritten digits, with the pictures and the photos of some of them."""
    X, y = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=1000, tol=0.1).fit(X, y)
    return model, X[:5], [make_photo(row.reshape(8, 8)) for row in X[:5]]


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_estimator_gets_the_pixels_of_each_image_as_a_row(digits, interface):
    model, X, photos = digits
    gate = Gate([Deployment("digits", model, schema=SCHEMA)], keys="open")
    client = Client(getattr(gate, interface))
    answer = client.post("/deployments/digits/predict", json=[{"photo": photo} for photo in photos])
    pixels = np.stack([DIGITS.read(photo) for photo in photos])

    assert 200 == answer.status
    assert model.predict(pixels.reshape(5, 64)).tolist() == [
        row["prediction"] for row in answer.json()["predictions"]
    ]
    assert np.abs(pixels.reshape(5, 64) - X).max() < 16 / 255


@pytest.mark.slow
def test_handler_gets_one_array_of_all_images(digits):
    shapes = []

    def predict(table):
        shapes.append((table["photo"].shape, table["photo"].dtype.name, table["age"].tolist()))
        return table["photo"].sum(axis=(1, 2, 3))

    schema = Schema.of(photo=ImageSpec(size=(3, 2)), age=float)
    gate = Gate([Deployment("m", predict, schema=schema)], keys="open")
    gate.score("m", [{"photo": photo, "age": age} for age, photo in enumerate(digits[2])])

    assert ((5, 2, 3, 3), "uint8", [0, 1, 2, 3, 4]) == shapes[-1]


@pytest.mark.parametrize(
    "write",
    [
        to_base64,
        lambda content: f"data:image/png;base64,{to_base64(content)}",
        lambda content: f"data:image/png;charset=x;base64,{to_base64(content)}",
        lambda content: f"data:;base64,{to_base64(content)}",
        lambda content: base64.urlsafe_b64encode(content).decode().rstrip("="),
        lambda content: base64.encodebytes(content).decode(),
    ],
    ids=["base64", "data URL", "data URL with parameters", "data URL without type", "URL-safe", "with lines"],
)
def test_spellings_of_an_image_are_equal(write):
    content = encode(Image.effect_noise((20, 30), 90))

    assert np.array_equal(DIGITS.read(content), SCHEMA.read([{"photo": write(content)}])["photo"][0])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize(
    ("file_format", "source"), [(name, mode) for name, modes in FORMATS.items() for mode in modes]
)
def test_formats_and_modes_are_read(file_format, source, mode):
    """A grey image has the same grey in every format that can store it."""
    grey = Image.new("L", (16, 12), 90)
    image = (
        Image.fromarray(np.full((12, 16), 90 * 257, np.uint16)) if source == "I;16" else grey.convert(source)
    )
    array = ImageSpec(size=(5, 4), mode=mode).read(encode(image, file_format))
    expected = np.asarray(image.convert("L")) if source == "1" else np.full(1, 90)

    assert ImageSpec(size=(5, 4), mode=mode).shape == array.shape
    if source != "1":
        assert np.abs(array[..., :3].astype(int) - expected[0]).max() <= 2


def test_transparent_pixels_have_the_background():
    clear = encode(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))

    assert {0} == set(ImageSpec(size=(2, 2)).read(clear).ravel().tolist())
    assert {200} == set(ImageSpec(size=(2, 2), background=200).read(clear).ravel().tolist())
    assert 0 == ImageSpec(size=(2, 2), mode="RGBA").read(clear)[0, 0, 3]


def test_fit_stretches_crops_or_adds_a_border():
    wide = encode(Image.fromarray(np.repeat([[10, 200, 10]], 4, axis=0).repeat(4, axis=1).astype(np.uint8)))
    read = {
        fit: ImageSpec(size=(4, 4), mode="L", fit=fit, resample="nearest", background=7).read(wide).tolist()
        for fit in ("stretch", "cover", "contain")
    }

    assert [[10, 200, 200, 10]] * 4 == read["stretch"]
    assert [[200] * 4] * 4 == read["cover"]
    assert [[7] * 4] * 3 + [[10, 200, 200, 10]] == sorted(read["contain"])


def test_orientation_of_a_photo_is_applied():
    image = Image.fromarray(np.array([[0, 250]], np.uint8).repeat(8, axis=0).repeat(8, axis=1))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by a quarter turn
    array = ImageSpec(size=(1, 2), mode="L").read(encode(image, "JPEG", exif=exif))

    assert array[0, 0] < 40 < 200 < array[1, 0]


def test_levels_can_be_inverted_and_scaled():
    white = encode(Image.new("L", (2, 2), 255))
    array = ImageSpec(size=(1, 1), mode="L", invert=True, scale=1 / 255).read(white)

    assert ("float32", 0) == (array.dtype.name, array.item())


def png_of(width, height):
    """Return a small PNG file whose header promises *width* x *height* pixels."""
    chunks = [
        (b"IHDR", width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\1\0\0\0\0"),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    body = b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


PHOTO = encode(Image.effect_noise((40, 40), 90))
BAD_IMAGES = {
    "no text": (5, "must be an image as base64 text or a data URL"),
    "not base64": ("***", "must be an image as base64 text or a data URL"),
    "not an image": (to_base64(b"hello"), "must be an image in one of the formats PNG, JPEG"),
    "nothing": ("", "must be an image in one of the formats PNG, JPEG"),
    "truncated": (to_base64(PHOTO[:600]), "must be an undamaged image"),
    "a page": ("data:text/html;base64,PGh0bWw+", "must be a data URL of an image"),
    "a program": (
        to_base64(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "must be an image in one of",
    ),
    "large": (to_base64(png_of(6000, 6000)), "must be an image of at most 25000000 pixels"),
    "a bomb": (to_base64(png_of(30_000, 30_000)), "must be an image of at most 25000000 pixels"),
    "null": (None, "must not be null"),
}


@pytest.mark.parametrize(("photo", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_image_names_its_column_and_row(photo, message):
    with pytest.raises(InvalidValues) as info:
        SCHEMA.read([{"photo": to_base64(PHOTO)}, {"photo": photo}])

    assert info.value.errors["photo"].startswith(message)
    assert info.value.errors["photo"].endswith("(row 1)")


@given(st.data())
def test_damaged_images_are_read_or_rejected(data):
    """Never another error than the one for the caller."""
    position = data.draw(st.integers(0, len(PHOTO) - 1))
    damaged = (
        PHOTO[:position] + data.draw(st.binary(max_size=4)) + PHOTO[position + data.draw(st.integers(0, 9)) :]
    )
    try:
        assert (8, 8) == DIGITS.read(damaged).shape
    except ValueError as error:
        assert str(error).startswith("must be ")


@given(st.text() | st.binary().map(to_base64))
def test_any_text_is_read_or_rejected(text):
    with pytest.raises(ValueError, match=r"^must be "):
        DIGITS.read(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 8}, "size must be (width, height), two whole numbers from 1 to 4096 (got 8)"),
        ({"size": (8, 0)}, "size must be"),
        ({"size": (8, 8), "mode": "CMYK"}, "mode must be one of L, RGB, RGBA (got 'CMYK')"),
        ({"size": (8, 8), "fit": "crop"}, "fit must be one of stretch, cover, contain"),
        ({"size": (8, 8), "resample": "best"}, "resample must be one of nearest, bilinear, bicubic, lanczos"),
        ({"size": (8, 8), "background": 256}, "background must be a whole number from 0 to 255"),
        ({"size": (8, 8), "scale": 0}, "scale must be None or a number above 0"),
        ({"size": (8, 8), "invert": 1}, "invert must be True or False"),
        ({"size": (8, 8), "max_pixels": 0}, "max_pixels must be a whole number from 1 to"),
    ],
)
def test_invalid_options_are_rejected(options, message):
    with pytest.raises(ConfigurationError) as info:
        ImageSpec(**options)

    assert str(info.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "image"}, "image must be an ImageSpec for the kind image (got None)"),
        ({"kind": "text", "image": DIGITS}, "image must be left out for the kind text"),
        (
            {"kind": "image", "image": DIGITS, "nullable": True},
            "nullable must be left out for the kind image",
        ),
        (
            {"kind": "image", "image": DIGITS, "required": False},
            "required must be left out for the kind image",
        ),
        ({"kind": "image", "image": {"length": 8}}, "image: option must be one of size, mode"),
    ],
)
def test_invalid_columns_are_rejected(options, message):
    with pytest.raises(ConfigurationError, match="image") as info:
        Column("photo", **options)

    assert message in str(info.value)


@pytest.mark.parametrize("ending", [".toml", ".json"])
def test_schema_file_has_the_options(tmp_path, ending):
    schema = Schema.of(photo=ImageSpec(size=(4, 2), mode="L", fit="contain", scale=0.5), age=float)
    schema.save(tmp_path / f"schema{ending}")

    assert schema.columns == Schema.load(tmp_path / f"schema{ending}").columns


def test_csv_cell_is_an_image():
    table = SCHEMA.read(CSV(f"photo\n{to_base64(PHOTO)}\n".encode()))

    assert np.array_equal(DIGITS.read(PHOTO), table["photo"][0])


def test_example_is_an_image():
    assert (1, 8, 8) == SCHEMA.read([SCHEMA.example])["photo"].shape
    assert {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/*"} == {
        name: value for name, value in to_json_schema(SCHEMA.columns[0]).items() if name != "examples"
    }


def test_images_are_decoded_outside_the_event_loop(monkeypatch):
    threads = []
    read = ImageSpec.read
    monkeypatch.setattr(
        ImageSpec, "read", lambda self, image: threads.append(threading.current_thread()) or read(self, image)
    )
    gate = Gate([Deployment("m", lambda table: table["photo"][:, 0, 0], schema=SCHEMA)], keys="open")
    Client(gate.asgi).post("/deployments/m/predict", json={"photo": to_base64(PHOTO)})

    assert threads
    assert threading.main_thread() not in threads[-1:]


def test_result_cache_compares_the_pixels(digits):
    calls = []

    def predict(table):
        calls.append(len(table))
        return table["photo"].sum(axis=(1, 2))

    deployment = Deployment("m", predict, schema=SCHEMA, scoring_layers=[ResultCache()])
    gate = Gate([deployment], keys="open")
    calls.clear()
    values = [gate.score("m", {"photo": photo}).values.item() for photo in digits[2] * 2]

    assert values[:5] == values[5:]
    assert (5, 5) == (len(set(values)), len(calls))


@pytest.mark.slow
def test_missing_pillow_names_the_extra():
    program = "import sys; sys.modules['PIL'] = None; from modelgate import ImageSpec; ImageSpec(size=(8, 8))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert 'needs Pillow: pip install "modelgate[images]"' in done.stderr


@slow
@pytest.mark.parametrize(("width", "height"), itertools.product([1, 7, 300], repeat=2))
@pytest.mark.parametrize("fit", ["stretch", "cover", "contain"])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_any_shape_becomes_the_declared_size(width, height, fit, file_format):
    spec = ImageSpec(size=(24, 16), fit=fit)

    assert (16, 24, 3) == spec.read(encode(Image.effect_noise((width, height), 50), file_format)).shape
