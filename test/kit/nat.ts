export * from './nat-checker.ts'
export * from './nat-loop.ts'
