/** Captures made byte by byte, in all the forms that programs write: for tests of what reads them. */

export const PCAP_US = 0xa1b2c3d4
export const PCAP_NS = 0xa1b23c4d
export const PCAP_MODIFIED = 0xa1b2cd34

export interface FixturePacket {
  readonly bytes: Uint8Array
  readonly wireLength: number
  readonly seconds: number
  /** µs or ns within the second, as the file counts. */
  readonly fraction: number
}

export interface PcapForm {
  readonly littleEndian: boolean
  readonly magic: number
  readonly linkType: number
  readonly snapLength?: number
  readonly version?: readonly [major: number, minor: number]
}

export function pcapBytes(form: PcapForm, packets: readonly FixturePacket[]): Uint8Array {
  const out = new Parts(form.littleEndian)
  const [major, minor] = form.version ?? [2, 4]
  out.u32(form.magic).u16(major).u16(minor).u32(0).u32(0)
  out.u32(form.snapLength ?? 262_144).u32(form.linkType)
  for (const packet of packets) {
    out.u32(packet.seconds).u32(packet.fraction).u32(packet.bytes.length).u32(packet.wireLength)
    // Interface index, protocol, packet type and a byte of padding.
    if (form.magic === PCAP_MODIFIED) out.u32(1).u16(0x0800).u16(0)
    out.raw(packet.bytes)
  }
  return out.bytes()
}

export interface FixtureInterface {
  readonly linkType: number
  readonly snapLength?: number
  /** The byte of if_tsresol; absent is µs. */
  readonly resolution?: number
  readonly offsetSeconds?: bigint
}

/** Writes pcapng block by block; nothing is checked, so broken files can be made too. */
export class PcapNgFixture {
  private littleEndian = true
  private readonly blocks: Uint8Array[] = []

  section(littleEndian = true, major = 1): this {
    this.littleEndian = littleEndian
    const body = this.parts().u32(0x1a2b3c4d).u16(major).u16(0).u32(0xffffffff).u32(0xffffffff)
    return this.block(0x0a0d0d0a, body.bytes())
  }

  interface(of: FixtureInterface): this {
    const body = this.parts().u16(of.linkType).u16(0)
    body.u32(of.snapLength ?? 0)
    option(body, 2, new TextEncoder().encode('fixture0'))
    if (of.resolution !== undefined) option(body, 9, Uint8Array.of(of.resolution))
    if (of.offsetSeconds !== undefined) {
      const value = this.parts()
      const words = [Number(of.offsetSeconds >> 32n) | 0, Number(of.offsetSeconds & 0xffffffffn)]
      for (const word of this.littleEndian ? words.reverse() : words) value.u32(word)
      option(body, 14, value.bytes())
    }
    return this.block(1, body.u16(0).u16(0).bytes())
  }

  enhanced(id: number, units: bigint, bytes: Uint8Array, wireLength = bytes.length): this {
    const body = this.parts().u32(id)
    stamp(body, units).u32(bytes.length).u32(wireLength).raw(bytes).pad()
    option(body, 2, Uint8Array.of(0, 0, 0, 1))
    return this.block(6, body.u16(0).u16(0).bytes())
  }

  old(id: number, units: bigint, bytes: Uint8Array, wireLength = bytes.length): this {
    const body = stamp(this.parts().u16(id).u16(3), units)
    return this.block(2, body.u32(bytes.length).u32(wireLength).raw(bytes).pad().bytes())
  }

  simple(bytes: Uint8Array, wireLength = bytes.length): this {
    return this.block(3, this.parts().u32(wireLength).raw(bytes).pad().bytes())
  }

  block(type: number, body: Uint8Array): this {
    const length = body.length + 12
    const out = this.parts().u32(type).u32(length).raw(body).u32(length)
    return this.raw(out.bytes())
  }

  raw(bytes: Uint8Array): this {
    this.blocks.push(bytes)
    return this
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.blocks)
  }

  private parts(): Parts {
    return new Parts(this.littleEndian)
  }
}

function stamp(body: Parts, units: bigint): Parts {
  return body.u32(Number(units >> 32n)).u32(Number(units & 0xffffffffn))
}

function option(body: Parts, code: number, value: Uint8Array): void {
  body.u16(code).u16(value.length).raw(value).pad()
}

/** Numbers and bytes one after the other, in the byte order of the fixture. */
class Parts {
  private readonly parts: Buffer[] = []
  private readonly littleEndian: boolean

  constructor(littleEndian: boolean) {
    this.littleEndian = littleEndian
  }

  u16(value: number): this {
    const word = Buffer.alloc(2)
    if (this.littleEndian) word.writeUInt16LE(value)
    else word.writeUInt16BE(value)
    this.parts.push(word)
    return this
  }

  u32(value: number): this {
    const word = Buffer.alloc(4)
    if (this.littleEndian) word.writeUInt32LE(value >>> 0)
    else word.writeUInt32BE(value >>> 0)
    this.parts.push(word)
    return this
  }

  raw(bytes: Uint8Array): this {
    this.parts.push(Buffer.from(bytes))
    return this
  }

  /** Zeros up to a multiple of four bytes. */
  pad(): this {
    const length = this.parts.reduce((sum, part) => sum + part.length, 0)
    this.parts.push(Buffer.alloc(-length & 3))
    return this
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.parts)
  }
}
