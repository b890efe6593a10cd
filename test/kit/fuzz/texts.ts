import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RehomeError } from '../../../bus/index.ts'
import {
  CaptureRecord,
  memoryFile,
  openCapture,
  parseSynthetic,
  type Random,
} from '../../../loadgen/index.ts'
import { compileTexts } from '../../../nf-apps/ids/index.ts'
import { nat, prads } from '../../../nf-apps/index.ts'
import {
  FINE,
  flowOf,
  NET_NONE,
  Packet,
  steeringHash,
  symmetricFlowOf,
} from '../../../nf-apps/packet/index.ts'
import { loadSignatures } from '../../../nf-apps/prads/index.ts'
import { checkout, PacketMutator, sample } from './corpus.ts'
import { mutateBytes, mutateNumber, mutateText, pick } from './mutate.ts'
import { ruleText } from './rule-corpus.ts'
import type { Block, Target } from './run.ts'

/** Runs what may refuse its input, by an error of ours that names it; true if it took it. */
function taken(work: () => unknown): boolean {
  try {
    work()
    return true
  } catch (error) {
    if (error instanceof RehomeError) return false
    throw error
  }
}

const target = (name: string, block: number, begin: (random: Random) => Block): Target => ({
  name,
  block,
  begin,
})

const packets = target('packets', 200_000, (random) => {
  const mutator = new PacketMutator(random)
  const p = new Packet()
  return {
    once() {
      mutator.next()
      const { bytes, end, linkType, wireLength, timeUs } = mutator
      p.load(bytes, 0, end, linkType, wireLength, timeUs, timeUs, 0, 0)
      steeringHash(p)
      symmetricFlowOf(p)
      flowOf(p)
      const inside = (at: number) => at >= -1 && at <= p.end
      if (!inside(p.l3Offset) || !inside(p.payloadOffset)) throw new Error('it points outside')
      return p.malformed === FINE && p.kind !== NET_NONE
    },
  }
})

/** Some packets of the sample, as a pcap and as a pcapng. */
let captureSeeds: Uint8Array[] | undefined
function captures(): Uint8Array[] {
  if (captureSeeds) return captureSeeds
  const pcap = new Uint8Array(readFileSync(sample).subarray(0, 24 * 1024))
  captureSeeds = [pcap, asPcapng(pcap)]
  return captureSeeds
}

function asPcapng(pcap: Uint8Array): Uint8Array {
  const blocks: Uint8Array[] = []
  const block = (type: number, body: Uint8Array) => {
    const length = 12 + Math.ceil(body.length / 4) * 4
    const bytes = new Uint8Array(length)
    const view = new DataView(bytes.buffer)
    view.setUint32(0, type, true)
    view.setUint32(4, length, true)
    bytes.set(body, 8)
    view.setUint32(length - 4, length, true)
    blocks.push(bytes)
  }
  block(0x0a0d0d0a, new Uint8Array([0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, ...Array(8).fill(255)]))
  block(1, new Uint8Array([1, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0]))
  const view = new DataView(pcap.buffer, pcap.byteOffset, pcap.length)
  for (let at = 24; at + 16 <= pcap.length; ) {
    const length = view.getUint32(at + 8, true)
    const body = new Uint8Array(20 + length)
    const head = new DataView(body.buffer)
    head.setUint32(4, 400_000, true)
    head.setUint32(12, length, true)
    head.setUint32(16, length, true)
    body.set(pcap.subarray(at + 16, at + 16 + length), 20)
    block(6, body)
    at += 16 + length
  }
  return new Uint8Array(Buffer.concat(blocks))
}

/** A capture reads to its end, each packet inside its bytes; there are no more packets than bytes. */
const captureTarget = target('captures', 2_000, (random) => {
  const record = new CaptureRecord()
  return {
    once() {
      const bytes = new Uint8Array(pick(captures(), random))
      const heads = random.below(3) === 0 ? 80 : bytes.length
      for (let n = 1 + random.below(6); n > 0; n--) mutateBytes(bytes, 0, heads, random)
      const cut = random.below(6) === 0 ? random.below(bytes.length) : bytes.length
      let read = 0
      taken(() => {
        const reader = openCapture(memoryFile(bytes.subarray(0, cut)))
        while (reader.next(record)) {
          if (++read > bytes.length) throw new Error('it does not end')
          if (record.end > record.bytes.length) throw new Error('a packet ends behind its bytes')
        }
        reader.close()
      })
      return read > 0
    },
  }
})

const ruleLines = ruleText.split('\n').filter((line) => line !== '')

/** Options of several rules, one left out, doubled or moved. */
function mutateOptions(line: string, random: Random): string {
  const options = (of: string) => of.slice(of.indexOf('(') + 1, -1).split(/(?<=;) /)
  const own = options(line)
  const others = options(pick(ruleLines, random))
  const at = random.below(own.length)
  const how = random.below(3)
  if (how === 0) own.splice(at, 1)
  else if (how === 1) own.splice(at, 0, pick(others, random))
  else own.push(own.splice(at, 1)[0] ?? '')
  return `${line.slice(0, line.indexOf('('))}(${own.join(' ')})`
}

const rules = target('rules', 2_000, (random) => ({
  once() {
    const line = pick(ruleLines, random)
    const how = random.below(4)
    const text =
      how === 0
        ? mutateText(line, ruleLines, random)
        : how === 1
          ? mutateNumber(line, random)
          : mutateOptions(line, random)
    // What is written as a rule is; what it asks for may still be refused.
    return taken(() => compileTexts([{ file: 'fuzz', text }]))
  },
}))

const ownSignatures = join(checkout, 'samples', 'signatures')

/** One file of the set has one line changed, or one twice and elsewhere; the others stay as they are. */
const signatures = target('signatures', 300, (random) => {
  const names = readdirSync(ownSignatures).filter((name) => /\.(fp|sig)$/.test(name))
  const texts = new Map(
    names.map((name) => [name, readFileSync(join(ownSignatures, name), 'latin1')]),
  )
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-'))
  const own = join(folder, 'signatures')
  mkdirSync(own)
  for (const [name, text] of texts) writeFileSync(join(own, name), text, 'latin1')
  return {
    once() {
      const name = pick(names, random)
      const lines = texts.get(name)!.split('\n')
      const at = random.below(lines.length)
      if (random.below(5) < 2) lines.splice(random.below(lines.length), 0, lines[at]!)
      else lines[at] = mutateText(lines[at]!, lines, random)
      writeFileSync(join(own, name), lines.join('\n'), 'latin1')
      const passed = taken(() => {
        const { problems } = loadSignatures(own)
        if (problems.length > 0) throw new RehomeError('bad-input', problems[0]!)
      })
      writeFileSync(join(own, name), texts.get(name)!, 'latin1')
      return passed
    },
    async end() {
      rmSync(folder, { recursive: true })
    },
  }
})

const natOptions: Record<string, string> = {
  pool: '192.0.2.1,198.51.100.0/30',
  inside: '10.0.0.0/8,192.168.1.7',
  ports: '1024-65535',
  filtering: 'address-and-port',
  'udp-timeout': '300',
  'tcp-timeout': '7440.5',
}
const pradsOptions: Record<string, string> = { switches: 'MAui', forget: '600', nets: '10.0.0.0/8' }
const synthetic = 'flows=10000,packets=500000,seed=1'

/** What a user writes on the command line: taken, or refused by an error that names it. */
const configs = target('configs', 5_000, (random) => {
  const mutated = (text: string, others: readonly string[]) =>
    random.below(3) === 0 ? mutateText(text, others, random) : mutateNumber(text, random)
  const changed = (from: Record<string, string>) => {
    const name = pick(Object.keys(from), random)
    return { ...from, [name]: mutated(from[name]!, Object.values(from)) }
  }
  const kinds = [
    () => nat.setup(changed(natOptions)),
    () => prads.setup({ ...changed(pradsOptions), signatures: ownSignatures }),
    () => parseSynthetic(mutated(synthetic, [synthetic])),
  ]
  return { once: () => taken(random.below(50) === 0 ? kinds[1]! : kinds[random.below(2) * 2]!) }
})

export const textTargets: readonly Target[] = [packets, captureTarget, rules, signatures, configs]
