import { mix } from '../../actors/index.ts'
import { BLOCK } from './pool.ts'

const BITS = 14
const SHIFT = 32 - BITS

/** Numbers by number; of two that fall on one place the later one stays. */
class Latest {
  private readonly keys = new Float64Array(1 << BITS)
  private readonly values = new Float64Array(1 << BITS)

  /** 0 where nothing is known. Keys are not 0. */
  get(key: number): number {
    const at = placeOf(key)
    return this.keys[at] === key ? this.values[at]! : 0
  }
  set(key: number, value: number): void {
    const at = placeOf(key)
    this.keys[at] = key
    this.values[at] = value
  }
}

const placeOf = (key: number) => mix((key >>> 0) ^ Math.imul(key / 2 ** 32, 0x9e3779b1)) >>> SHIFT

/**
 * What an instance has heard of who has which ports, from answers to its packets: it spares most packets from outside the question to
 * the pool, and most new flows a second one to the host. It may be out of date: a wrong host says that it has no such
 * port, and of wrong ports it takes none. So nothing but the number of calls depends on it.
 */
export class Hints {
  private readonly hosts = new Latest()
  private readonly blocks = new Latest()

  learn(protocol: number, host: number, end: number): void {
    const block = end - (end % BLOCK)
    this.hosts.set(keyOf(protocol, block), host)
    this.blocks.set(keyOf(protocol, host), block)
  }

  /** An inside host that has ports of this one's block; 0: none is known. */
  hostOf(protocol: number, end: number): number {
    return this.hosts.get(keyOf(protocol, end - (end % BLOCK)))
  }

  /** The first public end of a block of which this host has ports; 0: none is known. */
  blockOf(protocol: number, host: number): number {
    return this.blocks.get(keyOf(protocol, host))
  }
}

/** Protocols are below 18, words and blocks' ends below 2^48. */
const keyOf = (protocol: number, value: number) => value * 32 + protocol
