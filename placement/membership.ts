/**
 * A member's part in the life of the view. The view is one register value that changes by compare-and-set; everyone
 * watches it and goes by the newest epoch. There is no leader and no consensus of our own: the register's
 * comparison orders the views, so any number of proposals at once is harmless, the slower ones just start over.
 *
 * Each instance reports in `settled.<no>` the epoch in whose view it held all its tokens. When the reports make slots
 * movable, one follow-up view moves them. Any active instance may write it; so that they do not all do, each
 * waits longer the more active instances have smaller numbers.
 */
import {
  ByteReader,
  ByteWriter,
  type Clock,
  type Entry,
  type MemberNo,
  type Register,
  RehomeError,
} from '../bus/index.ts'
import { mix, SLOT_BITS } from './hash.ts'
import {
  emptyView,
  type JoinInfo,
  movesDue,
  rebalanced,
  withLeaving,
  withMember,
  without,
  withoutCrashed,
} from './table.ts'
import { decodeView, encodeView, type View } from './view.ts'

export interface MembershipPorts {
  readonly register: Register
  readonly clock: Clock
  /** Each newer view once, epochs strictly rising; maybe also before `join` has answered. */
  readonly onView: (view: View) => void
  /** What went wrong in the background; it is tried again. */
  readonly onError: (error: RehomeError) => void
}

const VIEW = 'view'
const SETTLED = 'settled.'

/** How long one operation is tried, its pauses rising: a restart of the server is survived. */
const PATIENCE_MS = 30_000
const PAUSE_FIRST_MS = 10
const PAUSE_MAX_MS = 1000
/** The reports after one view come together: a view for each would be read by everybody. */
const GATHER_MS = 10
/** What an instance leaves each one with a smaller number to propose first: several round trips of a busy bus. */
const RANK_MS = 100

interface Known {
  readonly view: View
  readonly revision: number
}

/** What to make of the newest view; `unsure`: an earlier try may have been written without an answer. */
type Step = (view: View | undefined, unsure: boolean) => View | undefined

export class Membership {
  private readonly ports: MembershipPorts
  private known: Known | undefined
  private me: MemberNo = 0
  private readonly settled = new Map<MemberNo, number>()
  private readonly watches: { stop(): void }[] = []
  private opening: Promise<void> | undefined
  private stopped = false
  /** Operations that wait before they try again; `stop` ends them. */
  private readonly pauses = new Set<{ stop(): void }>()
  /** Spreads the pauses of members that collided; set from the member's id, so runs repeat. */
  private spread = 0

  private epochWanted = 0
  private refreshing: Promise<void> | undefined
  private epochReported = 0
  private epochToReport = 0
  private reporting: Promise<void> | undefined
  private repair: { cancel(): void } | undefined
  /** Whether the newest view still has slots to move: else reports change nothing. */
  private unfinished = false

  constructor(ports: MembershipPorts) {
    this.ports = ports
  }

  /** The newest view known here. */
  get view(): View | undefined {
    return this.known?.view
  }
  /** This member's number; 0 before it has joined. */
  get no(): MemberNo {
    return this.me
  }

  /** Watches the cluster without taking part in it; `join` does it by itself. */
  open(): Promise<void> {
    this.opening ??= this.startWatches().catch((e) => {
      this.opening = undefined
      throw e
    })
    return this.opening
  }

  /** Becomes a member; the first one founds the cluster, with that many slots. */
  async join(info: JoinInfo, slotBits = SLOT_BITS): Promise<MemberNo> {
    for (const char of info.id) this.spread = mix(this.spread ^ (char.codePointAt(0) ?? 0))
    await this.open()
    let tried = 0
    await this.change('join', (view, unsure) => {
      if (unsure && view?.memberOf(tried)?.id === info.id) return undefined
      const before = view ?? emptyView(slotBits)
      tried = before.nextNo
      return withMember(before, info, this.settled)
    })
    this.me = tried
    this.armRepair()
    return tried
  }

  /** Asks for this member's slots to be given away. Its tokens, actors and BYEs are the runtime's to see to. */
  async leave(): Promise<void> {
    await this.change('leave', (view) => view && withLeaving(view, this.me, this.settled))
  }

  /** Takes out a member that has crashed, with so many actors, unless it shows a sign of life first. */
  async evict(no: MemberNo, actors: number, stillSilent: () => boolean): Promise<void> {
    let written = false
    await this.change('evict', (view) => {
      written = view?.memberOf(no) !== undefined && stillSilent()
      return written && view ? withoutCrashed(view, no, actors, this.settled) : undefined
    })
    if (written) await this.ports.register.remove(SETTLED + no).catch((e) => this.report(e))
  }

  /**
   * Takes a member out after its BYE. False: `no` was to go as the last instance, with what
   * it has, but another one has joined meanwhile: give it the slots first, then call again.
   */
  async remove(no: MemberNo): Promise<boolean> {
    const asLast = this.view?.activeInstances().length === 0
    let kept = false
    await this.change('remove', (view) => {
      kept = asLast && view?.memberOf(no) !== undefined && view.activeInstances().length > 0
      return kept || !view ? undefined : without(view, no, this.settled)
    })
    if (kept) return false
    await this.ports.register.remove(SETTLED + no).catch((e) => this.report(e))
    return true
  }

  /** Says that in the view of `epoch` this member holds the tokens of all its slots. Writes only what is news. */
  async reportSettled(epoch: number): Promise<void> {
    if (!this.isNews(epoch)) return
    this.epochToReport = Math.max(this.epochToReport, epoch)
    while (this.epochReported < epoch) {
      this.reporting ??= this.writeReports().finally(() => {
        this.reporting = undefined
      })
      await this.reporting
    }
  }

  /** Asks the register for the newest view, however long that takes. */
  async confirm(): Promise<void> {
    await this.retry('view after a sleep', async () => {
      await this.fetch()
      return true
    })
  }

  /**
   * Fetches the view that a frame has named, or a newer one. The register may answer with an older view than
   * asked for, so it is asked again, for a bounded time.
   */
  async refresh(epoch: number): Promise<View> {
    while (!this.known || this.known.view.epoch < epoch) {
      this.epochWanted = Math.max(this.epochWanted, epoch)
      this.refreshing ??= this.fetchWanted().finally(() => {
        this.refreshing = undefined
      })
      await this.refreshing
    }
    return this.known.view
  }

  /** Ends the watches; whatever is under way ends with `closed`. The member stays in the view. */
  stop(): void {
    this.stopped = true
    this.repair?.cancel()
    for (const watch of this.watches.splice(0)) watch.stop()
    for (const pause of [...this.pauses]) pause.stop()
  }

  private async startWatches(): Promise<void> {
    const { register } = this.ports
    const watch = async (prefix: string, onChange: (name: string, e: Entry | undefined) => void) =>
      this.retry(`watch of ${prefix}`, async () => {
        const started = await register.watch(prefix, onChange)
        if (this.stopped) started.stop()
        else this.watches.push(started)
        return started
      })
    await watch(SETTLED, (name, entry) => this.onSettled(name, entry))
    await watch(VIEW, (name, entry) => {
      if (name === VIEW && entry) this.guard(() => this.onEntry(entry))
    })
  }

  private onSettled(name: string, entry: Entry | undefined): void {
    const no = Number(name.slice(SETTLED.length))
    if (!entry) this.settled.delete(no)
    else this.guard(() => this.noteSettled(no, new ByteReader(entry.value).u32()))
  }

  private noteSettled(no: MemberNo, epoch: number): void {
    if (epoch <= (this.settled.get(no) ?? 0)) return
    this.settled.set(no, epoch)
    if (!this.repair) this.armRepair()
  }

  private onEntry(entry: Entry): void {
    if (entry.revision === this.known?.revision) return
    this.adopt(viewOf(entry.value), entry.revision)
  }

  private adopt(view: View, revision: number): void {
    if (this.stopped || view.epoch <= (this.known?.view.epoch ?? 0)) return
    this.known = { view, revision }
    this.unfinished = movesDue(view) > 0
    this.armRepair()
    this.ports.onView(view)
  }

  private armRepair(): void {
    this.repair?.cancel()
    this.repair = undefined
    if (!this.known || !this.unfinished || this.stopped) return
    const rank = this.known.view.activeInstances().findIndex((m) => m.no === this.me)
    if (rank < 0) return
    this.repair = this.ports.clock.after(GATHER_MS + rank * RANK_MS, () => {
      this.repair = undefined
      void this.propose()
    })
  }

  private async propose(): Promise<void> {
    if (!this.known || !rebalanced(this.known.view, this.settled)) return
    try {
      await this.change('rebalance', (view) => view && rebalanced(view, this.settled))
    } catch (e) {
      if (this.stopped) return
      this.report(e)
      this.armRepair()
    }
  }

  /** Reads, changes and writes the view, again while another member was faster. */
  private async change(what: string, step: Step): Promise<void> {
    let unsure = false
    await this.retry(what, async () => {
      const at = await this.fetch()
      const next = step(at?.view, unsure)
      if (!next) return true
      const written = this.ports.register.put(VIEW, encodeView(next), at?.revision ?? 0)
      const revision = await written.catch((e) => {
        unsure = true
        throw e
      })
      if (revision === undefined) return undefined
      this.adopt(next, revision)
      return true
    })
  }

  /** The newest of what the register answers and what is known here. */
  private async fetch(): Promise<Known | undefined> {
    const entry = await this.ports.register.get(VIEW)
    if (entry) this.onEntry(entry)
    return this.known
  }

  private async fetchWanted(): Promise<void> {
    const have = () => (this.known?.view.epoch ?? 0) >= this.epochWanted
    try {
      await this.retry(
        `view of epoch ${this.epochWanted}`,
        async () => {
          if (!have()) await this.fetch()
          return have() || undefined
        },
        'timeout',
      )
    } finally {
      // A frame that named an epoch that there is not must not spoil the next request.
      this.epochWanted = 0
    }
  }

  /** One writer at a time, so that an older report never follows a newer one. */
  private async writeReports(): Promise<void> {
    while (this.epochReported < this.epochToReport) {
      const epoch = this.epochToReport
      const w = new ByteWriter(4)
      w.u32(epoch)
      const bytes = w.take()
      await this.retry('report of settled slots', async () => {
        await this.ports.register.set(SETTLED + this.me, bytes)
        return true
      })
      this.epochReported = epoch
      this.noteSettled(this.me, epoch)
    }
  }

  /** Only slots that came after the last report make a new one worth its message to everybody. */
  private isNews(epoch: number): boolean {
    const view = this.known?.view
    if (!view) return false
    for (let s = 0; s < view.owner.length; s++) {
      const since = view.since[s]!
      if (view.owner[s] === this.me && since > this.epochReported && since <= epoch) return true
    }
    return false
  }

  /** Tries until `once` answers something; undefined and a bus that is away mean: again, after a pause. */
  private async retry<T>(
    what: string,
    once: () => Promise<T | undefined>,
    inVain: 'conflict' | 'timeout' = 'conflict',
  ): Promise<T> {
    const end = this.ports.clock.now() + PATIENCE_MS
    for (let tries = 1; ; tries++) {
      if (this.stopped) throw closed(what)
      let failure = new RehomeError(inVain, `${what}: gave up after ${PATIENCE_MS / 1000} s`)
      try {
        const answer = await once()
        if (answer !== undefined) return answer
      } catch (e) {
        if (!(e instanceof RehomeError) || !isPassing(e)) throw e
        failure = e
      }
      if (this.ports.clock.now() >= end) throw failure
      await this.pause(tries)
    }
  }

  private pause(tries: number): Promise<void> {
    const full = Math.min(PAUSE_FIRST_MS * 2 ** (tries - 1), PAUSE_MAX_MS)
    const part = mix(this.spread + tries) / 2 ** 32
    return new Promise((resolve) => {
      const end = () => {
        this.pauses.delete(pause)
        resolve()
      }
      const timer = this.ports.clock.after(full * (0.5 + part / 2), end)
      const pause = {
        stop: () => {
          timer.cancel()
          end()
        },
      }
      this.pauses.add(pause)
    })
  }

  /** For callbacks of the register, which must not throw into it. */
  private guard(run: () => void): void {
    try {
      run()
    } catch (e) {
      this.report(e)
    }
  }

  private report(e: unknown): void {
    if (!(e instanceof RehomeError)) throw e
    this.ports.onError(e)
  }
}

/** Views are immutable: members in one process that are handed the same bytes share one. */
const decoded = new WeakMap<Uint8Array, View>()

function viewOf(bytes: Uint8Array): View {
  const known = decoded.get(bytes)
  if (known) return known
  const view = decodeView(bytes)
  decoded.set(bytes, view)
  return view
}

/** Whether trying again may help. */
function isPassing(e: RehomeError): boolean {
  return e.code === 'bus-unavailable' || e.code === 'timeout'
}

function closed(what: string): RehomeError {
  return new RehomeError('closed', `${what}: the member was stopped`)
}
