import type { Instance, Source } from '../../../cli/index.ts'
import { insideOf } from './inside.ts'

/** What of a member is empty once everything has settled: by part, what it may keep meanwhile. */
const KEPT = {
  homes: ['tombs'],
  calls: ['stalled', 'underway'],
  updates: ['dirty', 'outboxes'],
  reads: ['underway', 'sent', 'stalled'],
  collects: ['collections', 'walks'],
  directory: ['fetching', 'toFetch'],
  slots: ['waiting', 'pulls', 'due'],
  space: ['held'],
  intake: ['drained', 'suspended', 'suspendedCount', 'unsettled', 'flips', 'backlog', 'open'],
}

/** What a member still keeps, though nothing goes on any more: it would pile up. */
export function leftovers(body: Instance | Source): string[] {
  const inside = insideOf(body)
  const { core, links } = inside
  const found: string[] = []
  const note = (what: string, n: number) => {
    if (n > 0) found.push(`${what} ${n}`)
  }
  for (const [name, fields] of Object.entries(KEPT)) {
    const at: unknown = Reflect.get(inside, name)
    if (typeof at !== 'object' || at === null) continue
    for (const field of fields) note(`${name}.${field}`, sizeOf(Reflect.get(at, field), field))
  }
  for (const type of core.types) note(`affairs of ${type.name}`, [...type.openAffairs()].length)
  for (const no of links.peers()) note(`bytes for ${no}`, links.backlog(no))
  note('bytes that came early', links.held())
  if (!inside.intake) note('batches', (body as Source).steerer.outstanding)
  return found
}

function sizeOf(kept: unknown, name: string): number {
  if (typeof kept === 'number') return kept
  if (Array.isArray(kept)) return kept.length
  if (kept instanceof Map || kept instanceof Set) return kept.size
  throw new Error(`a member keeps no ${name}`)
}
