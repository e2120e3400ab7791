"""The table of faults, which pytest prints after the tests."""

from collections import Counter

OUTCOMES = ("the same", "named", "skipped", "failed")


def write_table(terminalreporter) -> None:
    counts, reasons = Counter(), Counter()
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            said = dict(getattr(report, "user_properties", ()))
            if "fault" in said:
                counts[*said["fault"], said.get("outcome") if outcome == "passed" else outcome] += 1
                if outcome == "skipped":
                    reasons[report.longrepr[2]] += 1
    if not counts:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line("| fault | stage | " + " | ".join(OUTCOMES) + " |\n|:--|:--|" + "--:|" * len(OUTCOMES))
    for name, stage in dict.fromkeys(key[:2] for key in sorted(counts)):
        cells = [str(counts[name, stage, outcome] or "") for outcome in OUTCOMES]
        terminalreporter.write_line(f"| {name} | {stage} | " + " | ".join(cells) + " |")
    totals = [sum(n for key, n in counts.items() if key[2] == outcome) for outcome in OUTCOMES]
    terminalreporter.write_line("| all | | " + " | ".join(map(str, totals)) + " |")
    for reason, n in reasons.items():
        terminalreporter.write_line(f"{n} skipped: {reason}")
