import { ByteReader, Kind, kindInfo, type MemberNo } from '../../bus/index.ts'
import type { ClusterOptions } from './sim/cluster.ts'
import { insideOf, replace } from './sim/inside.ts'

/** Messages about one actor: its type, its hash and its key come first. */
const ABOUT_AN_ACTOR: ReadonlySet<number> = new Set([
  Kind.ACQUIRE,
  Kind.GRANT,
  Kind.ABSENT,
  Kind.TRANSFER,
  Kind.STATE,
  Kind.REMOVED,
  Kind.REMOVED_OK,
  Kind.RELEASE,
  Kind.CALL,
  Kind.UNTETHER,
  Kind.READ,
  Kind.READ_HOME,
])

/** Of these, the ones that may be several in a message, each behind its length. */
const IN_PARTS: ReadonlySet<number> = new Set([
  Kind.ACQUIRE,
  Kind.TRANSFER,
  Kind.STATE,
  Kind.REMOVED,
  Kind.RELEASE,
  Kind.CALL,
  Kind.UNTETHER,
])
/** Those that may be several one behind the other, and how many numbers follow the key. */
const IN_A_ROW: Readonly<Record<number, number>> = {
  [Kind.GRANT]: 2,
  [Kind.ABSENT]: 1,
  [Kind.REMOVED_OK]: 1,
}

/** What is shown of a message behind its actor: names of the numbers that follow. */
const NUMBERS: Readonly<Record<number, readonly string[]>> = {
  [Kind.GRANT]: ['as'],
  [Kind.TRANSFER]: ['move', 'as', 'to'],
  [Kind.STATE]: ['as'],
  [Kind.REMOVED]: ['activation'],
  [Kind.RELEASE]: ['activation'],
}

/** Writes down what the members of a cluster are told, as the figure of a protocol: one message a line. */
export class Transcript {
  readonly lines: string[] = []
  private readonly names = new Map<MemberNo, string>()
  private readonly shown: (kind: number) => boolean
  now: () => number = () => 0

  constructor(shown: (kind: number) => boolean) {
    this.shown = shown
  }

  note(line: string): void {
    this.lines.push(`${this.at()}  ${line}`)
  }

  private at(): string {
    return `${this.now().toFixed(2).padStart(8)} ms`
  }

  /** To be handed to the cluster: listens at each member. */
  readonly onMember: NonNullable<ClusterOptions['onMember']> = (body, id) => {
    const { member, space, core } = insideOf(body)
    const onView = member.onView.bind(member)
    member.onView = (view) => {
      for (const m of view.members) this.names.set(m.no, m.id)
      const owned = [...view.owner].map((no) => this.name(no)).join(' ')
      this.note(`${id.padEnd(8)} has view ${view.epoch}: slots of ${owned}`)
      onView(view)
    }
    const listen = (of: typeof space | typeof body) => {
      const onMessage = of.onMessage.bind(of)
      of.onMessage = (from: MemberNo, kind: number, r: ByteReader, epoch = 0) => {
        const early = kindInfo(kind)?.judged === true && epoch > (member.view?.epoch ?? 0)
        const waits = early ? ` (waits for view ${epoch})` : ''
        const abouts = this.shown(kind) ? this.abouts(core, kind, r) : []
        for (const about of abouts) this.message(from, id, kind, about + waits)
        onMessage(from, kind, r, epoch)
      }
    }
    listen(space)
    listen(body)
    type OnMessage = (from: MemberNo, kind: number, r: ByteReader, epoch: number) => void
    replace(member, 'onMessage', (original: OnMessage) => (from, kind, r, epoch) => {
      const isBye = kind === Kind.BYE || kind === Kind.BYE_OK
      if (isBye && this.shown(kind)) this.message(from, id, kind, '')
      original(from, kind, r, epoch)
    })
  }

  private name(no: MemberNo): string {
    return this.names.get(no) ?? `${no}`
  }

  private message(from: MemberNo, to: string, kind: number, about: string): void {
    const name = kindInfo(kind)?.name ?? `${kind}`
    this.note(`${this.name(from).padEnd(6)} → ${to.padEnd(6)}  ${name} ${about}`.trimEnd())
  }

  /** Of each that the message has. */
  private abouts(
    core: ReturnType<typeof insideOf>['core'],
    kind: number,
    payload: ByteReader,
  ): string[] {
    const r = new ByteReader(payload.bytes.slice(payload.pos, payload.end))
    if (kind === Kind.PULL) return [`slots ${Array.from({ length: r.u16() }, () => r.u16())}`]
    if (kind === Kind.SLOT) return [`slot ${r.u16()} counter ${r.u32()}`]
    if (!ABOUT_AN_ACTOR.has(kind)) return ['']
    if (IN_A_ROW[kind] === undefined && !IN_PARTS.has(kind)) return [this.about(core, kind, r)]
    if (kind === Kind.CALL) {
      r.skip(6) // flags, method, number; of several the first is shown
      return [this.about(core, kind, r)]
    }
    const abouts: string[] = []
    while (r.left > 0) {
      const next = IN_PARTS.has(kind) ? r.u32() + r.pos : 0
      abouts.push(this.about(core, kind, r))
      const shown = NUMBERS[kind]?.length ?? 0
      if (next > 0) r.pos = next
      else r.skip(4 * (IN_A_ROW[kind]! - shown))
    }
    return abouts
  }

  private about(core: ReturnType<typeof insideOf>['core'], kind: number, r: ByteReader): string {
    const type = core.type(r)
    const words = type.words.slice() // the message is still to be served: nothing of it may show
    r.u32()
    type.readWords(r)
    const text = `${type.name}/${type.keyText(type.words)}`
    type.words.set(words)
    const numbers = (NUMBERS[kind] ?? []).map((name) =>
      name === 'to' ? `to ${this.name(r.u32())}` : `${name} ${r.u32()}`,
    )
    return [text, ...numbers].join(' ')
  }
}
