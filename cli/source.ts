import { type ByteReader, type ByteWriter, Kind, type MemberNo } from '../bus/index.ts'
import { Latency, type Output, Steerer } from '../loadgen/index.ts'
import type { Handles, NF, StateMap } from '../nf-apps/index.ts'
import type { View } from '../placement/index.ts'
import {
  ASK_FIGURES,
  ASK_LATENCY,
  ASK_SUSPENDED,
  type InstanceReport,
  type SuspendedPacket,
} from './instance.ts'
import { Member, type MemberPorts, type Part, type SpaceSettings } from './member.ts'

export interface SourceOptions {
  readonly wallMs: () => number
  readonly flipsPerStep: number
  /** Time between two steps of flips (ms). */
  readonly flipEveryMs: number
  readonly batchPacketsMax?: number
  readonly onVerdicts?: (dueMs: number, count: number) => void
  /** As a steerer's. */
  readonly onFrame?: (frame: Output) => void
  readonly onEvent?: (line: Output) => void
}

export interface Latencies {
  readonly sinceDue: Latency
  readonly atInstance: Latency
}

/** A question to an instance, or to all of them, whose answers are awaited. */
interface Question {
  readonly owed: Set<MemberNo>
  readonly onAnswer: (from: MemberNo, r: ByteReader) => void
  readonly resolve: () => void
}

/** A source of packets: a member whose part is to steer them to the instances, and to ask these for figures and results. */
export class Source implements Part {
  readonly member: Member
  readonly steerer: Steerer
  private readonly clock: MemberPorts['clock']
  private readonly o: SourceOptions
  private readonly nf: NF<StateMap, unknown>
  private readonly isLocalOnly: boolean
  private view: View | undefined
  private flipTimer: { cancel(): void } | undefined
  private readonly questions = new Map<number, Question>()
  private nextQuestion = 1
  /** The view that the end of the traffic waits for. */
  private awaited = { epoch: Number.POSITIVE_INFINITY, go: () => {} }
  /** Called when a packet that was refused for want of credit may be offered again, or a batch is through. */
  onRoom: () => void = () => {}

  constructor(
    nf: NF<StateMap, unknown>,
    ports: MemberPorts,
    settings: SpaceSettings,
    options: SourceOptions,
  ) {
    this.nf = nf
    this.isLocalOnly = settings.model === 'local-only'
    this.o = options
    this.clock = ports.clock
    this.member = new Member(ports, settings)
    const { wallMs, flipsPerStep, batchPacketsMax, onVerdicts, onFrame, onEvent } = options
    this.steerer = new Steerer({
      out: this.member.out,
      self: ports.self,
      slotBits: settings.slotBits,
      wallMs,
      flipsPerStep,
      ...(batchPacketsMax === undefined ? {} : { batchPacketsMax }),
      ...(onVerdicts === undefined ? {} : { onVerdicts }),
      ...(onFrame === undefined ? {} : { onFrame }),
      ...(onEvent === undefined ? {} : { onEvent }),
    })
    this.member.be(this)
  }

  onMessage(from: MemberNo, kind: number, r: ByteReader): void {
    if (kind === Kind.DONE) {
      this.steerer.onDone(r)
      this.onRoom()
    } else if (kind === Kind.CLOCK_OK || kind === Kind.TELL) this.onAnswer(from, r)
  }

  onView(view: View): void {
    this.view = view
    this.steerer.onView(view)
    this.flip()
    if (view.epoch >= this.awaited.epoch) this.awaited.go()
  }
  onCredit(): void {
    this.onRoom()
  }
  memberGone(no: MemberNo): void {
    this.steerer.memberGone(no)
    for (const [id, question] of this.questions) {
      question.owed.delete(no)
      this.settle(id, question)
    }
    this.onRoom()
  }
  letsGo(no: MemberNo): boolean {
    return !this.steerer.steersTo(no)
  }
  step(): boolean {
    return false
  }
  get idle(): boolean {
    return this.steerer.outstanding === 0
  }

  private flip(): void {
    if (this.flipTimer || this.steerer.settled) return
    const more = this.steerer.step()
    if (!more) return
    this.flipTimer = this.clock.after(this.o.flipEveryMs, () => {
      this.flipTimer = undefined
      this.flip()
    })
  }

  // ---- questions ----

  private onAnswer(from: MemberNo, r: ByteReader): void {
    const id = r.u32()
    const question = this.questions.get(id)
    if (!question?.owed.delete(from)) return
    question.onAnswer(from, r)
    this.settle(id, question)
  }
  private settle(id: number, question: Question): void {
    if (question.owed.size > 0 || !this.questions.delete(id)) return
    question.resolve()
  }

  private askAll(
    write: (w: ByteWriter, id: number) => void,
    kind: number,
    onAnswer: Question['onAnswer'],
  ): Promise<void> {
    const instances = this.view?.members.filter((m) => m.role !== 'steerer') ?? []
    const id = this.nextQuestion++
    return new Promise((resolve) => {
      const question = { owed: new Set(instances.map((m) => m.no)), onAnswer, resolve }
      this.questions.set(id, question)
      for (const { no } of instances) {
        write(this.member.out.begin(no, kind), id)
        this.member.out.end()
      }
      this.settle(id, question)
    })
  }

  /**
   * All traffic is through: resolves when every instance has ended what was due and every effect is in. One that has joined
   * in a view which others go by already may have got actors that are over: all are asked again, by that view.
   */
  async finish(): Promise<void> {
    const us = this.steerer.clockUs
    const write = (w: ByteWriter, id: number) => {
      w.u32(id)
      w.f64(us)
    }
    let asked = -1
    for (let told = 0; asked < told; await this.viewOf(told)) {
      asked = this.view?.epoch ?? 0
      await this.askAll(write, Kind.CLOCK, (_from, r) => {
        told = Math.max(told, r.u32())
      })
    }
  }

  private viewOf(epoch: number): Promise<void> {
    if ((this.view?.epoch ?? 0) >= epoch) return Promise.resolve()
    return new Promise((go) => {
      this.awaited = { epoch, go }
    })
  }

  private async askJson(what: number): Promise<unknown[]> {
    const told: unknown[] = []
    const write = (w: ByteWriter, id: number) => {
      w.u32(id)
      w.u8(what)
    }
    await this.askAll(write, Kind.ASK, (_from, r) => {
      told.push(JSON.parse(new TextDecoder().decode(r.block())))
    })
    return told
  }

  async reports(): Promise<InstanceReport[]> {
    return (await this.askJson(ASK_FIGURES)) as InstanceReport[]
  }
  async suspended(): Promise<SuspendedPacket[]> {
    return ((await this.askJson(ASK_SUSPENDED)) as SuspendedPacket[][]).flat()
  }
  /** How long packets took until their verdicts, since they were due; and since their batches were at the instance. */
  async latencies(): Promise<Latencies> {
    const all = { sinceDue: new Latency(), atInstance: new Latency() }
    const write = (w: ByteWriter, id: number) => {
      w.u32(id)
      w.u8(ASK_LATENCY)
    }
    await this.askAll(write, Kind.ASK, (_from, r) => {
      all.sinceDue.merge(Latency.decode(r))
      all.atInstance.merge(Latency.decode(r))
    })
    return all
  }
  async latency(): Promise<Latency> {
    return (await this.latencies()).sinceDue
  }

  /** The NF's result, read from its actors wherever they are; `local-only`: each instance's, one after the other. */
  async result(env: unknown): Promise<string[]> {
    return (await this.ofEach((handles) => this.nf.result(handles, env))).flat()
  }

  /** What there is of a log by now. */
  async found(env: unknown): Promise<string[]> {
    return (await this.ofEach((handles) => this.nf.found(handles, env))).flat()
  }

  async notes(env: unknown): Promise<string[]> {
    const told = await this.ofEach((handles) => this.nf.notes(handles, env))
    const of = told.length > 1 ? [`the result is that of each of ${told.length} instances`] : []
    return [...of, ...new Set(told.flat())]
  }

  private async ofEach(
    read: (handles: Handles<StateMap>) => Promise<string[]>,
  ): Promise<string[][]> {
    const { space } = this.member
    const handles = space.handles as Handles<StateMap>
    if (!this.isLocalOnly) return [await read(handles)]
    const told: string[][] = []
    for (const { no, role } of this.view?.members ?? []) {
      if (role !== 'instance') continue
      space.readsOf = no
      told.push(await read(handles))
    }
    space.readsOf = 0
    return told
  }

  stop(): void {
    this.flipTimer?.cancel()
    this.member.stop()
  }
}
