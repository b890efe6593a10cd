export { SimClock } from './clock.ts'
export { inMacrotask, runMicrotasks } from './microtasks.ts'
export { Oracle, Violation } from './oracle.ts'
export { settingsFor, Walk, type WalkReport, type WalkSettings } from './walk.ts'
