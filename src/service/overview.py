"""A page about the service for people; it needs nothing from anywhere."""

from html import escape

from ..i18n.messages import language, tr
from .forms import CORRECT_FORM, PRESENT_FORM, SCORE_FORM, Field
from .options import ServiceOptions

STYLE = (
    ":root { color-scheme: light dark } body { font: 16px/1.5 system-ui, sans-serif; max-width: "
    "60rem; margin: 2rem auto; padding: 0 1rem } pre { overflow-x: auto; padding: .7rem; border: "
    "1px solid #8886; border-radius: .4rem } td { padding: .2rem 1.5rem .2rem 0; vertical-align: "
    "top }"
)


def overview_page(address: str, options: ServiceOptions) -> str:
    """The page, as HTML.

    Args:
        address: of the service, without a slash at the end.
        options: how it is run.
    """
    curl = "curl" if options.token is None else "curl -H 'Authorization: Bearer TOKEN'"
    parts = [
        f"<h1>lipsync</h1><p>{escape(tr('Each request for work answers at once with a job.'))} "
        f'<a href="{escape(address)}/openapi.json">openapi.json</a></p>',
        _section("POST /score", tr("Score a video against its audio and measure the offset."),
                 f"{curl} -F video=@v.mp4 {address}/score", SCORE_FORM),
        _section("POST /correct", tr("Measure the offset and write a video with the audio in "
                                     "sync."),
                 f"{curl} -F video=@v.mp4 -F audio=@a.wav {address}/correct", CORRECT_FORM),
        _section("POST /present", tr("Re-make the mouth of a presenter for a new speech."),
                 f"{curl} -F presenter=NAME -F audio=@new.wav {address}/present", PRESENT_FORM),
        _section("GET /jobs/ID?wait=60", tr("The state of a job, and its result; with wait, once "
                                            "it has ended or after so many seconds."),
                 f"{curl} '{address}/jobs/ID?wait=60'"),
        _section("GET /jobs/ID/files/NAME", tr("A file that a job has written."),
                 f"{curl} -O {address}/jobs/ID/files/NAME"),
        _section("DELETE /jobs/ID", tr("Cancel a job, or delete one that has ended."),
                 f"{curl} -X DELETE {address}/jobs/ID"),
        _section("GET /presenters", tr("The names of the presenters."),
                 f"{curl} {address}/presenters"),
        _section("GET /health", tr("Whether the service does jobs; needs no token."),
                 f"curl {address}/health"),
        "<p>" + escape(tr("Files up to {mb:g} MB, videos up to {minutes:g} min, jobs at a time: "
                          "{jobs}; what has ended is deleted after {hours:g} h.",
                          mb=options.max_mb, minutes=options.max_minutes, jobs=options.max_jobs,
                          hours=options.keep_h)) + "</p>",
    ]  # fmt: skip
    tag = language().replace("_", "-")
    return (
        f'<!doctype html><html lang="{tag}"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>lipsync</title><style>{STYLE}</style><body>'
        + "".join(parts)
    )


def _section(head: str, text: str, command: str, form: tuple[Field, ...] = ()) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(field.name)}</code></td><td>{escape(tr(field.description))}</td>"
        "</tr>" for field in form
    )  # fmt: skip
    return (
        f"<h2><code>{escape(head)}</code></h2><p>{escape(text)}</p><pre>{escape(command)}</pre>"
        + (f"<table>{rows}</table>" if rows else "")
    )
