"""Pictures for a page: as PNG, inside the page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from ....dataset.contact_sheet import Pixels, enlarged


def png(image: Image.Image, colours: int | None = 256) -> bytes:
    """Return an RGB picture as PNG.

    With a palette of its own a chip takes a third of the bytes and looks the same; None keeps all colours.
    """
    if colours is not None:
        image = image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Return content as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def tiles(pictures: Pixels) -> list[str]:
    """Return data URIs of pictures (N, H, W, 3), small ones enlarged."""
    return [data_uri(png(Image.fromarray(picture))) for picture in enlarged(pictures)]
