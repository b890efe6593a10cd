/** Something seen at the packet with this index. */
export interface Event {
  readonly index: number
}

/**
 * What was seen of one thing over the packets, from events that arrive in any order.
 *
 * Whether real prads logs a sighting depends on those before it. So that the answer does not depend on which
 * message came first, the sightings themselves are kept, by packet index, and judged when the log is written.
 * That must be bounded: `first` has the EVENTS_MAX of least index, in order; of the rest, `later` has the least
 * index of each value, and of these the VALUES_MAX least. Both are the same for every order of arrival.
 */
export interface Timeline<E extends Event> {
  first: E[]
  later: E[]
}

/** A service must have looked otherwise 201 times on end to be logged anew: room for that, twice. */
export const EVENTS_MAX = 512
/** New values behind those: one that floods us with names is not worth more. */
export const VALUES_MAX = 64

export function newTimeline<E extends Event>(): Timeline<E> {
  return { first: [], later: [] }
}

export function record<E extends Event>(
  timeline: Timeline<E>,
  event: E,
  same: (a: E, b: E) => boolean,
): void {
  const { first, later } = timeline
  const last = first[first.length - 1]
  if (last && first.length === EVENTS_MAX && last.index < event.index) {
    recordValue(later, event, same)
    return
  }
  insert(first, event)
  if (first.length > EVENTS_MAX) recordValue(later, first.pop()!, same)
}

function recordValue<E extends Event>(later: E[], event: E, same: (a: E, b: E) => boolean): void {
  const at = later.findIndex((known) => same(known, event))
  if (at >= 0) {
    if (later[at]!.index <= event.index) return
    later.splice(at, 1)
  } else if (later.length === VALUES_MAX) {
    if (later[VALUES_MAX - 1]!.index < event.index) return
    later.pop()
  }
  insert(later, event)
}

/** Most events come in order, so the place is looked for from the end. */
function insert<E extends Event>(events: E[], event: E): void {
  let at = events.length
  while (at > 0 && events[at - 1]!.index > event.index) at--
  if (at === events.length) events.push(event)
  else events.splice(at, 0, event)
}
