import { RehomeError } from '../../actors/index.ts'
import { assetLog, macWarnings } from './asset-log.ts'
import { assetsJson } from './assets-json.ts'
import { connectionLog } from './connection-log.ts'
import type { Signatures } from './signatures.ts'
import type { PradsActors } from './state.ts'
import { statisticsLog } from './statistics-log.ts'

/** The kinds of result, each in one canonical order: that of the packets. */
export const reports = {
  assets: async (state: PradsActors, signatures: Signatures) =>
    assetLog(await state.assets.all(), signatures),
  connections: async (state: PradsActors) => connectionLog(await state.flows.all()),
  statistics: async (state: PradsActors, signatures: Signatures) =>
    statisticsLog(
      {
        uncounted: await state.statistics.lookup('only'),
        flows: await state.flows.all(),
        assets: await state.assets.all(),
      },
      signatures,
    ),
  warnings: async (state: PradsActors) => macWarnings(await state.assets.all()),
  json: async (state: PradsActors, signatures: Signatures) =>
    assetsJson(await state.assets.all(), signatures),
}
export type ReportKind = keyof typeof reports

export function reportKind(text: string): ReportKind {
  if (text in reports) return text as ReportKind
  const known = Object.keys(reports).join(', ')
  throw new RehomeError('bad-argument', `--report: '${text}' is none of ${known}`)
}
