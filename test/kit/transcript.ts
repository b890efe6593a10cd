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
  Kind.APPLIED,
  Kind.READ,
  Kind.READ_HOME,
])

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
        const about = this.shown(kind) ? this.about(core, kind, r) : ''
        const waits = early ? ` (waits for view ${epoch})` : ''
        if (this.shown(kind)) this.message(from, id, kind, about + waits)
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

  private about(
    core: ReturnType<typeof insideOf>['core'],
    kind: number,
    payload: ByteReader,
  ): string {
    const r = new ByteReader(payload.bytes.slice(payload.pos, payload.end))
    if (kind === Kind.PULL) return `slots ${Array.from({ length: r.u16() }, () => r.u16())}`
    if (kind === Kind.SLOT) return `slot ${r.u16()} counter ${r.u32()}`
    if (!ABOUT_AN_ACTOR.has(kind)) return ''
    if (kind === Kind.CALL) r.u32() // its length; of several the first is shown
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
