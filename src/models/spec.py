"""The specification of a network: everything that fixes the shapes of its layers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core.config import Config
from ..core.constants import WINDOW_FRAMES

# Face regions of a crop, by the value of ``model.view``: (top, height, width) as shares of the
# crop's side. Training and scoring cut out the lower face, which leaves the augmentation room to
# rotate and shift, and normalise it; an encoder may use a smaller region within it.
FACE_REGIONS = {"lower_face": (1 / 4, 2 / 3, 5 / 6), "mouth": (0.27, 1 / 2, 2 / 3)}
INPUT_REGION = "lower_face"  # what is cut out of the crops for all encoders
GRID_PX = 16  # the video encoder reduces its input by this factor: regions are multiples of it

VIDEO_CHANNELS = (32, 64, 128)  # of the video encoder's grids, each half as fine
FRAME_FEATURES = 192  # channels of a frame once its grid is summed up
AUDIO_CHANNELS = (128, 192, 256)
FRONT_FRAMES = 3  # what a front end sees
N_JOINED = WINDOW_FRAMES - FRONT_FRAMES + 1  # outputs of the front end in a window

CHUNK = 250  # frames embedded at a time
# Settings of the temporal block: without one, they have no effect.
BLOCK_SETTINGS = ("hidden_dim", "num_layers")


@dataclass(frozen=True)
class ModelSpec:
    """The settings of a network, as the configuration in its checkpoint has them.

    Attributes:
        input_size: side of a crop in pixels.
        n_mfcc: audio coefficients a hop.
        embedding_dim: values in the embedding of one ensemble member.
        hidden_dim, num_layers, dropout: of the temporal blocks.
        members: networks in the ensemble.
        view: a name of ``FACE_REGIONS``, or one for each member, joined by ``+``.
        temporal: the temporal block, ``none``, ``tcn``, ``gru`` or ``transformer``, or one for each
            member, joined by ``+``.
    """

    input_size: int
    n_mfcc: int
    embedding_dim: int
    hidden_dim: int
    num_layers: int
    dropout: float
    members: int = 1
    view: str = INPUT_REGION
    temporal: str = "none"

    @classmethod
    def of(cls, config: Config) -> "ModelSpec":
        return cls(config.data.input_size, config.data.n_mfcc, **config.model.model_dump())

    @property
    def output_dim(self) -> int:
        """Values in an embedding: those of all members, concatenated."""
        return self.members * self.embedding_dim

    @property
    def region_shape(self) -> tuple[int, int]:
        """Height and width in pixels of what is cut out of a crop, multiples of ``GRID_PX``."""
        _, height, width = self._region_px(INPUT_REGION)
        return height, width

    @property
    def region_top(self) -> int:
        """The first row of the crop that is cut out."""
        return self._region_px(INPUT_REGION)[0]

    @property
    def member_specs(self) -> list["ModelSpec"]:
        """The specification of each member by itself, with one view and one temporal block."""
        views, blocks = (
            values * self.members if len(values) == 1 else values
            for values in (self.view.split("+"), self.temporal.split("+"))
        )
        return [
            replace(self, members=1, view=view, temporal=block)
            for view, block in zip(views, blocks, strict=True)
        ]

    @property
    def has_no_block(self) -> bool:
        """Whether no member has a temporal block, so that ``BLOCK_SETTINGS`` have no effect."""
        return all(member.temporal == "none" for member in self.member_specs)

    @property
    def block_kernels(self) -> list[int]:
        """Frames that each convolution over time of a ``tcn`` block joins: together a window."""
        growth, kernels = N_JOINED - 1, []  # frames by which the layers still have to widen
        for n_remaining in range(self.num_layers, 0, -1):
            widening = math.ceil(growth / n_remaining)
            growth -= widening
            kernels.append(widening + 1)
        return kernels

    def region_slices(self, name: str) -> tuple[slice, slice]:
        """Rows and columns of a region within what is cut out; the lower face is all of it."""
        input_height, input_width = self.region_shape
        if name == INPUT_REGION:
            return slice(0, input_height), slice(0, input_width)
        top, height, width = self._region_px(name)
        first_row = min(max(top - self.region_top, 0), input_height - height)
        first_column = (input_width - width) // 2
        return slice(first_row, first_row + height), slice(first_column, first_column + width)

    def _region_px(self, name: str) -> tuple[int, int, int]:
        """(top, height, width) of a region in a crop, in pixels."""
        top, *shares = FACE_REGIONS[name]
        height, width = (
            max(GRID_PX, int(self.input_size * share / GRID_PX + 0.5) * GRID_PX) for share in shares
        )
        return round(self.input_size * top), height, width


def join_members(values: Sequence[str]) -> str:
    """The views, or temporal blocks, of the members as one setting: one name if all are equal."""
    return values[0] if len(set(values)) == 1 else "+".join(values)
