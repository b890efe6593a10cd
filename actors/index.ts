export { RehomeError } from '../bus/index.ts'
export { hashWords, mix } from '../placement/index.ts'
export {
  type Limits,
  type PlacementKind,
  type SpaceStats,
  type StateModel,
  stateModels,
} from './core.ts'
export * from './define.ts'
export * from './fields.ts'
export * from './keys.ts'
export { Space, type SpaceOptions, type WaitingInfo } from './space.ts'
export * from './stub.ts'
export { readValue, writeValue } from './values.ts'
