"""Generate docs/result.schema.json from the types of the result.

python tools/write_schema.py
"""

import json
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run
from src.core.files import written_atomically
from src.i18n.messages import tr
from src.pipeline.json_output import result_schema

SCHEMA_PATH = Path(__file__).resolve().parents[1] / "docs" / "result.schema.json"


def schema_text() -> str:
    """The content of the file."""
    return json.dumps(result_schema(), ensure_ascii=False, indent=2) + "\n"


def main() -> None:
    make_parser(
        tr("Generate docs/result.schema.json from the types of the result."),
        "python tools/write_schema.py",
        settings=False,
    ).parse_args()
    with written_atomically(SCHEMA_PATH) as temporary_path:
        temporary_path.write_text(schema_text(), encoding="utf-8")
    print(tr("output: {path}", path=SCHEMA_PATH))


if __name__ == "__main__":
    run(main)
