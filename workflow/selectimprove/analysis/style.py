"""The look of every figure, with Okabe and Ito's colours, which people with any colour vision can tell apart."""

import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

SFT_COLOURS = {"B": "#0072B2", "F": "#D55E00", "FB": "#009E73"}
TYPE_COLOURS = {"evaluation": "#E69F00", "inversion": "#56B4E9", "all": "#333333"}
MECHANISM_COLOURS = {"selection": "#CC79A7", "sharpening": "#F0E442", "capability": "#56B4E9"}
VERDICT_COLOURS = {
    "reproduced": "#009E73",
    "smaller": "#E69F00",
    "larger": "#56B4E9",
    "reversed": "#D55E00",
    "inconclusive": "#999999",
}
FALLBACK_COLOURS = ["#CC79A7", "#000000", "#999999", "#F0E442"]

SCALE_NOTES = {
    "smoke": "SMOKE TEST: these numbers mean nothing",
    "rehearsal": "REHEARSAL WITH RANDOM WEIGHTS: these numbers mean nothing",
    "laptop": "laptop scale: 0.17 M parameters, trained from scratch",
    "replicates": "laptop scale on several seeds",
    "workstation": "workstation scale: 19 M parameters, trained from scratch",
    "paper": "paper scale: Qwen2.5-1.5B-Instruct, LoRA",
}
"""The note on each figure that names its scale."""
MEANINGLESS = {"smoke", "rehearsal"}
"""Scales whose numbers mean nothing; their notes are red."""
ALARMS = "\n\nTraining alarms:\n\n"
"""Separates a caption from the alarms of the trainings that are shown, each a line that begins with a dash."""


def setup() -> None:
    """Set matplotlib's defaults and override a user's ``matplotlibrc``; call it in a notebook's first cell."""
    mpl.rcdefaults()
    mpl.rcParams.update(
        {
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.labelsize": 8,
            "legend.fontsize": 7,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#e6e6e6",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "legend.frameon": False,
            "lines.linewidth": 1.4,
            "figure.constrained_layout.use": True,
            "pdf.fonttype": 42,
            "svg.fonttype": "none",
            "svg.hashsalt": "selectimprove",
            "savefig.dpi": 200,
        }
    )


def model_colour(sft: str, known: list[str]) -> str:
    """Return the colour of an SFT mix; `known` mixes that are not in the paper have the free colours in turn."""
    others = [mix for mix in known if mix not in SFT_COLOURS]
    return SFT_COLOURS.get(sft) or FALLBACK_COLOURS[others.index(sft) % len(FALLBACK_COLOURS)]


def ordered_colours(n: int) -> list[str]:
    """Return n colours from dark to light, for ordered values such as shares or numbers of steps."""
    return [mpl.colors.to_hex(mpl.colormaps["cividis"](position / max(n - 1, 1) * 0.8)) for position in range(n)]


def training_name(training: str) -> str:
    """Write the name of a training for readers: ``rl_6_9`` is RL(6–9)."""
    match = re.fullmatch(r"rl_(\d+)_(\d+)(?:_(\w+))?", training)
    if not match:
        return "SFT" if training == "sft" else training
    return f"RL({match[1]}–{match[2]})" + (f" {match[3]}" if match[3] else "")


def band(axes, table: pd.DataFrame, x: str, y: str, low: str, high: str, colour: str, **line) -> None:
    """Draw a line with its interval as a band."""
    axes.fill_between(table[x], table[low], table[high], color=colour, alpha=0.2, linewidth=0)
    axes.plot(table[x], table[y], color=colour, **line)


def label_ends(axes, labels: list[tuple[float, float, str, str]], gap: float, top: float = 1.0) -> None:
    """Write labels (x, y, text, colour) at the right ends of lines, in place of a legend.

    Labels are at least `gap` apart and not above `top`, both in data units, so that none overlaps the title.
    """
    labels = sorted(labels, key=lambda label: label[1])
    heights = []
    for _, y, _, _ in labels:
        heights.append(max(y, heights[-1] + gap) if heights else y)
    above = top + gap
    for position in reversed(range(len(heights))):
        heights[position] = above = min(heights[position], above - gap)
    for (x, _, text, colour), height in zip(labels, heights, strict=True):
        beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
        axes.annotate(text, (x, height), color=colour, **beside)


def middle_of_window(steps: pd.Series, window: int) -> pd.Series:
    """Return the middle of each step's window of `window` steps; windows are shortened until there are two."""
    window = max(1, min(window, steps.max() // 2))
    return (steps - 1) // window * window + window / 2


def percent(axes, which: str = "y") -> None:
    """Show an axis of shares as percentages, from 0 to 100."""
    getattr(axes, f"{which}axis").set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0, symbol=""))


def save_figure(figure, folder: str, name: str, scale: str, data: pd.DataFrame) -> None:
    """Write a figure as PDF, SVG and PNG, with a note on its scale, and the plotted points as ``<name>.csv``."""
    note, colour = SCALE_NOTES.get(scale, f"{scale} scale"), "#b00020" if scale in MEANINGLESS else "#666666"
    figure.supxlabel(note, fontsize=6.5, color=colour, x=0.99, ha="right")
    for suffix, metadata in (("pdf", {"CreationDate": None}), ("svg", {"Date": None}), ("png", {"Software": None})):
        figure.savefig(Path(folder) / f"{name}.{suffix}", metadata=metadata)
    data.to_csv(Path(folder) / f"{name}.csv", index=False, float_format="%.6g")
    plt.close(figure)
