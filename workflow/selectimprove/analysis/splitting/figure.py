"""The figure of a split: its parts, and the shares and pass rates of the strategies behind them."""

from itertools import cycle

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from selectimprove.analysis import style
from selectimprove.analysis.splitting import Split

COLOURS = {"improvement": "#009E73"} | style.MECHANISM_COLOURS
# None is a colour of a part.
STRATEGY_COLOURS = ["#0072B2", "#D55E00", "#E69F00", "#332288", "#882255", "#44AA99"]


def draw_split(result: Split) -> Figure:
    """Draw a row per stratum: the parts with intervals, the shares before and after, and the strategies' pass rates.

    A part that is only bounded is a hatched bar from bound to bound. The figure has no window: save it with `savefig`,
    or let a notebook show it.
    """
    with mpl.rc_context():
        style.setup()
        # A dollar sign in a name must not begin a formula.
        mpl.rcParams["text.parse_math"] = False
        strata = ["\n".join(map(str, names)) for names in result.parts[result.by].to_numpy()]
        figure = Figure(figsize=(7.5, 1.7 + 0.75 * len(strata)))
        axes = figure.subplots(1, 3, sharey=True, width_ratios=(1.5, 1, 1))
        place = np.arange(len(strata))
        _draw_parts(axes[0], result, place)
        _draw_strategies(axes[1], axes[2], result, place)
        axes[0].set_yticks(place, strata)
        axes[0].set_ylim(len(strata) - 0.5, -0.5)
        for panel in axes:
            panel.grid(visible=False, axis="y")
        # Settings apply while the figure is drawn, and end with this block.
        figure.draw_without_rendering()
    return figure


def _draw_parts(axes, result: Split, place: np.ndarray) -> None:
    names = [name for name in result.names if not (name == "improvement" and "sharpening" in result.names)]
    height = 0.8 / len(names)
    for number, name in enumerate(names):
        level = place - 0.4 + height * (number + 0.5)
        table = result.parts
        value, low, high = (table[f"{name}{end}"].to_numpy() for end in ("", "_low", "_high"))
        known = table["identified"].to_numpy(bool) if "identified" in table else np.ones(len(table), dtype=bool)
        look = {"color": COLOURS[name], "edgecolor": "#555555", "linewidth": 0.4}
        axes.barh(level[known], value[known], height * 0.9, **look)
        if not known.all():
            least, most = (table[f"{name}_{end}"].to_numpy()[~known] for end in ("least", "most"))
            # The bar is solid from zero to the nearer bound.
            axes.barh(level[~known], np.clip(least, 0, None) + np.clip(most, None, 0), height * 0.9, **look)
            axes.barh(level[~known], most - least, height * 0.9, least, **look, hatch="////", alpha=0.5)
        axes.hlines(level, low, high, color="#333333", linewidth=0.8)
    axes.plot(result.parts["change"], place, "D", color="#000000", markersize=3.5)
    axes.axvline(0, color="#333333", linewidth=0.8)
    style.percent(axes, "x")
    axes.set_xlabel("change in pass@1 (points)")
    handles = {name: Patch(color=COLOURS[name]) for name in names}
    handles["whole change"] = Line2D([], [], color="#000000", marker="D", markersize=3.5, linewidth=0)
    if "identified" in result.parts and not result.parts["identified"].all():
        handles["between bounds"] = Patch(facecolor="#ffffff", edgecolor="#555555", hatch="////")
    axes.legend(handles.values(), handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)


def _draw_strategies(shares, rates, result: Split, place: np.ndarray) -> None:
    strategies = sorted(set(result.strategies["strategy"]))
    rate, told = ("told", " told") if "told_before" in result.strategies else ("pass_rate", "")
    gap = 0.7 / len(strategies)
    handles, left = {}, {"before": np.zeros(len(place)), "after": np.zeros(len(place))}
    for number, (strategy, colour) in enumerate(zip(strategies, cycle(STRATEGY_COLOURS), strict=False)):
        own = result.strategies[result.strategies["strategy"] == strategy]
        for when, offset in (("before", -0.2), ("after", 0.2)):
            width = own[f"share_{when}"].to_numpy()
            shares.barh(place + offset, width, 0.34, left[when], color=colour, edgecolor="#ffffff", linewidth=0.3)
            left[when] += width
        level = place - 0.35 + gap * (number + 0.5)
        before, after = own[f"{rate}_before"].to_numpy(), own[f"{rate}_after"].to_numpy()
        rates.hlines(level, before, after, color=colour, linewidth=1.2)
        rates.plot(before, level, "o", markerfacecolor="#ffffff", color=colour, markersize=4, clip_on=False)
        rates.plot(after, level, "o", color=colour, markersize=4, clip_on=False)
        handles[strategy] = Patch(color=colour)
    for axes, label in ((shares, "share, before above after"), (rates, f"pass rate{told}, ○ before ● after")):
        axes.set_xlim(0, 1)
        axes.set_xlabel(label)
        style.percent(axes, "x")
    shares.legend(handles.values(), handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
