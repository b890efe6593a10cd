export * from './bytes.ts'
export * from './errors.ts'
export * from './message.ts'
export * from './port.ts'
