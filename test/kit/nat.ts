export * from './nat-captures.ts'
export * from './nat-checker.ts'
export * from './nat-loop.ts'
