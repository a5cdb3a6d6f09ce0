"""What the page shows of a result: pieces of HTML, and plots.

Every text that comes from a file is escaped here.
"""

import base64
from collections.abc import Iterable
from html import escape

import plotly.graph_objects as go

from ..i18n.messages import tr
from ..plotting.figures import GOOD, INK, POOR, QUIET
from ..report.annotation_panel import clock
from ..report.html_report import COLOURS
from ..report.sentences import certainty_word, headline
from ..scoring.perception import capped_probability, format_score
from ..scoring.result import SyncResult
from ..scoring.words import note_text, reason_text
from .jobs import WAITING, Job

MIN_LEFT_S = 5  # less is not worth saying
PLOT_HEIGHT = 300  # px
LINE = "#3b82c4"  # visible on light and on dark ground
# After the address of a video: some browsers show black until it is played, or sought in.
FIRST_FRAME = "#t=0.001"


def progress_view(job: Job, n_before: int) -> str:
    """How far a job is."""
    if job.state == WAITING:
        text = tr("Waiting for other work to finish ({n} before this)", n=n_before)
        value = ""
    else:
        text = job.stage or tr("starting")
        value = "" if job.share is None else f' value="{job.share:.3f}"'
        if job.share is not None:
            text = tr("{stage}: {share:.0%}", stage=text, share=job.share)
        left_s = job.left_s
        if left_s is not None and left_s >= MIN_LEFT_S:
            text = tr("{stage}, about {time} left for this step", stage=text, time=clock(left_s))
    return (
        f'<div class="ls-progress" role="status"><span>{escape(text)}</span>'
        f'<progress max="1"{value} aria-label="{escape(tr("progress"))}"></progress></div>'
    )


def error_view(text: str) -> str:
    """An error, where the file is."""
    return f'<p class="ls-error" role="alert">{escape(text)}</p>' if text else ""


def message_view(text: str) -> str:
    """A line that says what was done."""
    return f'<p class="ls-message" role="status">{escape(text)}</p>' if text else ""


def verdict_view(result: SyncResult) -> str:
    """The result in one sentence, how certain it is, and what is worth knowing."""
    rows = []
    if result.undetermined:
        reason = reason_text(result.reason)
        rows.append(tr("{text}.", text=reason[:1].upper() + reason[1:]))
    else:
        rows.append(_certainty(result))
    notes = "".join(
        f"<li>{escape(tr('note: {text}', text=note_text(note)))}</li>" for note in result.notes
    )
    return (
        f'<section class="ls-verdict" style="--ls-colour: {COLOURS[result.bt1359]}">'
        f"<h2>{escape(headline(result))}</h2>"
        + "".join(f"<p>{escape(row)}</p>" for row in rows)
        + (f"<ul>{notes}</ul>" if notes else "")
        + "</section>"
    )


def _certainty(result: SyncResult) -> str:
    probability = result.offset_probability
    return tr(
        "{word} ({chance:.0%}). Offset {ms:+.0f} ms; sync score of the video as it is: {score}.",
        word=certainty_word(probability), chance=capped_probability(probability),
        ms=result.offset_ms,
        score=format_score(result.score),
    )  # fmt: skip


def faces_view(result: SyncResult, images: dict[int, bytes]) -> str:
    """Images of the faces as buttons, which choose one in the list below them."""
    if len(result.tracks) < 2:
        return ""
    cards = []
    for track in result.tracks:
        jpeg = images.get(track.number)
        if jpeg is None:
            continue
        label = face_label(track)
        source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        cards.append(
            f'<button type="button" class="ls-face{" ls-used" if track.chosen else ""}" '
            f'data-face="{track.number}" title="{escape(label)}">'
            f'<img src="{source}" alt="{escape(label)}"><span>{escape(str(track.number))}</span>'
            "</button>"
        )
    return f'<div class="ls-faces">{"".join(cards)}</div>'


def face_label(track) -> str:
    """A face in words: its number, when it is seen, and whether the result is of it."""
    label = tr("face {number}, {start}–{end}", number=track.number,
               start=clock(track.start_s), end=clock(track.end_s))  # fmt: skip
    return tr("{face} (used)", face=label) if track.chosen else label


def videos_view(videos: Iterable[tuple[str, str]]) -> str:
    """Videos side by side, played in step.

    Args:
        videos: (heading, address) each.
    """
    videos = list(videos)
    figures, choices = [], []
    for number, (heading, address) in enumerate(videos):
        muted = " muted" if number < len(videos) - 1 else ""
        figures.append(
            f"<figure><figcaption>{escape(heading)}</figcaption>"
            f'<video src="{escape(address)}{FIRST_FRAME}" controls playsinline '
            f'preload="metadata"{muted} aria-label="{escape(heading)}"></video></figure>'
        )
        label = tr("Hear: {name}", name=heading)
        choices.append(
            f'<button type="button" data-hear="{number}" aria-pressed='
            f'"{"false" if muted else "true"}">{escape(label)}</button>'
        )
    buttons = f'<div class="ls-hear">{"".join(choices)}</div>' if len(videos) > 1 else ""
    return f'<div class="ls-videos">{"".join(figures)}</div>{buttons}'


def image_view(address: str, text: str) -> str:
    """An image, and what it shows in words."""
    return (
        f'<figure class="ls-image"><img src="{escape(address)}" alt="{escape(text)}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )


def downloads_view(files: Iterable[tuple[str, str]]) -> str:
    """Links to files.

    Args:
        files: (text, address) each.
    """
    links = "".join(
        f'<li><a href="{escape(address)}?download" download>{escape(text)}</a></li>'
        for text, address in files
    )
    return f'<ul class="ls-downloads">{links}</ul>' if links else ""


def table_view(headings: list[str], lines: list[list[tuple[str, float | str | None]]]) -> str:
    """A table that is sorted by a click on a heading.

    Args:
        lines: cells of (text, value) each: a number is what it is sorted by, an address is what
            the text links to.
    """
    head = "".join(
        f'<th scope="col"><button type="button" data-sort>{escape(text)}</button></th>'
        for text in headings
    )
    body = "".join(f"<tr>{''.join(_cell(*cell) for cell in line)}</tr>" for line in lines)
    return (
        f'<div class="ls-scroll"><table class="ls-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(text: str, value: float | str | None) -> str:
    if isinstance(value, str):
        return f'<td><a href="{escape(value)}?download" download>{escape(text)}</a></td>'
    return f"<td{'' if value is None else f' data-value={value:.6g}'}>{escape(text)}</td>"


# ---------------------------------------------------------------------------- plots


def curve_plot(result: SyncResult) -> go.Figure:
    """The similarity by offset."""
    figure = _figure(tr("Similarity by offset"), tr("offset in ms (> 0: the audio leads)"),
                     tr("similarity"))  # fmt: skip
    curve = result.curve
    figure.add_scatter(x=curve.offset_ms, y=curve.similarity, mode="lines", line_color=LINE)
    figure.add_vline(0, line_dash="dot", line_color=QUIET)
    if result.offset_ms is not None:
        figure.add_vline(
            result.offset_ms, line_color=GOOD, annotation_text=f"{result.offset_ms:+.0f} ms",
            annotation_position="top",
        )  # fmt: skip
    return figure


def offsets_plot(result: SyncResult) -> go.Figure:
    """The offset over time: what spans measure on their own, and that of the whole."""
    figure = _figure(tr("Offset over time"), tr("time in s"), tr("offset in ms"))
    spans = [span for span in result.offsets if span.offset_ms is not None]
    figure.add_scatter(
        x=[span.time_s for span in spans], y=[span.offset_ms for span in spans], mode="markers",
        marker={"color": LINE, "size": 9,
                "opacity": [0.12 + 0.88 * (span.probability or 0) ** 2 for span in spans]},
    )  # fmt: skip
    for segment in result.timeline.segments if result.timeline else ():
        figure.add_scatter(
            x=[segment.start_s, segment.end_s], y=[segment.offset_ms, segment.end_offset_ms],
            mode="lines", line={"color": GOOD, "width": 3},
        )  # fmt: skip
    figure.add_hline(0, line_dash="dot", line_color=QUIET)
    figure.update_xaxes(range=[0, result.duration_s])
    return figure


def growing_plot(title: str, x: list[int], curves: dict[str, list[float]]) -> go.Figure:
    """Curves of a training by its epochs.

    Args:
        x: the epochs.
        curves: values by name.
    """
    figure = _figure(title, tr("epoch"), "")
    for (name, y), colour in zip(curves.items(), (LINE, GOOD), strict=True):
        figure.add_scatter(x=x, y=y, name=name, mode="lines+markers", line_color=colour)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12, "x": 1,
                                                  "xanchor": "right"})  # fmt: skip
    figure.update_xaxes(rangemode="tozero", tickformat="d")
    return figure


def _figure(title: str, x: str, y: str) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        title={"text": title, "font": {"size": 15}}, showlegend=False, height=PLOT_HEIGHT,
        margin={"l": 50, "r": 15, "t": 45, "b": 45}, colorway=[INK, POOR],
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"color": "#808890"},
    )  # fmt: skip
    grid = {"gridcolor": "rgba(128,136,144,0.25)", "zeroline": False}
    figure.update_xaxes(title_text=x, **grid)
    figure.update_yaxes(title_text=y, **grid)
    return figure
