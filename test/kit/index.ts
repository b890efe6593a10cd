export * as idsPeer from './ids-agreement.ts'
export * as pradsPeer from './prads-agreement.ts'
export { Solo, soloRun } from './solo.ts'
