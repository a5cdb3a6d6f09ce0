"""What a network is made with: sizes that travel in the checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.config import Config

# Parts of a crop: their top, height and width as shares of the crop's side. Views are cut out as
# ``lower_face``, which leaves room for the augmentation to turn and shift in, and lose its mean
# brightness and contrast; an encoder may look at less of them (model.view).
VIEWS = {"lower_face": (1 / 4, 2 / 3, 5 / 6), "mouth": (0.27, 1 / 2, 2 / 3)}


@dataclass(frozen=True)
class ModelSize:
    """All that fixes the shape of the network; travels in the checkpoint."""

    input_size: int
    n_mfcc: int
    embedding_dim: int
    hidden_dim: int
    num_layers: int
    dropout: float
    members: int = 1
    view_of: str = "lower_face"

    @classmethod
    def of(cls, config: Config) -> "ModelSize":
        settings = config.model.model_dump()
        view = settings.pop("view")
        return cls(config.data.input_size, config.data.n_mfcc, **settings, view_of=view)

    @property
    def length(self) -> int:
        """Numbers in an embedding: those of all members, one after the other."""
        return self.members * self.embedding_dim

    @property
    def view(self) -> tuple[int, int]:
        """Height and width in pixels of a view, multiples of 16."""
        return self._part("lower_face")[1:]

    @property
    def view_top(self) -> int:
        """The first row of the crop that is in the view."""
        return self._part("lower_face")[0]

    @property
    def looked_at(self) -> list[str]:
        """The part each member looks at; names of ``VIEWS``."""
        names = self.view_of.split("+")
        return names * self.members if len(names) == 1 else names

    def within_view(self, part: str) -> tuple[slice, slice]:
        """The rows and columns of a view that hold a part of it; the lower face is all of it."""
        view_height, view_width = self.view
        if part == "lower_face":
            return slice(0, view_height), slice(0, view_width)
        top, height, width = self._part(part)
        first = min(max(top - self.view_top, 0), view_height - height)
        left = (view_width - width) // 2
        return slice(first, first + height), slice(left, left + width)

    def _part(self, name: str) -> tuple[int, int, int]:
        top, *shares = VIEWS[name]
        sides = (max(16, int(self.input_size * share / 16 + 0.5) * 16) for share in shares)
        return round(self.input_size * top), *sides


def view_of(parts: Sequence[str]) -> str:
    """What members look at, as ``model.view`` has it: one name if all look at the same."""
    return parts[0] if len(set(parts)) == 1 else "+".join(parts)
