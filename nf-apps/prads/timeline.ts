/**
 * What was seen of one thing over the packets, from sightings that arrive in any order.
 *
 * Whether real prads logs a sighting depends on those before it. So that the answer does not depend on which
 * message came first, the sightings themselves are kept, by packet index, and judged when the log is written.
 * That must be bounded: `first` has the SIGHTINGS_MAX of least index; of the rest, `later` has the one of least index
 * of each kind, and of these the KINDS_MAX least. Both are the same for every order of arrival.
 */
export interface Timeline<V> {
  /** Index, second and value's number of each sighting, in order of the index. */
  first: number[]
  /** What was seen; most sightings of one thing are alike. */
  values: V[]
  later: Seen<V>[]
}

/** One sighting. */
export interface Seen<V> {
  /** Of its packet. */
  readonly index: number
  /** Packet time. */
  readonly seconds: number
  readonly value: V
}

/** How the values of a timeline are compared. */
export interface Likeness<V> {
  equal(a: V, b: V): boolean
  /** Of one kind: what `later` has once. */
  alike(a: V, b: V): boolean
}

/** A service must have looked otherwise 201 times on end to be logged anew: room for that, twice. */
const SIGHTINGS_MAX = 512
/** New kinds behind those: one that floods us with names is not worth more. */
const KINDS_MAX = 64
/** Numbers of a sighting in `first`. */
const STEP = 3

export function newTimeline<V>(): Timeline<V> {
  return { first: [], values: [], later: [] }
}

export function record<V>(timeline: Timeline<V>, seen: Seen<V>, likeness: Likeness<V>): void {
  const { first } = timeline
  const full = first.length === SIGHTINGS_MAX * STEP
  if (full && first[first.length - STEP]! < seen.index) {
    recordLater(timeline.later, seen, likeness)
    return
  }
  if (full) recordLater(timeline.later, pop(timeline), likeness)
  insert(timeline, seen, likeness)
}

/** The sightings that were kept in full, in order of the index. */
export function firstSeen<V>({ first, values }: Timeline<V>): Seen<V>[] {
  const all: Seen<V>[] = []
  for (let at = 0; at < first.length; at += STEP) {
    all.push({ index: first[at]!, seconds: first[at + 1]!, value: values[first[at + 2]!]! })
  }
  return all
}

function pop<V>({ first, values }: Timeline<V>): Seen<V> {
  const [index = 0, seconds = 0, number = 0] = first.splice(-STEP)
  return { index, seconds, value: values[number]! }
}

/** Most sightings come in order, so the place is looked for from the end. */
function insert<V>({ first, values }: Timeline<V>, seen: Seen<V>, likeness: Likeness<V>): void {
  const { index, seconds, value } = seen
  const number = numberOf(values, value, likeness)
  let at = first.length
  while (at > 0 && first[at - STEP]! > index) at -= STEP
  if (at === first.length) first.push(index, seconds, number)
  else first.splice(at, 0, index, seconds, number)
}

function numberOf<V>(values: V[], value: V, { equal }: Likeness<V>): number {
  for (let i = 0; i < values.length; i++) if (equal(values[i]!, value)) return i
  return values.push(value) - 1
}

function recordLater<V>(later: Seen<V>[], seen: Seen<V>, { alike }: Likeness<V>): void {
  const known = later.findIndex(({ value }) => alike(value, seen.value))
  if (known >= 0) {
    if (later[known]!.index <= seen.index) return
    later.splice(known, 1)
  } else if (later.length === KINDS_MAX) {
    if (later[KINDS_MAX - 1]!.index < seen.index) return
    later.pop()
  }
  const at = later.findIndex(({ index }) => index > seen.index)
  later.splice(at < 0 ? later.length : at, 0, seen)
}
