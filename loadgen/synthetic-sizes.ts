/** The shape of the seed's flow sizes. */
const ALPHA = 1.3
/**
 * Sizes are cut at the 99th percentile of the law whose least size is 3. The seed's second law, whose least size is 1,
 * has its stated mean with the same cut: 8.6 and 3.2 packets (8.58 and 3.22 exactly).
 */
const CUT = 3 * 100 ** (1 / ALPHA)

/** Flow sizes in packets: Pareto, at least `least`, truncated at the cut, rounded. */
export class FlowSizes {
  readonly mean: number
  private readonly least: number
  /** Share of the whole law that lies below the cut. */
  private readonly kept: number

  constructor(least: number) {
    this.least = least
    this.kept = 1 - (least / CUT) ** ALPHA
    let sum = 0
    const largest = Math.round(CUT)
    for (let size = least; size <= largest; size++)
      sum += size * (this.share(size + 0.5) - this.share(size - 0.5))
    this.mean = sum
  }

  /** The size at the quantile `u`, 0 ≤ u < 1. */
  at(u: number): number {
    return Math.round(this.least * (1 - u * this.kept) ** (-1 / ALPHA))
  }

  /** Share of the flows whose size is under `x` before it is rounded. */
  private share(x: number): number {
    if (x <= this.least) return 0
    return x >= CUT ? 1 : (1 - (this.least / x) ** ALPHA) / this.kept
  }
}

/** The largest `least` that leaves the law a tail before its cut at 103 packets. */
export const LEAST_MAX = 100
