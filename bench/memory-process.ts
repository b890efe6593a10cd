/**
 * What so many idle flow actors take of a process that does nothing else, in bytes an actor: resident memory, and
 * what the engine says it holds after a collection. Prints both.
 */
import { makeIdleFlows } from './idle-flows.ts'
import { counting } from './solo-instance.ts'

const count = Number(process.argv[2])
const solo = counting()
// What is compiled and set up once is no part of an actor.
makeIdleFlows(solo.handles, 100)

function held(): { resident: number; engine: number } {
  global.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  return { resident: rss, engine: heapUsed + external }
}

const before = held()
const already = solo.space.actors
makeIdleFlows(solo.handles, count)
const after = held()
const made = solo.space.actors - already
const told = {
  resident: (after.resident - before.resident) / made,
  engine: (after.engine - before.engine) / made,
}
process.stdout.write(`${JSON.stringify(told)}\n`)
