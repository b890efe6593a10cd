/**
 * The load generator's only source of chance: xoshiro128** (Blackman and Vigna), whose state is spread from the seed
 * by splitmix32. The same seed gives the same numbers on every machine.
 */
export class Random {
  private a: number
  private b: number
  private c: number
  private d: number

  constructor(seed: number) {
    let state = Math.floor(seed / 0x1_0000_0000) | 0
    const spread = (): number => {
      state = (state + 0x9e3779b9) | 0
      let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
      return z ^ (z >>> 15)
    }
    this.a = spread()
    // The upper 21 bits of the seed are in `a`, all of it in the others: no two seeds have the same state.
    state ^= seed | 0
    this.b = spread()
    this.c = spread()
    this.d = spread()
  }

  /** 32 bits, unsigned. */
  u32(): number {
    const times5 = Math.imul(this.b, 5)
    const result = Math.imul((times5 << 7) | (times5 >>> 25), 9)
    const shifted = this.b << 9
    this.c ^= this.a
    this.d ^= this.b
    this.b ^= this.c
    this.a ^= this.d
    this.c ^= shifted
    this.d = (this.d << 11) | (this.d >>> 21)
    return result >>> 0
  }

  /** At least 0, less than 1, in steps of 2^-32. */
  unit(): number {
    return this.u32() / 0x1_0000_0000
  }

  /** A whole number below `n`; its bias is under n × 2^-32. */
  below(n: number): number {
    return Math.floor(this.unit() * n)
  }

  /** The time until the next event of a Poisson process. */
  exponential(mean: number): number {
    return -Math.log(1 - this.unit()) * mean
  }
}
