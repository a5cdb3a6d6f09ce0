"""A drawn head: what somebody looks like, where the head is, and the image of it.

A head is drawn on a canvas of its own in units of half the face's height, x to the right and y
down from the middle of the face, and then put into the image by one remapping.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

SIZE = 320  # pixels, width and height of a image
CANVAS, UNIT, MIDDLE = 512, 150.0, (256.0, 232.0)
IMAGE_UNIT = 0.305  # of the image's side
EYE_Y, MOUTH_Y = -0.12, 0.50
FRAME = (45, 40, 40)  # BGR, of glasses

Colour = tuple[float, float, float]  # BGR 0–255


@dataclass(frozen=True)
class Look:
    """What somebody looks like. Lengths are in half heights of the face."""

    skin: Colour = (150, 180, 225)
    hair: Colour = (40, 60, 90)
    lips: Colour = (105, 105, 190)
    iris: Colour = (90, 120, 70)
    shirt: Colour = (150, 110, 60)
    background: Colour = (190, 200, 205)
    hair_style: str = "short"  # short, long, bob, bun or buzz
    width: float = 0.71  # of the face
    jaw: float = 0.16  # how much narrower the chin is
    eyes: float = 0.29  # distance of an eye from the middle
    mouth: float = 0.25  # half width of the resting mouth
    lip: float = 0.075  # thickness
    brow: float = 0.0  # tilt
    beard: float = 0.0  # 0–1
    glasses: bool = False
    articulation: float = 1.0  # scales the mouth's opening


@dataclass(frozen=True)
class Pose:
    """Where the head is and what the eyes do."""

    x: float = 0.0  # pixels to the right of the middle, in a image of SIZE
    y: float = 0.0  # pixels down, likewise
    roll: float = 0.0  # degrees, clockwise
    scale: float = 1.0
    yaw: float = 0.0  # −1…1, about ±15 degrees
    nod: float = 0.0  # −1…1
    blink: float = 0.0  # 0 open, 1 shut
    gaze: float = 0.0  # −1…1, left to right


def smooth_step(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, a smooth step between; any shape, kept."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _tint(colour: Colour, gain: float) -> Colour:
    return tuple(min(255.0, channel * gain) for channel in colour)


def _pixels(points: np.ndarray) -> list[np.ndarray]:
    """Head units as OpenCV's 1/16 pixels of the canvas."""
    return [np.round((points * UNIT + MIDDLE) * 16).astype(np.int32)]


def _fill(canvas: np.ndarray, points: np.ndarray, colour: Colour) -> None:
    """Fill a polygon given in head units, with smooth edges and sub-pixel corners."""
    cv2.fillPoly(canvas, _pixels(points), (*colour, 255), cv2.LINE_AA, 4)


def _line(canvas: np.ndarray, points: np.ndarray, colour: Colour, width: float, closed=False):
    thick = max(1, round(width * UNIT))
    cv2.polylines(canvas, _pixels(points), closed, (*colour, 255), thick, cv2.LINE_AA, 4)


def _soft(canvas: np.ndarray, points: np.ndarray, colour: Colour, alpha: float, blur: float):
    """Blend a blurred polygon into what is already drawn, leaving its outline as it is."""
    mask = np.zeros((*canvas.shape[:2], 3), np.uint8)
    _fill(mask, points, (255, 255, 255))
    share = cv2.GaussianBlur(mask, (0, 0), blur * UNIT).astype(np.float32) * (alpha / 255)
    inside = canvas[..., 3:].astype(np.float32) / 255
    canvas[..., :3] = canvas[..., :3] * (1 - share) + np.float32(colour) * inside * share


def _oval(x: float, y: float, rx: float, ry: float, begin=0.0, end=360.0) -> np.ndarray:
    """Points [48, 2] of an ellipse or of an arc of it (degrees, clockwise from the right)."""
    angle = np.radians(np.linspace(begin, end, 48))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _between(x: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The polygon [2 n, 2] between two curves over the same x [n]."""
    return np.concatenate([np.stack([x, first], 1), np.stack([x, second], 1)[::-1]])


@lru_cache(maxsize=16)
def _head(look: Look) -> np.ndarray:
    """All of the head that does not move in itself: uint8 [CANVAS, CANVAS, 4], premultiplied."""
    canvas = np.zeros((CANVAS, CANVAS, 4), np.uint8)
    face = _oval(0, 0, look.width, 0.975)
    face[:, 0] *= 1 - look.jaw * np.maximum(face[:, 1], 0) ** 2
    _draw_back(canvas, look)
    _fill(canvas, face, look.skin)
    _light(canvas, look)
    _draw_relief(canvas, look)
    if look.beard:
        x, low = face[1:24].T * 0.985
        high = np.minimum(0.38 - 0.34 * (x / look.width) ** 4, low)
        _soft(canvas, _between(x, low, high), _tint(look.hair, 0.9), look.beard, 0.045)
    _draw_brows(canvas, look)
    _draw_front_hair(canvas, look)
    return canvas


def _draw_back(canvas: np.ndarray, look: Look) -> None:
    """What lies behind the face: long hair, neck and ears."""
    w, skin, hair, style = look.width, look.skin, look.hair, look.hair_style
    if style in ("long", "bob"):
        low = 1.45 if style == "long" else 0.80
        crown = _oval(0, -0.2, w * 1.30, 1.05, 180, 360)
        ends = _oval(0, low - 0.25, w * 1.36, 0.25, 0, 180)
        _fill(canvas, np.concatenate([crown, ends]), _tint(hair, 0.75))
    if style == "bun":
        _fill(canvas, _oval(0, -1.12, 0.30, 0.24), _tint(hair, 0.9))
    sides = np.array([[-0.60, 1.27], [-0.43, 1.12], [-0.38, 0.95], [-0.38, 0.5]])
    neck = np.concatenate([sides, sides[::-1] * [-1, 1], _oval(0, 1.27, 0.58, 0.24, 0, 180)])
    _fill(canvas, neck, _tint(skin, 0.9))
    _soft(canvas, _oval(0, 0.92, 0.34, 0.24), _tint(skin, 0.5), 0.6, 0.05)
    for side in (-1, 1):
        _fill(canvas, _oval(side * w, 0.02, 0.10, 0.20), _tint(skin, 0.92))
        _soft(canvas, _oval(side * w * 1.02, 0.02, 0.05, 0.12), _tint(skin, 0.72), 0.5, 0.03)


def _light(canvas: np.ndarray, look: Look) -> None:
    """Light from above and the left, falling off to the sides."""
    y, x = (np.mgrid[0:CANVAS, 0:CANVAS] - np.array(MIDDLE[::-1])[:, None, None]) / UNIT
    light = 1.07 - 0.26 * np.clip(np.abs(x) / look.width, 0, 1.2) ** 3 - 0.05 * x - 0.06 * y
    canvas[..., :3] = np.clip(canvas[..., :3] * light[..., None], 0, canvas[..., 3:])


def _draw_relief(canvas: np.ndarray, look: Look) -> None:
    """Cheeks, eye sockets, nose, and the hollows above and below the mouth."""
    skin, dark = look.skin, _tint(look.skin, 0.72)
    rosy = (skin[0] * 0.75, skin[1] * 0.75, min(255, skin[2] * 1.05))
    for side in (-1, 1):
        _soft(canvas, _oval(side * 0.40, 0.20, 0.17, 0.12), rosy, 0.35, 0.08)
        _soft(canvas, _oval(side * look.eyes, EYE_Y - 0.03, 0.20, 0.13), dark, 0.45, 0.05)
        _soft(canvas, _oval(side * 0.10, 0.04, 0.035, 0.22), dark, 0.35, 0.03)
        _soft(canvas, _oval(side * 0.075, 0.235, 0.030, 0.018), _tint(skin, 0.35), 0.85, 0.012)
    _soft(canvas, _oval(0, 0.05, 0.045, 0.20), _tint(skin, 1.18), 0.6, 0.03)
    _soft(canvas, _oval(0, 0.18, 0.06, 0.05), _tint(skin, 1.2), 0.6, 0.025)
    _line(canvas, _oval(0, 0.195, 0.12, 0.075, 25, 155), _tint(skin, 0.62), 0.014)
    _soft(canvas, _oval(0, 0.355, 0.03, 0.06), dark, 0.45, 0.02)
    _soft(canvas, _oval(0, 0.715, 0.17, 0.03), dark, 0.6, 0.03)


def _draw_brows(canvas: np.ndarray, look: Look) -> None:
    for side in (-1, 1):
        x, arc = _oval(side * look.eyes, EYE_Y - 0.08, 0.20, 0.13, 205, 335).T
        arc = arc + look.brow * side * (x - side * look.eyes) / 0.2
        thickness = 0.045 * (1 - np.linspace(-1, 1, 48) ** 2)
        _fill(canvas, _between(x, arc, arc + thickness), _tint(look.hair, 0.8))


def _draw_front_hair(canvas: np.ndarray, look: Look) -> None:
    """The hair in front: the top of a larger head, without the forehead."""
    w, hair, style = look.width, look.hair, look.hair_style
    line = _oval(0, -0.30, w * 0.93, 0.45 if style == "buzz" else 0.40, 180, 360)
    across = line[:, 0] / w
    if style == "short":  # swept to a side
        line[:, 1] += (0.30 * across - 0.08) * (1 - across**2)
    elif style != "buzz":  # parted in the middle
        line[:, 1] += 0.13 * np.exp(-((across / 0.25) ** 2))
    grown = (1.03, 0.93) if style == "buzz" else (1.13, 1.10)
    outer = _oval(0, -0.10, w * grown[0], grown[1], 180, 360)
    if style in ("long", "bob"):
        outer = np.concatenate([[[-w * 1.05, 0.55]], outer, [[w * 1.05, 0.55]]])
    _fill(canvas, np.concatenate([outer, line[::-1]]), hair)
    _soft(canvas, _oval(-0.25, -0.85, 0.30, 0.09), _tint(hair, 1.7), 0.35, 0.07)


@lru_cache(maxsize=16)
def _backdrop(look: Look, size: int) -> np.ndarray:
    """The wall and the shoulders: uint8 [size, size, 3]."""
    y, x = np.mgrid[0:size, 0:size] / size
    light = 1.12 - 0.5 * ((x - 0.4) ** 2 + (y - 0.35) ** 2)
    wall = np.clip(np.float64(look.background) * light[..., None], 0, 255)
    shoulder = 0.80 + 0.60 * np.abs(x - 0.5) ** 1.7
    folds = 1.05 - 0.9 * np.abs(x - 0.47) ** 1.5 - 0.8 * (y - 0.9)
    cloth = np.float64(look.shirt) * folds[..., None]
    share = np.clip((y - shoulder) * size + 0.5, 0, 1)[..., None]
    image = wall * (1 - share) + np.clip(cloth, 0, 255) * share
    return cv2.GaussianBlur(image.astype(np.uint8), (0, 0), 0.8)


def _draw_eyes(canvas: np.ndarray, look: Look, pose: Pose) -> None:
    for side in (-1, 1):
        x = side * look.eyes
        _draw_eye(canvas, look, pose, x)
        if look.glasses:
            _line(canvas, _oval(x, EYE_Y + 0.02, 0.215, 0.175), FRAME, 0.022, True)
    if look.glasses:
        _line(canvas, _oval(0, EYE_Y, look.eyes - 0.205, 0.03, 180, 360), FRAME, 0.022)


def _draw_eye(canvas: np.ndarray, look: Look, pose: Pose, x: float) -> None:
    across = np.linspace(-1, 1, 40)
    edge, bow = x + 0.145 * across, 1 - across**2
    lower = EYE_Y + 0.052 * bow
    upper = EYE_Y - 0.078 * bow**0.8 * (1 - pose.blink) + 0.03 * pose.blink
    upper = np.minimum(upper, lower)

    def between_lids(points: np.ndarray) -> np.ndarray:
        low, high = (np.interp(points[:, 0], edge, line) for line in (upper, lower))
        return np.stack([points[:, 0], np.clip(points[:, 1], low, high)], axis=1)

    _fill(canvas, _between(edge, EYE_Y - 0.095 * bow, lower), _tint(look.skin, 0.86))
    if pose.blink < 0.95:
        _fill(canvas, _between(edge, upper, lower), (232, 236, 238))
        at_x, at_y = x + 0.035 * pose.gaze, EYE_Y - 0.008
        _fill(canvas, between_lids(_oval(at_x, at_y, 0.070, 0.070)), look.iris)
        _fill(canvas, between_lids(_oval(at_x, at_y, 0.034, 0.034)), (20, 18, 18))
        shine = _oval(at_x - 0.02, at_y - 0.025, 0.014, 0.014)
        _fill(canvas, between_lids(shine), (255, 255, 255))
    _line(canvas, np.stack([edge, upper], 1), _tint(look.hair, 0.45), 0.022)


def _draw_mouth(canvas: np.ndarray, look: Look, mouth: np.ndarray) -> None:
    opening, width, rounding, teeth, tongue = (float(value) for value in mouth)
    half = look.mouth * (0.80 + 0.40 * width) * (1 - 0.36 * rounding)
    gap = 0.25 * opening * look.articulation
    thick = look.lip * (1 + 0.35 * rounding) * (1 - 0.15 * (width - 0.5))
    tuck = max(0.0, teeth - 0.9) * 10 * max(0.0, 1 - opening / 0.3) * 0.45  # f: lip under the teeth
    u = np.linspace(-1, 1, 40)
    x = half * u
    bow = (1 - u**2) ** (0.9 - 0.25 * opening - 0.3 * rounding)
    inner = np.clip(1 - (u / 0.90) ** 2, 0, 1) ** (0.65 - 0.15 * rounding)
    cupid = 1 - 0.22 * np.exp(-((u / 0.16) ** 2))
    middle = MOUTH_Y - 0.02 * (width - 0.5) * u**2  # where the lips meet
    upper = middle - 0.30 * gap * inner
    lower = middle + 0.70 * gap * inner
    top = middle - (0.30 * gap + thick * cupid) * bow
    bottom = middle + (0.70 * gap + thick * (1.25 - tuck)) * bow

    _fill(canvas, _between(x, top, middle), _tint(look.lips, 0.86))
    _fill(canvas, _between(x, middle, bottom), look.lips)
    shine = lower + 0.35 * (bottom - lower), lower + 0.6 * (bottom - lower)
    _fill(canvas, _between(0.5 * x, *shine), _tint(look.lips, 1.13))
    if gap > 0.004:
        tip = np.maximum(upper, lower - tongue * (0.03 + 0.7 * gap))
        _fill(canvas, _between(x, upper, lower), (35, 22, 62))
        _fill(canvas, _between(x, tip, lower), (95, 92, 185))
        edge = np.minimum(lower, upper + 0.075 * teeth)
        _fill(canvas, _between(x, upper, edge), (225, 232, 236))
        if tongue > 0.85:  # between the teeth
            _fill(canvas, _between(0.6 * x, tip, lower), (100, 98, 195))
    seam = 0.012 if gap > 0.004 else 0.018
    _line(canvas, np.stack([x, upper], 1), _tint(look.lips, 0.42), seam)


def draw_face(look: Look, mouth: np.ndarray, pose: Pose, size: int = SIZE) -> np.ndarray:
    """One image: uint8 BGR [size, size, 3].

    Args:
        look: who.
        mouth: [5] in 0–1: opening, width, rounding, teeth, tongue (see mouth_shapes.py).
        pose: where the head is.
        size: pixels a side.
    """
    canvas = _head(look).copy()
    _draw_eyes(canvas, look, pose)
    _draw_mouth(canvas, look, mouth)

    # from image to canvas: undo place, roll and scale, then turn the head and drop the jaw
    turn = math.radians(pose.roll)
    shrink = 1 / (IMAGE_UNIT * size * pose.scale)
    cos, sin = math.cos(turn) * shrink, math.sin(turn) * shrink
    column = np.arange(size, dtype=np.float32)[None] - size * (0.5 + pose.x / SIZE)
    row = np.arange(size, dtype=np.float32)[:, None] - size * (0.455 + pose.y / SIZE)
    x, y = cos * column + sin * row, cos * row - sin * column
    bulge = np.maximum(0, 1 - (x / (look.width * 1.15)) ** 2 - (y / 1.1) ** 2)
    drop = 0.085 * float(mouth[0]) * look.articulation
    jaw = smooth_step((y - 0.42) * 2.2) * smooth_step((1.5 - y) * 2)
    from_x = (x - 0.10 * pose.yaw * bulge) * UNIT + MIDDLE[0]
    from_y = (y - 0.07 * pose.nod * bulge - drop * jaw) * UNIT + MIDDLE[1]
    head = cv2.remap(canvas, from_x, from_y, cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
    through = 255 - cv2.cvtColor(head[..., 3], cv2.COLOR_GRAY2BGR)
    return cv2.add(head[..., :3], cv2.multiply(_backdrop(look, size), through, scale=1 / 255))
