"""The tables of docs/scale.md, all from the measured rows. Times are milliseconds a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.report import number, table
from bench.scale.fit import (
    TRANSPORTS,
    link_of,
    seconds,
    step_alone,
    step_together,
    transports,
    with_delay,
)
from bench.scale.measure import ALONE, BATCH, Row
from bench.scale.model import NETWORKS, Link, Step

STRONG, WEAK = (1, 2, 8, 64), (1, 8, 64, 1024)  # ranks
SHORT = ("100 Gbit/s", "10 Gbit/s")  # of `NETWORKS`
CHANGED = "changed: efficiencies"
LARGE, MANY = 100_000_000, 8192  # parameters, and rows of a batch


def ms(value: float) -> str:
    """Seconds as milliseconds."""
    return number(1e3 * value, 2 if value < 0.1 else 0)


def tables(rows: Sequence[Row]) -> dict[str, list[str]]:
    """By name, each table as Markdown."""
    return {
        "scale-parts": parts(rows),
        "scale-links": links(rows),
        "scale-delay": delays(rows),
        "scale-alone": alone(rows),
        "scale-strong": strong(step_alone(rows)),
        "scale-weak": weak(step_alone(rows)),
        "scale-large": large(step_alone(rows).larger(LARGE)),
    }


def parts(rows: Sequence[Row]) -> list[str]:
    """What a step of one process is made of."""
    step = step_alone(rows)
    cells = [step.fixed, step.whole * BATCH, step.each * BATCH, step.update]
    head = ["", "fixed", "all rows", "own rows", "optimizers", "step"]
    line = ["one process", *map(ms, cells), ms(step.compute(1, BATCH))]
    return table(head, [line])


def links(rows: Sequence[Row]) -> list[str]:
    """Latency and bandwidth of each transport, and of the networks that are assumed."""
    found = {TRANSPORTS[name]: link_of(rows, name) for name in transports(rows)}
    lines = [
        [name, number(1e6 * link.latency, 1), number(link.bandwidth / 1e9, 2)]
        for name, link in {**found, **NETWORKS}.items()
    ]
    return table(["", "latency, µs", "bandwidth, GB/s"], lines)


def delays(rows: Sequence[Row]) -> list[str]:
    """Steps of two processes: measured, the sum of the parts; and with 1 ms in each exchange."""
    head = ["", "step", "sum of the parts", "slower by", "exchanges"]
    head += ["with 1 ms in each", "model", "error"]
    lines = []
    for name in transports(rows):
        step, link = step_together(rows, name), link_of(rows, name)
        count, measured, modelled = with_delay(rows, name)
        lines.append(
            [
                TRANSPORTS[name],
                ms(seconds(rows, "step", transport=name)),
                ms(replace(step, slower=1.0).seconds(2, BATCH, link)),
                percent_of(step.slower - 1.0),
                number(count, 0),
                ms(measured),
                ms(modelled),
                percent_of(modelled / measured - 1.0),
            ]
        )
    return table(head, lines)


def percent_of(share: float) -> str:
    """A difference in whole percent, with its sign."""
    return f"{100 * share:+.0f} %"


def alone(rows: Sequence[Row]) -> list[str]:
    """What the share of one of p ranks takes to compute: measured, and the fit to 1 and 2."""
    step = step_alone(rows)
    lines = []
    for p in ALONE:
        measured, modelled = seconds(rows, "alone", ranks=p, batch=BATCH), step.compute(p, BATCH)
        lines.append([str(p), number(BATCH / p, 0), ms(measured), ms(modelled)])
        lines[-1].append(percent_of(modelled / measured - 1.0))
    return table(["ranks", "rows of each", "measured", "model", "error"], lines)


def strong(step: Step) -> list[str]:
    """One batch of 100 rows among p ranks."""
    head = ["ranks", "rows of each", "not divided", "own rows", *columns_of_networks()]
    lines = []
    for p in STRONG:
        own = step.each * BATCH / p
        cells = [str(p), number(BATCH / p, 0 if BATCH % p == 0 else 1)]
        cells += [ms(step.compute(p, BATCH) - own), ms(own)]
        lines.append([*cells, *on_networks(step, p, BATCH, BATCH)])
    return table(head, lines)


def weak(step: Step) -> list[str]:
    """A hundred rows for each of p ranks; and if each drew and read its own rows alone."""
    head = ["ranks", "all rows", "the rest", *columns_of_networks(), CHANGED]
    lines = []
    for p in WEAK:
        everywhere = step.whole * BATCH * p
        cells = [f"{p:,}", ms(everywhere), ms(step.compute(p, BATCH * p) - everywhere)]
        cells += on_networks(step, p, BATCH * p, BATCH)
        lines.append([*cells, efficiencies(own_rows_alone(step), p, BATCH * p, BATCH)])
    return table(head, lines)


def own_rows_alone(step: Step) -> Step:
    """The step if a rank drew and read only its rows."""
    return replace(step, whole=0.0, each=step.each + step.whole)


def large(step: Step) -> list[str]:
    """A batch of 8,192 rows, 10^8 parameters; and if ranks drew and updated their part alone."""
    head = ["ranks", "own rows", "all rows", "optimizers", *columns_of_networks(), CHANGED]
    lines = []
    for p in WEAK:
        cells = [f"{p:,}", *map(ms, (step.each * MANY / p, step.whole * MANY, step.update))]
        changed = replace(own_rows_alone(step), divided=True)
        cells += on_networks(step, p, MANY, MANY)
        lines.append([*cells, efficiencies(changed, p, MANY, MANY)])
    return table(head, lines)


def columns_of_networks() -> list[str]:
    """The heads of `on_networks`."""
    return [f"{name}: {what}" for name in SHORT for what in ("sums", "step", "efficiency")]


def on_networks(step: Step, p: int, batch: int, alone: int) -> list[str]:
    """Sums, step and efficiency on each network."""
    cells = []
    for link in NETWORKS.values():
        cells += [ms(step.exchanges(p, link)), ms(step.seconds(p, batch, link))]
        cells.append(efficiency(step, p, batch, alone, link))
    return cells


def efficiency(step: Step, p: int, batch: int, alone: int, link: Link) -> str:
    """In percent, for a cell."""
    return f"{100 * step.efficiency(p, batch, link, alone):.0f} %"


def efficiencies(step: Step, p: int, batch: int, alone: int) -> str:
    """Those of both networks."""
    return ", ".join(efficiency(step, p, batch, alone, link) for link in NETWORKS.values())
