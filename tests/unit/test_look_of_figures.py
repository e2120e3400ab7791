"""What figures draw: colours, names, labels at the ends of lines, and the figure of a split."""

import io
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from selectimprove.analysis import style
from selectimprove.analysis.splitting import split
from selectimprove.analysis.splitting.figure import draw_split


def test_models_have_colours_of_their_own_and_mixes_of_the_paper_always_the_same():
    known = ["F75", "B", "none", "FB", "F90", "F"]
    colours = {mix: style.model_colour(mix, known) for mix in known}
    assert len(set(colours.values())) == len(known)
    assert {mix: colours[mix] for mix in style.SFT_COLOURS} == style.SFT_COLOURS
    # There are as many free colours as four more mixes need; then they begin anew.
    many = [f"M{n}" for n in range(5)]
    assert [style.model_colour(mix, many) for mix in many[:4]] == style.FALLBACK_COLOURS
    assert style.model_colour("M4", many) == style.FALLBACK_COLOURS[0]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_ordered_colours_go_from_dark_to_light(n):
    light = [sum(mpl.colors.to_rgb(colour)) for colour in style.ordered_colours(n)]
    assert len(light) == n
    assert light == sorted(set(light))
    # The lightest colours of the map can hardly be seen on white.
    assert light[0] < 1
    assert light[-1] < 2


@pytest.mark.parametrize(
    ("training", "name"),
    [
        ("sft", "SFT"),
        ("rl_6_9", "RL(6–9)"),
        ("rl_12_15", "RL(12–15)"),
        ("rl_6_9_inversion", "RL(6–9) inversion"),
        ("mine", "mine"),
    ],
)
def test_trainings_have_names_for_people(training, name):
    assert style.training_name(training) == name


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_labels_at_the_ends_of_lines_are_apart_and_below_the_title_and_in_the_order_of_the_lines(ends):
    axes = Figure().subplots()
    style.label_ends(axes, [(n, y, f"{n}", "#000000") for n, y in enumerate(ends)], gap=0.1)
    written = {int(text.get_text()): text.xy for text in axes.texts}
    assert {n: x for n, (x, _) in written.items()} == {n: n for n in range(len(ends))}
    order = sorted(range(len(ends)), key=lambda n: ends[n])
    heights = [written[n][1] for n in order]
    assert all(after - before > 0.1 - 1e-9 for before, after in pairwise(heights))
    assert heights[-1] <= 1.0
    # Where there is room, a label is at its line.
    apart = [ends[n] for n in order]
    if all(after - before > 0.1 for before, after in pairwise(apart)):
        assert heights == apart


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=2, unique=True).map(sorted), st.integers(1, 40))
def test_windows_are_equally_wide_and_hold_their_steps(steps, window):
    middles = style.middle_of_window(pd.Series(steps), window)
    width = max(1, min(window, steps[-1] // 2))
    for step, middle in zip(steps, middles, strict=True):
        assert middle - width / 2 < step <= middle + width / 2
        assert (middle - width / 2) % width == 0
    assert len(set(middles)) > 1 or steps[-1] - steps[0] < width


def test_an_interval_is_a_band_around_its_line_and_shares_are_percentages():
    axes = Figure().subplots()
    table = pd.DataFrame({"x": [1, 2], "y": [0.2, 0.5], "low": [0.1, 0.3], "high": [0.4, 0.6]})
    style.band(axes, table, "x", "y", "low", "high", "#009E73")
    (line,), (band,) = axes.lines, axes.collections
    assert line.get_xydata().tolist() == [[1, 0.2], [2, 0.5]]
    corners = band.get_paths()[0].vertices.tolist()
    assert all([x, y] in corners for x, y in ((1, 0.1), (1, 0.4), (2, 0.3), (2, 0.6)))
    assert line.get_color() == "#009E73"
    assert 0 < band.get_alpha() < 1
    style.percent(axes)
    assert axes.yaxis.get_major_formatter()(0.25) == "25"


@pytest.mark.parametrize(("scale", "note", "red"), [("smoke", "mean nothing", True), ("mine", "mine scale", False)])
def test_a_figure_is_saved_with_its_points_and_a_note_on_its_scale_and_alike_each_time(tmp_path, scale, note, red):
    data = pd.DataFrame({"x": [1, 2], "y": [1 / 3, 0.5]})
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        with mpl.rc_context({"backend": "agg"}):
            style.setup()
            figure = mpl.pyplot.figure()
            figure.subplots().plot(data["x"], data["y"])
            style.save_figure(figure, tmp_path / folder, "figure", scale, data)
            assert not mpl.pyplot.get_fignums()
    names = [f"figure.{suffix}" for suffix in ("csv", "pdf", "png", "svg")]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "one/figure.csv"), data, rtol=1e-5)
    assert note in (tmp_path / "one/figure.svg").read_text()
    red_of = mpl.colors.to_rgb(figure._supxlabel.get_color())
    assert (red_of[0] > 2 * red_of[1]) == red


BEFORE = "1ax1 1bx0 2ax0 2bx1 3ay1 3ay0 4ay0 4ay0 5az1 5az0"
AFTER = "1ax1 1ax1 2ax0 2bx1 3ay0 3cy1 4cy1 4cy1 5az1 5az0"


def generations(words: str) -> pd.DataFrame:
    """Read problem, strategy, stratum and correctness of each generation."""
    return pd.DataFrame(list(map(list, words.split())), columns=["problem_id", "strategy", "kind", "correct"])


def extent(patch) -> tuple[float, float]:
    left, width = patch.get_x(), patch.get_width()
    return tuple(sorted((left, left + width)))


def row_of(patch) -> int:
    """Return the stratum at whose place a bar stands; it must not reach into another's."""
    low, high = patch.get_y(), patch.get_y() + patch.get_height()
    assert round(low) == round(high) or (low, high) == pytest.approx((round(high) - 0.5, high))
    return round((low + high) / 2)


@pytest.mark.parametrize("told", [False, True])
def test_the_figure_of_a_split_shows_its_numbers(told):
    before, after = generations(BEFORE), generations(AFTER)
    tables = {}
    if told:
        both = [t.assign(strategy="a") for t in (before, after)]
        before, after = both
        made = [
            pd.DataFrame({"problem_id": list("12345"), "told": "a", "correct": list(right)})
            for right in ("10011", "11001")
        ]
        tables = {
            name: pd.concat([table.assign(greedy=0), table.assign(greedy=1)])
            for name, table in zip(("told_before", "told_after"), made, strict=True)
        }
    result = split(before, after, "kind", n_bootstrap=20, **tables)
    figure = draw_split(result)
    parts, shares, rates = figure.axes
    rows = result.parts.reset_index(drop=True)
    assert [label.get_text() for label in parts.get_yticklabels()] == list(rows["kind"]) == ["x", "y", "z", "all"]
    # The first stratum is at the top, and no bar is cut off.
    bottom, top = parts.get_ylim()
    assert top < -0.4
    assert len(rows) - 0.6 < bottom

    names = ["selection", "sharpening", "capability"] if told else ["selection", "improvement"]
    bars = [patch for container in parts.containers for patch in container if hasattr(patch, "get_width")]
    for name in names:
        colour = mpl.colors.to_rgb({"improvement": "#009E73"}.get(name) or style.MECHANISM_COLOURS[name])
        own = [bar for bar in bars if mpl.colors.to_rgb(bar.get_facecolor()) == colour]
        for row, values in rows.iterrows():
            plain, hatched = ([b for b in own if row_of(b) == row and bool(b.get_hatch()) == h] for h in (False, True))
            value = values[name]
            if told or values["identified"]:
                assert [extent(bar) for bar in plain] == [pytest.approx(sorted((0, value)))]
                assert not hatched
            else:
                least, most = values[f"{name}_least"], values[f"{name}_most"]
                assert [extent(bar) for bar in hatched] == [pytest.approx((least, most))]
                # The solid bar goes from zero to the nearer bound.
                near = least if least > 0 else min(most, 0)
                assert [extent(bar) for bar in plain] == [pytest.approx(sorted((0, near)), abs=1e-12)]
    for row in range(len(rows)):
        spans = sorted({(round(b.get_y(), 6), round(b.get_y() + b.get_height(), 6)) for b in bars if row_of(b) == row})
        assert len(spans) == len(names)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))
    (diamonds,) = (line for line in parts.lines if line.get_marker() == "D")
    assert diamonds.get_xydata().tolist() == [[change, row] for row, change in enumerate(rows["change"])]
    # An interval for each part and stratum.
    intervals = [segment for lines in parts.collections for segment in lines.get_segments()]
    found = sorted((s[0][0], s[-1][0]) for s in intervals if len(s) and not np.isnan(s).any())
    wanted = sorted((v[f"{n}_low"], v[f"{n}_high"]) for _, v in rows.iterrows() for n in names if v["n_problems"] > 1)
    assert np.array(found) == pytest.approx(np.array(wanted))
    legend = [text.get_text() for text in parts.get_legend().get_texts()]
    assert legend == [*names, "whole change", *([] if told else ["between bounds"])]

    strategies = sorted(set(result.strategies["strategy"]))
    assert [text.get_text() for text in shares.get_legend().get_texts()] == strategies
    stacked = [patch for container in shares.containers for patch in container]
    for row, kind in enumerate(rows["kind"]):
        own = result.strategies[result.strategies["kind"] == kind].set_index("strategy")
        for when, above in (("before", True), ("after", False)):
            side = [
                bar for bar in stacked if row_of(bar) == row and (bar.get_y() + bar.get_height() / 2 < row) == above
            ]
            assert [bar.get_width() for bar in side] == pytest.approx([own.loc[s, f"share_{when}"] for s in strategies])
            ends = np.cumsum([0.0, *(bar.get_width() for bar in side)])
            assert [bar.get_x() for bar in side] == pytest.approx(ends[:-1])
            assert ends[-1] == pytest.approx(1)
    rate = "told" if told else "pass_rate"
    open_dots, dots = (
        [line for line in rates.lines if (line.get_markerfacecolor() == "#ffffff") == is_open]
        for is_open in (True, False)
    )
    levels = []
    for strategy, *lines in zip(strategies, open_dots, dots, strict=True):
        own = result.strategies[result.strategies["strategy"] == strategy]
        for when, line in zip(("before", "after"), lines, strict=True):
            np.testing.assert_allclose(line.get_xdata(), own[f"{rate}_{when}"])
            assert [round(y) for y in line.get_ydata()] == [0, 1, 2, 3]
        levels.append(tuple(lines[0].get_ydata()))
    assert len(set(levels)) == len(strategies)
    assert shares.get_xlim() == rates.get_xlim() == (0, 1)
    assert len({figure.get_size_inches()[1], draw_split(split(before, after, n_bootstrap=2)).get_size_inches()[1]}) == 2
    figure.savefig(io.BytesIO())
    boxes = [panel.get_legend().get_window_extent() for panel in (parts, shares)]
    assert not boxes[0].overlaps(boxes[1])
    for panel, box in zip((parts, shares), boxes, strict=True):
        # Above its own panel, and on the page.
        assert box.y0 >= panel.bbox.y1
        assert panel.bbox.x0 - 40 < box.x0 < panel.bbox.x1
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


def test_a_split_whose_parts_are_identified_has_no_bounds_and_one_without_strata_no_names():
    table = generations(BEFORE)
    figure = draw_split(split(table, table, n_bootstrap=2))
    parts = figure.axes[0]
    assert [label.get_text() for label in parts.get_yticklabels()] == [""]
    assert "between bounds" not in [text.get_text() for text in parts.get_legend().get_texts()]
