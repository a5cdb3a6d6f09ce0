"""Chinese messages: English text as written in ``tr(...)`` -> Chinese, places in braces kept."""

CATALOGUE: dict[str, str] = {}
