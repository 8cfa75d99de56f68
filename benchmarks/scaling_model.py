"""What a sum over many GPUs should take by the alpha-beta model, and how well a step then scales.

Sending n bytes takes alpha + n / b seconds: alpha is the latency of a hop, b the bandwidth. The
formulas are those of Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication
Operations in MPICH", International Journal of High Performance Computing Applications 19 (2005),
section 4, with b for 1 / beta, and without their time for adding up. Each collective costs a fixed
time beside.

Usage: python -m benchmarks distributed model [--gpus 8,64,512,1024,4096] [--gpus-per-node 8]
[--intra-bandwidth 360] [--intra-latency 3] [--inter-bandwidth 42] [--inter-latency 6]
[--overhead 15] [--bucket 25] [--hidden 0.6] [--models 669706:0.05,124e6:35]

Bandwidths are in GB/s for each GPU, latencies and the overhead in µs, buckets in MB. A model is its
number of parameters and the milliseconds of a step on one GPU. All are assumptions: none of it is
measured.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

GPUS = (8, 64, 512, 1024, 4096)

MODELS = ((669_706, 0.05e-3), (669_706, 0.6e-3), (124_000_000, 35e-3), (124_000_000, 9e-3))
"""Parameters, and the seconds of a step on one GPU: 784-512-512-10 with 128 and with 8,192 samples
a GPU, and a model of the size of GPT-2's smallest with a long and a short step."""


@dataclass(frozen=True)
class Link:
    """What carries messages between two neighbours.

    Attributes
    ----------
    latency : float
        Seconds that a message takes beside its bytes: alpha.
    bandwidth : float
        Bytes a second: b.
    """

    latency: float
    bandwidth: float


def ring(n: float, p: int, link: Link) -> float:
    """The seconds of an all-reduce of n bytes over a ring of p.

    Notes
    -----
    2 (p - 1) alpha + 2 (p - 1) / p * n / b: a reduce-scatter and an all-gather, each of p - 1 steps
    of n / p bytes (section 4, the ring algorithms of both).
    """
    return 2 * (p - 1) * link.latency + 2 * (p - 1) / p * n / link.bandwidth


def tree(n: float, p: int, link: Link) -> float:
    """The seconds of an all-reduce of n bytes up a binomial tree of p and down again.

    Notes
    -----
    2 ceil(log2 p) (alpha + n / b): a reduction, then a broadcast, whose steps send all n bytes
    (section 4, the binomial trees of both).
    """
    return 2 * _levels(p) * (link.latency + n / link.bandwidth)


def halving(n: float, p: int, link: Link) -> float:
    """The seconds of an all-reduce of n bytes by recursive halving and doubling over p.

    Notes
    -----
    2 ceil(log2 p) alpha + 2 (p - 1) / p * n / b: Rabenseifner's algorithm, a reduce-scatter by
    recursive halving and an all-gather by recursive doubling (section 4, on all-reduce). What p
    costs beside where it is no power of two is left out.
    """
    return 2 * _levels(p) * link.latency + 2 * (p - 1) / p * n / link.bandwidth


def _levels(p: int) -> int:
    return (p - 1).bit_length()


@dataclass(frozen=True)
class Cluster:
    """Nodes with several GPUs each, and what connects them.

    Attributes
    ----------
    intra, inter : Link
        Between two GPUs of a node, and from a GPU to one of another node.
    gpus_per_node : int
    overhead : float
        Seconds of each collective beside its hops: a launch, and the wait for the last to come.
    """

    intra: Link = Link(3e-6, 360e9)
    inter: Link = Link(6e-6, 42e9)
    gpus_per_node: int = 8
    overhead: float = 15e-6

    def nodes(self, p: int) -> int:
        """How many nodes p GPUs are.

        Raises
        ------
        ValueError
            They fill one, and leave another partly empty.
        """
        if p > self.gpus_per_node and p % self.gpus_per_node:
            raise ValueError(
                f"{p} GPUs do not fill nodes of {self.gpus_per_node}; choose a multiple of it."
            )
        return -(-p // self.gpus_per_node)

    def ring(self, n: float, p: int) -> float:
        """The seconds of an all-reduce over rings through all GPUs.

        Notes
        -----
        As many rings as a node has GPUs, so that each network card carries one: b is the least of
        the intra-node bandwidth and of all cards of a node together. One hop in so many goes to
        another node; alpha is the mean.
        """
        if p == 1:
            return 0.0
        each = self.gpus_per_node
        if self.nodes(p) == 1:
            link = self.intra
        elif each == 1:
            link = self.inter
        else:
            latency = ((each - 1) * self.intra.latency + self.inter.latency) / each
            link = Link(latency, min(self.intra.bandwidth, each * self.inter.bandwidth))
        return self.overhead + ring(n, p, link)

    def tree(self, n: float, p: int) -> float:
        """The seconds of an all-reduce over a binomial tree in each node and one between them."""
        if p == 1:
            return 0.0
        nodes = self.nodes(p)
        within = tree(n, p // nodes, self.intra)
        return self.overhead + within + tree(n, nodes, self.inter)

    def hierarchical(self, n: float, p: int) -> float:
        """The seconds of an all-reduce in three stages.

        Notes
        -----
        A reduce-scatter within the node, an all-reduce of each GPU's n / g bytes among the GPUs of
        its place in all nodes, and an all-gather within the node. The first and the last make a
        `ring` of the node's g GPUs; between the nodes it is `halving`.
        """
        if p == 1:
            return 0.0
        nodes = self.nodes(p)
        within = p // nodes
        between = halving(n / within, nodes, self.inter)
        return self.overhead + ring(n, within, self.intra) + between

    def all_reduce(self, n: float, p: int) -> float:
        """The seconds of the fastest of the three."""
        return min(self.ring(n, p), self.tree(n, p), self.hierarchical(n, p))


@dataclass(frozen=True)
class Overlap:
    """How sums are hidden behind the backward pass.

    Attributes
    ----------
    bucket : float
        Bytes that are summed at a time.
    hidden : float
        The part of a step's time that sums can go on beside: the backward pass but its first layer.
    """

    bucket: float = 25e6
    hidden: float = 0.6

    def exposed(self, n: float, step: float, all_reduce: Callable[[float], float]) -> float:
        """The seconds that a step of its own `step` seconds waits for the sums of n bytes.

        Notes
        -----
        Buckets are summed one after the other. The last one waits for the backward pass' end, so
        it is never hidden; nor is what does not fit into the part of the step.
        """
        whole, rest = divmod(n, self.bucket)
        last = all_reduce(rest or min(n, self.bucket))
        largest = all_reduce(self.bucket) if whole else last
        total = whole * largest + (last if rest else 0.0)
        return max(last, total - self.hidden * step)


def efficiency(step: float, waits: float) -> float:
    """Samples a second for each GPU, over those of one GPU alone."""
    return step / (step + waits)


def fitted(points: Sequence[tuple[int, int, float]]) -> Link:
    """The latency and bandwidth that explain measured sums.

    Parameters
    ----------
    points : sequence of (calls, bytes, seconds)
        What each took, as so many collectives.

    Returns
    -------
    Link
        seconds = calls * latency + bytes / bandwidth, with the least squares of the relative
        errors. A latency or a time for a byte below 0 becomes 0.

    Raises
    ------
    ValueError
        There are fewer than two.
    """
    if len(points) < 2:
        raise ValueError(f"a line needs two points at least; got {len(points)}.")
    scaled = [(calls / seconds, n / seconds) for calls, n, seconds in points]
    aa, ab, bb = (sum(p[i] * p[j] for p in scaled) for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b = (sum(p[i] for p in scaled) for i in (0, 1))
    determinant = aa * bb - ab * ab
    latency, per_byte = (a * bb - b * ab) / determinant, (aa * b - ab * a) / determinant
    if latency < 0:
        latency, per_byte = 0.0, b / bb
    elif per_byte <= 0:
        latency, per_byte = a / aa, 0.0
    return Link(latency, 1 / per_byte if per_byte else math.inf)


def comparison(
    measured: Mapping[int, float], chosen: Collection[int], p: int, *, piece: int
) -> str:
    """What the model tells of sums over p processes beside what they took.

    Parameters
    ----------
    measured : mapping of int to float
        Seconds by bytes, of `nnfs_xp.distributed.Group.add`.
    chosen : collection of int
        The sizes that the model is fitted to; the others are left out of the fit.
    p : int
    piece : int
        The bytes that are summed at a time. Each piece is a collective, and one comes before them.
    """
    calls = {n: 1 + math.ceil(n / piece) for n in measured}
    link = fitted([(calls[n], n, measured[n]) for n in chosen])
    rows = []
    for n, seconds in measured.items():
        told = calls[n] * link.latency + n / link.bandwidth
        figures = f"{1000 * told:.3g}", f"{1000 * seconds:.3g}", f"{seconds / told:.2f}"
        rows.append([f"{n:,}", "fitted" if n in chosen else "left out", *figures])
    alpha, bandwidth = link.latency / (2 * (p - 1)), link.bandwidth * 2 * (p - 1) / p
    return (
        f"{1e6 * link.latency:.3g} µs a collective and {link.bandwidth / 1e9:.3g} GB/s; as a ring, "
        f"alpha = {1e6 * alpha:.3g} µs and b = {bandwidth / 1e9:.3g} GB/s. A sum is a collective "
        f"for each {piece / 2**20:g} MiB, and one before them.\n\n"
        + table(["bytes", "", "predicted, ms", "measured, ms", "ratio"], rows)
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def times(cluster: Cluster, sizes: Sequence[float], gpus: Sequence[int]) -> str:
    """The table of the sums' times; ideal are the bytes alone, at the bandwidth within a node."""
    columns = "MB", "GPUs", "ring, ms", "tree", "hierarchical", "ideal", "fastest of ideal"
    rows = []
    for n in sizes:
        for p in gpus:
            ways = cluster.ring(n, p), cluster.tree(n, p), cluster.hierarchical(n, p)
            ideal = ring(n, p, Link(0.0, cluster.intra.bandwidth))
            cells = [_short(1000 * each) for each in (*ways, ideal)]
            ratio = _short(min(ways) / ideal) if ideal else ""
            rows.append([f"{n / 1e6:.3g}", f"{p:,}", *cells, ratio])
    return table(columns, rows)


def efficiencies(
    cluster: Cluster,
    overlap: Overlap,
    models: Sequence[tuple[int, float]],
    gpus: Sequence[int],
    *,
    bytes_each: float = 4,
) -> str:
    """The table of the steps' efficiencies in per cent: what ideally were 100."""
    columns = "parameters", "step, ms", "GPUs", "plain", "overlapped", "half the bytes", "both"
    rows = []
    for size, step in models:
        for p in gpus:
            cells = [f"{size:,}", f"{1000 * step:g}", f"{p:,}"]
            for n in (bytes_each * size, bytes_each * size / 2):
                plain = cluster.all_reduce(n, p)
                hidden = overlap.exposed(n, step, partial(cluster.all_reduce, p=p))
                cells += [
                    f"{100 * efficiency(step, each):.0f}" for each in (plain, min(plain, hidden))
                ]
            rows.append(cells)
    return table(columns, rows)


def _short(value: float) -> str:
    """Two digits that count, or all of a larger number."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def _models(text: str) -> tuple[tuple[int, float], ...]:
    pairs = (each.split(":") for each in text.split(","))
    return tuple((int(float(size)), float(ms) / 1000) for size, ms in pairs)


def main() -> None:
    """Print the tables of the model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks distributed model")
    parser.add_argument("--gpus", type=_counts, default=GPUS)
    parser.add_argument("--gpus-per-node", type=int, default=8)
    parser.add_argument("--intra-bandwidth", type=float, default=360, help="GB/s")
    parser.add_argument("--intra-latency", type=float, default=3, help="µs a hop")
    parser.add_argument("--inter-bandwidth", type=float, default=42, help="GB/s a GPU")
    parser.add_argument("--inter-latency", type=float, default=6, help="µs a hop")
    parser.add_argument("--overhead", type=float, default=15, help="µs a collective")
    parser.add_argument("--bucket", type=float, default=25, help="MB")
    parser.add_argument("--hidden", type=float, default=0.6, help="the part of a step")
    parser.add_argument("--bytes-each", type=float, default=4, help="bytes of a parameter")
    parser.add_argument("--models", type=_models, default=MODELS, help="parameters:ms,...")
    options = parser.parse_args()
    cluster = Cluster(
        Link(options.intra_latency / 1e6, options.intra_bandwidth * 1e9),
        Link(options.inter_latency / 1e6, options.inter_bandwidth * 1e9),
        options.gpus_per_node,
        options.overhead / 1e6,
    )
    overlap = Overlap(options.bucket * 1e6, options.hidden)
    try:
        for p in options.gpus:
            cluster.nodes(p)
    except ValueError as error:
        parser.error(str(error))
    print(
        "By the alpha-beta model, none of it measured: "
        f"{cluster.gpus_per_node} GPUs a node; within it {options.intra_bandwidth:g} GB/s and "
        f"{options.intra_latency:g} µs a hop, between nodes {options.inter_bandwidth:g} GB/s a GPU "
        f"and {options.inter_latency:g} µs; {options.overhead:g} µs a collective; the fastest way; "
        f"buckets of {options.bucket:g} MB, {100 * options.hidden:g} % of a step can hide them.\n"
    )
    sizes = dict.fromkeys(options.bytes_each * size for size, _ in options.models)
    print("An all-reduce; ideal are the bytes alone, at the bandwidth within a node.\n")
    print(times(cluster, list(sizes), options.gpus))
    print("\nEfficiency of a step in %, where each GPU has as many samples as one alone.\n")
    print(
        efficiencies(cluster, overlap, options.models, options.gpus, bytes_each=options.bytes_each)
    )


if __name__ == "__main__":
    main()
