import * as fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { defineNF, numberKey, singleWriter, u32 } from '../../index.ts'
import { Kind } from '../../bus/index.ts'
import { inMacrotask, type SimCluster, simCluster, Transcript } from '../kit/index.ts'

const SHOWN: ReadonlySet<number> = new Set([
  Kind.ACQUIRE,
  Kind.GRANT,
  Kind.TRANSFER,
  Kind.STATE,
  Kind.RELEASE,
  Kind.PULL,
  Kind.SLOT,
  Kind.MARK,
  Kind.HOLD,
  Kind.DRAINED,
  Kind.FENCE,
  Kind.REPORT,
  Kind.RECOVERED,
  Kind.BYE,
  Kind.BYE_OK,
])

const Flow = singleWriter('flow', { turns: u32 })
const nf = defineNF('golden', {
  state: { flows: Flow.keyedBy(numberKey) },
  onPacket: () => 1,
})

interface Flows {
  with(key: number, turn: (s: { turns: number }) => void): unknown
}

/** A cluster of four slots, and what is told in it. */
class Scene {
  readonly transcript = new Transcript((kind) => SHOWN.has(kind))
  readonly cluster: SimCluster
  constructor(instances: number, seed = 1) {
    const { transcript } = this
    const { onMember } = transcript
    this.cluster = simCluster({ seed, nf: () => nf, slotBits: 2, onMember }, instances)
    this.quiet()
    const began = this.cluster.clock.now()
    transcript.now = () => this.cluster.clock.now() - began
    transcript.lines.length = 0
  }

  quiet(): void {
    this.cluster.pass(500)
  }

  turn(instance: number, key: number): void {
    const id = `i${instance}`
    const flows = this.cluster.nodes[instance]!.entered!.body.member.space.handles.flows as Flows
    this.transcript.note(`${id.padEnd(8)} asks for a turn of flows/${key}`)
    const ran = () => this.transcript.note(`${id.padEnd(8)} runs its turn of flows/${key}`)
    flows.with(key, (s) => {
      s.turns++
      ran()
    })
    this.cluster.nodes[instance]!.entered!.body.member.wake()
  }

  say(line: string): void {
    this.transcript.note(`-- ${line}`)
  }
}

const scenes: Record<string, () => Scene> = {
  'scale-out': () => {
    const scene = new Scene(1)
    for (const key of [1, 2]) scene.turn(0, key)
    scene.say('an instance joins')
    scene.cluster.join()
    scene.quiet()
    for (const key of [1, 2]) scene.turn(1, key)
    scene.quiet()
    return scene
  },
  'scale-in': () => {
    const scene = new Scene(2)
    for (const key of [1, 2, 3]) scene.turn(1, key)
    scene.quiet()
    scene.say('i1 is to leave')
    scene.cluster.leave(scene.cluster.nodes[1])
    scene.quiet()
    return scene
  },
  'three-waiters': () => {
    const scene = new Scene(4)
    scene.turn(0, 1)
    scene.quiet()
    scene.say('three others ask at once')
    for (const instance of [1, 2, 3]) scene.turn(instance, 1)
    scene.quiet()
    return scene
  },
  'overtaken-handoff': () => {
    const scene = new Scene(1, 40)
    for (const key of [1, 2, 3]) scene.turn(0, key)
    scene.say('two instances join, the second before the handoff to the first is through')
    scene.cluster.join()
    scene.cluster.until(() => scene.cluster.active.length === 2, 'i1 joins')
    scene.cluster.join()
    scene.cluster.until(() => scene.cluster.active.length === 3, 'i2 joins')
    for (const instance of [1, 2]) scene.turn(instance, 1)
    scene.quiet()
    return scene
  },
  crash: () => {
    const scene = new Scene(3)
    for (const key of [1, 3]) scene.turn(1, key)
    scene.turn(2, 2)
    scene.quiet()
    scene.say('i1 is killed; i0 wants an actor of its, and one that i2 has')
    scene.cluster.crash(scene.cluster.nodes[1]!)
    for (const key of [1, 2]) scene.turn(0, key)
    scene.cluster.pass(4000)
    return scene
  },
}

/** REHOME_GOLDEN=1 writes them anew: read what has changed before it is committed. */
describe('the protocol as it is told', () => {
  it.each(Object.entries(scenes))('%s', async (name, play) => {
    const { transcript } = await inMacrotask(play)
    const text = `${transcript.lines.join('\n')}\n`
    const file = new URL(`${name}.txt`, import.meta.url)
    if (process.env.REHOME_GOLDEN === '1') fs.writeFileSync(file, text)
    expect(text).toBe(fs.readFileSync(file, 'utf8'))
  })
})
