import { type MutantOf, without } from './mutants.ts'
import type { Entry, Script } from './script.ts'
import { seenBy } from './seen.ts'
import { Walk } from './walk.ts'

/** Other networks that a shorter script is tried on: what is left out shifts when the rest happens. */
const NETWORKS = 3

/** What a script violates, in words that two runs of one mistake share; undefined: nothing. From within a macrotask. */
export function violationOf(script: Script, mutant?: MutantOf): string | undefined {
  try {
    new Walk(script.settings, without(mutant), script).run()
    return undefined
  } catch (error) {
    return seenBy(error)
  }
}

/** How long is searched, by whose clock (ms). */
export interface Patience {
  readonly ms: number
  readonly now: () => number
}

/**
 * The shortest script that was found in time which violates what this one does: entries are left out in ever
 * smaller parts, faults among them, then instances, sources and what the entries say. From within a macrotask.
 */
export function shrink(script: Script, mutant: MutantOf | undefined, patience: Patience): Script {
  const search = new Search(script, mutant, patience)
  search.run()
  return search.best
}

class Search {
  best: Script
  private readonly kind: string | undefined
  private readonly mutant: MutantOf | undefined
  private readonly end: number

  private readonly now: () => number

  constructor(script: Script, mutant: MutantOf | undefined, { ms, now }: Patience) {
    this.now = now
    this.end = now() + ms
    this.mutant = mutant
    this.best = script
    this.kind = violationOf(script, mutant)
  }

  run(): void {
    if (this.kind === undefined) return
    for (let before = -1; before !== this.size && !this.isOver; ) {
      before = this.size
      this.settings()
      this.leaveOut()
      this.simplify()
    }
  }

  /** What grows smaller with each success. */
  private get size(): number {
    const { settings, sources, entries } = this.best
    const said = entries.reduce((n, e) => n + e.ways.length + (e.x > 0 ? 1 : 0), 0)
    return 1000 * entries.length + said + settings.startInstances + sources.length
  }
  private get isOver(): boolean {
    return this.now() >= this.end
  }

  private try(part: Partial<Script>): boolean {
    const { seed } = this.best.settings
    for (let n = 0; n < NETWORKS && !this.isOver; n++) {
      const script = { ...this.best, ...part }
      const candidate = { ...script, settings: { ...script.settings, seed: (seed + n) >>> 0 } }
      if (violationOf(candidate, this.mutant) !== this.kind) continue
      this.best = candidate
      return true
    }
    return false
  }

  private settings(): void {
    const { settings, sources } = this.best
    const none = { drop: 0, double: 0, late: 0 }
    this.try({ settings: { ...settings, faults: none } })
    if (sources.length > 1) this.try({ sources: sources.slice(0, 1) })
    for (let n = 1; n < this.best.settings.startInstances; n++) {
      if (this.try({ settings: { ...this.best.settings, startInstances: n } })) break
    }
  }

  private leaveOut(): void {
    for (let part = this.best.entries.length >> 1; part >= 1; part >>= 1) {
      for (let at = this.best.entries.length - part; at > -part && !this.isOver; at -= part) {
        const entries = this.best.entries.toSpliced(Math.max(0, at), part + Math.min(0, at))
        this.try({ entries })
      }
    }
  }

  private simplify(): void {
    for (let i = 0; i < this.best.entries.length && !this.isOver; i++) {
      const entry = this.best.entries[i]!
      if (entry.ways.length > 1) this.change(i, { ...entry, ways: entry.ways.slice(0, 1) })
      if (entry.do.startsWith('singles.') && entry.x > 0) this.change(i, { ...entry, x: 0 })
    }
  }

  private change(at: number, entry: Entry): void {
    this.try({ entries: this.best.entries.with(at, entry) })
  }
}
