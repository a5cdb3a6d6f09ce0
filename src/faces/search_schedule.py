"""When the full frame is searched for faces."""

SEARCH_INTERVAL = 12  # frames between two searches …
CALM_INTERVAL = 24  # … and in a calm shot
N_CALM_SEARCHES = 3  # with one face and no other, one after the other, make a shot calm


class SearchSchedule:
    """The searches of one shot.

    Args:
        first_frame: index of its first frame.

    Attributes:
        next_search: index of the frame from which on the next search is due.
    """

    def __init__(self, first_frame: int):
        self.next_search = first_frame
        self._n_calm = 0

    @property
    def is_calm(self) -> bool:
        """Whether one face, the same all the time, is all that the last searches have seen."""
        return self._n_calm >= N_CALM_SEARCHES

    def is_due(self, index: int) -> bool:
        """Whether the full frame is to be searched in frame ``index``."""
        return index >= self.next_search

    def add(self, index: int, n_faces: int) -> None:
        """A search of frame ``index`` has detected so many faces. One that was not due means that
        a face was lost."""
        self._n_calm = self._n_calm + 1 if n_faces == 1 and self.is_due(index) else 0
        self.next_search = index + (CALM_INTERVAL if self.is_calm else SEARCH_INTERVAL)
