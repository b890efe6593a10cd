import fc from 'fast-check'
import { build } from '../../nf-apps/packet/index.ts'

/** One packet of a generated script, as it is told when a script fails. */
export interface ScriptPacket {
  readonly flow: number
  /** From the flow's server to its client. */
  readonly back: boolean
  readonly what: 'udp' | 'syn' | 'ack' | 'data' | 'fin' | 'rst'
  readonly bytes: number
}

/** What happens in a generated script: packets one after the other, and instances that come and go between them. */
export type Step =
  | { readonly do: 'packet'; readonly packet: ScriptPacket }
  | { readonly do: 'join' }
  | { readonly do: 'leave' }
  | { readonly do: 'wait'; readonly ms: number }

/** Hosts that flows are between: few, so that they share them. */
const HOSTS = 4

const FLAGS = { syn: 0x02, ack: 0x10, data: 0x18, fin: 0x11, rst: 0x04 } as const

/** Packets of some few flows: TCP in any order of its flags, and UDP. */
export function packets(flows = 6): fc.Arbitrary<ScriptPacket> {
  return fc.record({
    flow: fc.nat(flows - 1),
    back: fc.boolean(),
    what: fc.constantFrom('udp', 'syn', 'ack', 'data', 'fin', 'rst'),
    bytes: fc.nat(200),
  })
}

/** Scripts of packets under a random schedule of scaling. */
export function scripts(stepsMax = 120, packet = packets()): fc.Arbitrary<Step[]> {
  const step = fc.oneof(
    { weight: 12, arbitrary: packet.map((p): Step => ({ do: 'packet', packet: p })) },
    { weight: 1, arbitrary: fc.constant<Step>({ do: 'join' }) },
    { weight: 1, arbitrary: fc.constant<Step>({ do: 'leave' }) },
    { weight: 1, arbitrary: fc.nat(20).map((ms): Step => ({ do: 'wait', ms })) },
  )
  return fc.array(step, { maxLength: stepsMax, size: 'max' })
}

/** The packet's bytes, as an Ethernet frame. */
export function frameOf({ flow, back, what, bytes }: ScriptPacket): Uint8Array {
  const client = `10.0.0.${1 + (flow % HOSTS)}`
  const server = `10.0.1.${1 + ((flow * 7) % HOSTS)}`
  const ports = back ? { srcPort: 80, dstPort: 1024 + flow } : { srcPort: 1024 + flow, dstPort: 80 }
  const ends = back ? { src: server, dst: client } : { src: client, dst: server }
  const payload = new Uint8Array(what === 'udp' || what === 'data' ? bytes : 0)
  const part =
    what === 'udp'
      ? build.udp(ports, payload)
      : build.tcp({ ...ports, flags: FLAGS[what] }, payload)
  return build.ethernet({}, build.ipv4(ends, part))
}

/** One line of a script, for people. */
export function told(step: Step): string {
  if (step.do === 'wait') return `wait ${Number(step.ms.toFixed(1))} ms`
  if (step.do !== 'packet') return `an instance ${step.do === 'join' ? 'joins' : 'leaves'}`
  const { flow, back, what, bytes } = step.packet
  const size = what === 'udp' || what === 'data' ? ` ${bytes} B` : ''
  return `packet of flow ${flow} ${back ? 'back' : 'forth'}: ${what}${size}`
}
