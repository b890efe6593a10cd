export * from './hash.ts'
export * from './membership.ts'
export * from './table.ts'
export * from './view.ts'
