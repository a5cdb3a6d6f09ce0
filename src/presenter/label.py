"""A small visible mark in the corner of each frame: that its lip movement was generated."""

from functools import lru_cache

import cv2
import numpy as np

from ..media.frame import ColourTags
from ..plotting.fonts import plot_tr, render_text

HEIGHT_SHARE = 1 / 28  # of the shorter side of the frame
MIN_HEIGHT = 14  # px: smaller text cannot be read
LINE_HEIGHT = 1.4  # of the font size, see ``render_text``
# Without colour: such a mark looks the same whatever matrix and primaries the video has.
INK, BACKGROUND = (238, 238, 238), (28, 28, 28)
NO_COLOUR = 128  # of a chroma plane


def draw_label(planes: list[np.ndarray], colour_tags: ColourTags) -> None:
    """Draw the mark into the bottom left corner of a frame, in the user's language.

    Only the mark's rectangle changes. It is cropped where the frame is too small for it.

    Args:
        planes: luma [H, W] and both chroma planes [H/2, W/2], uint8, drawn into.
        colour_tags: what their numbers mean.
    """
    luma, *chroma = planes
    shorter = min(luma.shape)
    text = f" {plot_tr('AI-generated lip movement')} "
    patch = _render(text, max(MIN_HEIGHT, round(shorter * HEIGHT_SHARE)), colour_tags.is_full_range)
    margin = round(shorter * HEIGHT_SHARE / 4) * 2  # even, as the sides of the patch
    patch = patch[: luma.shape[0] - margin, : luma.shape[1] - margin]
    height, width = patch.shape
    top = luma.shape[0] - margin - height
    luma[top : top + height, margin : margin + width] = patch
    for plane in chroma:
        plane[top // 2 : (top + height) // 2, margin // 2 : (margin + width) // 2] = NO_COLOUR


@lru_cache(maxsize=8)
def _render(text: str, height: int, is_full_range: bool) -> np.ndarray:
    """The luma of a mark, uint8 [about height, width], read-only. Both sides are even, so that
    whole pixels of chroma lie under it."""
    grey = render_text(text, round(height / LINE_HEIGHT), INK, BACKGROUND)[..., 0]
    if not is_full_range:
        grey = np.rint(16 + grey * (219 / 255)).astype(np.uint8)
    down, right = grey.shape[0] % 2, grey.shape[1] % 2
    patch = cv2.copyMakeBorder(grey, 0, down, 0, right, cv2.BORDER_REPLICATE)
    patch.flags.writeable = False
    return patch
