import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { KeyType } from '../../actors/index.ts'
import * as pk from '../../nf-apps/packet/index.ts'
import { FlowKey, Ip } from '../../nf-apps/packet/index.ts'

const word = fc.integer({ min: 0, max: 0xffff_ffff })
const half = fc.integer({ min: 0, max: 0xffff })
const ip = fc.oneof(
  word.map(Ip.v4),
  fc
    .tuple(word, word, word, word)
    .filter(([a, b, c]) => a + b + c > 0)
    .map((w) => new Ip(...w)),
  fc
    .array(fc.constantFrom(0, 1, 0xffff, 0x1_0000), { minLength: 4, maxLength: 4 })
    .map((w) => new Ip(...w)),
)
const flowKey = fc
  .record({ src: ip, dst: ip, srcPort: half, dstPort: half, protocol: half, vlan: fc.nat(0xfff) })
  .map(({ src, dst, ...rest }) => {
    const key = Object.assign(new FlowKey(), rest)
    key.src.copy(src)
    key.dst.copy(dst)
    return key
  })

function written<K>(type: KeyType<K>, key: K, at = 0): { words: Uint32Array; hash: number } {
  const words = new Uint32Array(type.words)
  const hash = type.write(key, words)
  const shifted = new Uint32Array(at + type.words)
  shifted.set(words, at)
  return { words: shifted, hash }
}

/** What every key type owes: the same key by way of words, and by way of text. */
function holds<K>(type: KeyType<K>, keys: fc.Arbitrary<K>): void {
  fc.assert(
    fc.property(keys, fc.nat(5), (key, at) => {
      const { words, hash } = written(type, key, at)
      expect(Number.isInteger(hash) && hash >= 0 && hash <= 0xffff_ffff).toBe(true)
      const read = type.read(words, at)
      expect(written(type, read, at)).toEqual({ words, hash })
      const parsed = type.parse(type.text(read))
      expect(written(type, parsed, at)).toEqual({ words, hash })
      expect(type.text(parsed)).toBe(type.text(read))
    }),
  )
}

describe('keys come back from words and from text', () => {
  const portKey = fc.record({ protocol: half, port: half })
  const subnet = fc.tuple(ip, fc.nat(128)).map(([a, n]) => new pk.Subnet(a, a.v4 ? n % 33 : n))
  it('flow', () => holds(pk.flow, flowKey))
  it('symmetric flow', () => holds(pk.symmetricFlow, flowKey))
  it('UDP flow', () => holds(pk.udpFlow, flowKey))
  it('ip', () => holds(pk.ip, ip))
  it('port', () => holds(pk.port, portKey))
  it('subnet', () => holds(pk.subnet, subnet))
  it('mac', () => holds(pk.mac, fc.integer({ min: 0, max: 0xffff_ffff_ffff })))
  it('hash32', () => holds(pk.hash32, word))
})

describe('flow keys', () => {
  it('hash alike in both directions, whatever their VLAN', () => {
    fc.assert(
      fc.property(flowKey, fc.nat(0xfff), (key, vlan) => {
        const back = key.clone().reverse()
        back.vlan = vlan
        const hashes = [key, back].flatMap((k) => [
          written(pk.flow, k),
          written(pk.symmetricFlow, k),
        ])
        expect(new Set(hashes.map(({ hash }) => hash)).size).toBe(1)
        back.vlan = key.vlan
        expect(written(pk.symmetricFlow, back)).toEqual(written(pk.symmetricFlow, key))
        expect(back.reverse().equals(key)).toBe(true)
      }),
    )
  })
})

describe('keys that are compared where they lie', () => {
  const port = fc.constantFrom(0, 1, 80)
  const address = fc.constantFrom(0x0a000001, 0x0a000002, 0xff000001)
  const frames = fc
    .tuple(address, address, port, port, fc.constantFrom(1, 6, 17), fc.constantFrom(0, 0x2000))
    .map(([src, dst, from, to, protocol, fragment]) => {
      const bytes = new Uint8Array(14 + 40)
      const view = new DataView(bytes.buffer)
      view.setUint16(12, 0x0800)
      view.setUint32(14, 0x45000028)
      view.setUint16(20, fragment)
      view.setUint16(22, 0x4000 + protocol)
      view.setUint32(26, src)
      view.setUint32(30, dst)
      view.setUint16(34, from)
      view.setUint16(36, to)
      bytes[46] = 0x50
      return bytes
    })
  const vlan = fc.constantFrom(0, 7)
  const keyOf = (bytes: Uint8Array, vlan: number) => {
    const p = new pk.Packet()
    p.load(bytes, 0, bytes.length, pk.LINK_ETHERNET, bytes.length, 0, 0, 0, 0)
    p.hash = pk.steeringHash(p)
    p.isStamped = true
    const key = pk.symmetricFlowOf(p)
    key.vlan = vlan
    return key
  }

  it('are those that would have been written, or say that they are to be written', () => {
    const { inPlace } = pk.symmetricFlow
    let compared = 0
    fc.assert(
      fc.property(frames, frames, vlan, vlan, (a, b, va, vb) => {
        const [other, { words, hash }] = [keyOf(a, va), written(pk.symmetricFlow, keyOf(b, vb))]
        if (!inPlace?.isReady(other)) return
        const own = inPlace.hash(other) >>> 0
        compared++
        const is = inPlace.is(other, new Int32Array(words.buffer), 0)
        const wouldWrite = written(pk.symmetricFlow, other)
        expect(own).toBe(wouldWrite.hash)
        expect(is).toBe(String(wouldWrite.words) === String(words))
        if (is) expect(own).toBe(hash)
      }),
      { numRuns: 2_000 },
    )
    expect(compared).toBeGreaterThan(100)
  })
})

describe('addresses and subnets', () => {
  it('are ordered as their bytes', () => {
    const number = (x: Ip) => [x.a, x.b, x.c, x.d].reduce((n, w) => (n << 32n) | BigInt(w), 0n)
    fc.assert(
      fc.property(ip, ip, (x, y) => {
        const expected = number(x) < number(y) ? -1 : number(x) > number(y) ? 1 : 0
        expect(Math.sign(x.compare(y))).toBe(expected)
        expect(x.equals(y)).toBe(expected === 0)
      }),
    )
  })

  it('contain what shares the prefix, bit by bit', () => {
    fc.assert(
      fc.property(ip, fc.nat(128), fc.nat(127), (address, bits, flip) => {
        const width = address.v4 ? 32 : 128
        const prefix = bits % (width + 1)
        const net = new pk.Subnet(address, prefix)
        const at = flip % width
        const other = flipBit(address, width === 32 ? at + 96 : at)
        fc.pre(other.v4 === address.v4)
        expect(net.contains(address)).toBe(true)
        expect(net.contains(other)).toBe(at >= prefix)
      }),
    )
  })

  function flipBit(ip: Ip, bit: number): Ip {
    const words = [ip.a, ip.b, ip.c, ip.d]
    words[bit >>> 5] = (words[bit >>> 5]! ^ (1 << (31 - (bit & 31)))) >>> 0
    return new Ip(words[0], words[1], words[2], words[3])
  }
})

describe('checksums', () => {
  it('updated are the checksums computed anew', () => {
    const pairs = fc.uint8Array({ minLength: 8, maxLength: 60 })
    fc.assert(
      fc.property(pairs, fc.nat(), word, (bytes, where, value) => {
        // A sum of nothing but zeros has two checksums; headers are never all zeros.
        bytes[0] = 0x45
        const at = 2 + 2 * (where % ((bytes.length - 4) >>> 1))
        const before = pk.checksum(bytes, 0, bytes.length)
        const old = new DataView(bytes.buffer).getUint32(at)
        new DataView(bytes.buffer).setUint32(at, value)
        const after = pk.checksum(bytes, 0, bytes.length)
        expect(pk.updateChecksum32(before, old, value)).toBe(after)
      }),
    )
  })

  it('are sums of 16-bit words with the carries brought round', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(40), (bytes, start) => {
        const from = Math.min(start, bytes.length)
        let sum = 0
        for (let i = from; i < bytes.length; i += 2) {
          sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0)
          if (sum > 0xffff) sum -= 0xffff
        }
        expect(pk.checksum(bytes, from, bytes.length)).toBe(0xffff - sum)
      }),
    )
  })
})
